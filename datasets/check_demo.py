#!/usr/bin/env python3
"""Checks that the files of `datasets/demo` say what its truth.json says.

Plain Python, nothing shared with the maker and nothing with the engine: it reads the baseline and
the stream as files, keeps the newest state of every resource, and compares by flattened leaves
where the maker compares recursively. Exits with 1 if anything disagrees.
"""

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

Key = tuple[str, ...]
Parts = dict[str, Any]
CREDENTIAL = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}|-----BEGIN|aws_secret_access_key")
MAX_BYTES = 6 * 1000 * 1000


# reading ---------------------------------------------------------------------------------------

def text_of(path: Path) -> str:
    """A file's text, unzipped if need be."""
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()


def documents(path: Path) -> list[Any]:
    """The JSON documents of a file: one, or one a line."""
    text = text_of(path)
    return [json.loads(line) for line in text.splitlines()] if ".ndjson" in path.name else [json.loads(text)]


def items(document: Any) -> Iterator[Parts]:
    """The configuration items in any envelope."""
    if "configurationItems" in document:
        yield from document["configurationItems"]
    elif "Message" in document:
        yield json.loads(document["Message"])["configurationItem"]
    elif "detail" in document:
        yield document["detail"]["configurationItem"]
    elif "configurationItem" in document:
        yield document["configurationItem"]
    else:
        yield document


def from_text(value: Any) -> Any:
    """A value of the API spelling: JSON text, or plain text."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def read_item(item: Parts) -> tuple[Key, datetime, Parts | None]:
    """Key, capture time and content of an item in either spelling; no content if it was deleted."""
    api = "accountId" in item
    account = item["accountId" if api else "awsAccountId"]
    key = ("aws", account, item["awsRegion"], item["resourceType"], item["resourceId"])
    when = datetime.fromisoformat(item["configurationItemCaptureTime"].replace("Z", "+00:00"))
    if item["configurationItemStatus"].startswith("ResourceDeleted"):
        return key, when, None
    supplementary = item["supplementaryConfiguration"]
    relations = [[r["resourceType"], r.get("resourceId"), r.get("resourceName"), r.get("name") or r.get("relationshipName")]
                 for r in item["relationships"]]
    return key, when, {
        "configuration": json.loads(item["configuration"]) if api else item["configuration"],
        "supplementaryConfiguration": {k: from_text(v) for k, v in supplementary.items()} if api else supplementary,
        "tags": item["tags"],
        "relationships": "\n".join(sorted(json.dumps(r) for r in relations)),
    }


def read_state(path: Path) -> dict[Key, Parts]:
    """The current managed instances of a Terraform state."""
    found: dict[Key, Parts] = {}
    state = json.loads(text_of(path))
    assert state["version"] == 4
    for resource in state["resources"]:
        for instance in resource["instances"]:
            if resource["mode"] != "managed" or "deposed" in instance:
                continue
            values = instance["attributes"]
            arn = (values.get("arn") or "").split(":")
            key = ("aws", arn[4] if len(arn) > 5 else "", arn[3] if len(arn) > 5 else "", resource["type"], values["id"])
            assert key not in found, f"{key} twice in {path.name}"
            found[key] = values
    return found


# comparing ---------------------------------------------------------------------------------------

def pairs(value: list[Any]) -> bool:
    """Whether a list is really a map of key and value."""
    return bool(value) and all(isinstance(v, dict) and {k.lower().removeprefix("tag") for k in v} == {"key", "value"} for v in value)


def simple(value: Any) -> Any:
    """JSON text read and key-value lists turned into maps."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, list):
        if pairs(value):
            named = [{k.lower().removeprefix("tag"): v for k, v in entry.items()} for entry in value]
            return {entry["key"]: simple(entry["value"]) for entry in named}
        return [simple(v) for v in value]
    if isinstance(value, dict):
        return {k: simple(v) for k, v in value.items()}
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar that is not empty, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}/{index}")
    elif value is not None and value != "":
        yield path, float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def content(value: Any) -> str:
    """A value as text that does not depend on key order or on empty members."""
    return json.dumps(sorted((p, str(v)) for p, v in leaves(value)))


def reorder(expected: Any, observed: Any, path: str, moved: list[str]) -> Any:
    """`observed` with every list that only has another order put into the expected one."""
    if isinstance(expected, dict) and isinstance(observed, dict):
        return {k: reorder(expected.get(k), v, f"{path}/{k}", moved) for k, v in observed.items()}
    if isinstance(expected, list) and isinstance(observed, list):
        wanted, got = [content(v) for v in expected], [content(v) for v in observed]
        if wanted != got and sorted(wanted) == sorted(got):
            moved.append(path)
            return expected
        return [reorder(expected[i] if i < len(expected) else None, v, f"{path}/{i}", moved) for i, v in enumerate(observed)]
    return observed


def differences(expected: Parts, observed: Parts) -> tuple[list[str], list[str]]:
    """Paths that differ and paths of lists that only have another order."""
    moved: list[str] = []
    plain = simple(expected)
    left, right = dict(leaves(plain)), dict(leaves(reorder(plain, simple(observed), "", moved)))
    found = set()
    for path in left.keys() | right.keys():
        if path in left and path in right:
            if left[path] != right[path] or isinstance(left[path], bool) != isinstance(right[path], bool):
                found.add(path)
        else:
            found.add(_root(path, right if path in left else left))
    return sorted(found), sorted(moved)


def _root(path: str, other: dict[str, Any]) -> str:
    """Where the other side stops having what is at this path: the root of what came, went or changed its kind."""
    parts = path.split("/")
    for end in range(2, len(parts)):
        above = "/".join(parts[:end])
        if above in other or not any(p.startswith(above + "/") for p in other):
            return above
    return path


# checking ----------------------------------------------------------------------------------------

class Checker:
    """Collects disagreements."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def same(self, what: str, told: Any, found: Any) -> None:
        """Both must be equal."""
        if told != found:
            detail = f"truth.json says {told}, the files say {found}"
            if isinstance(told, (set, dict)):
                extra = {k for k in found if k not in told or (isinstance(told, dict) and told[k] != found[k])}
                detail = f"only told {sorted(k for k in told if k not in found)[:5]}, other in the files {sorted(extra)[:5]}"
            self.wrong.append(f"{what}: {detail}")


def keys(listed: list[list[str]]) -> set[Key]:
    """Keys of a list in truth.json."""
    return {tuple(k) for k in listed}


def paths(listed: list[Parts]) -> dict[Key, list[str]]:
    """Keys and paths of a list in truth.json."""
    return {tuple(d["key"]): d["paths"] for d in listed}


def check_part(check: Checker, name: str, told: Parts, baseline: dict[Key, Parts], final: dict[Key, Parts], ever: set[Key]) -> None:
    """Compare one half of truth.json with what the files say."""
    drifted: dict[Key, list[str]] = {}
    moved: dict[Key, list[str]] = {}
    for key in baseline.keys() & final.keys():
        changed, other_order = differences(baseline[key], final[key])
        if changed:
            drifted[key] = changed
        if other_order:
            moved[key] = other_order
    missing = baseline.keys() - final.keys()
    check.same(f"{name} resources", told["resources"], len(baseline))
    check.same(f"{name} in sync", told["in_sync"], len(baseline) - len(drifted) - len(missing))
    check.same(f"{name} drifted", paths(told["drifted"]), drifted)
    check.same(f"{name} missing", keys(told["missing"]), set(missing))
    check.same(f"{name} unmanaged", keys(told["unmanaged"]), set(final.keys() - baseline.keys()))
    check.same(f"{name} reordered", paths(told["reordered"]), moved)
    check.same(f"{name} put right", keys(told["put_right"]), ever - drifted.keys() - missing)


def main() -> int:
    """Check the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path, nargs="?", default=Path(__file__).resolve().parent / "demo")
    demo: Path = parser.parse_args().demo
    check = Checker()
    truth = json.loads((demo / "truth.json").read_text())

    baseline: dict[Key, Parts] = {}
    for path in sorted(demo.glob("baseline/aws-config-*")):
        for document in documents(path):
            baseline |= {key: parts for key, _, parts in map(read_item, items(document)) if parts is not None}
    final: dict[Key, Parts | None] = dict(baseline)
    newest: dict[Key, datetime] = {}
    off: set[Key] = set()
    observations = drifting = 0
    states: list[dict[Key, Parts]] = [read_state(demo / "baseline/terraform.tfstate")]
    counted: dict[str, int] = {}
    for path in sorted(demo.glob("stream/*")):
        if ".tfstate" in path.name:
            states.append(read_state(path))
            continue
        for item in (i for document in documents(path) for i in items(document)):
            key, when, parts = read_item(item)
            observations += 1
            counted[f"stream/{path.name}"] = counted.get(f"stream/{path.name}", 0) + 1
            if key in baseline and (parts is None or differences(baseline[key], parts)[0]):
                off.add(key)
                drifting += 1
            if key not in newest or when >= newest[key]:
                newest[key], final[key] = when, parts
    present = {key: parts for key, parts in final.items() if parts is not None}
    check_part(check, "config", truth["config"], baseline, present, off)
    check.same("config came and went", keys(truth["config"]["came_and_went"]), {k for k in newest if k not in baseline and k not in present})
    unseen = baseline.keys() - newest.keys()
    check.same("config never observed", set(), set(unseen))

    ever = {key for state in states[1:] for key, values in states[0].items()
            if key not in state or differences(values, state[key])[0]}
    check_part(check, "terraform", truth["terraform"], states[0], states[-1], ever)

    told = {f["file"]: f["observations"] for f in truth["files"]}
    check.same("files", set(told), {str(p.relative_to(demo)) for part in ("baseline", "stream") for p in demo.glob(f"{part}/*")})
    check.same("observations by file", {k: told[k] for k in counted}, counted)
    files = [p for p in demo.rglob("*") if p.is_file()]
    check.same("files that seem to hold a credential", [], [p.name for p in files if CREDENTIAL.search(text_of(p))])
    check.same("fits the size limit", True, sum(p.stat().st_size for p in files) < MAX_BYTES)

    for line in check.wrong:
        print(f"WRONG  {line}")
    print(f"{len(baseline)} resources in the recorded baseline, {len(states[0])} in the state, {observations} observations, "
          f"{100 * drifting / observations:.1f} % of them drifting; {'disagreements: ' + str(len(check.wrong)) if check.wrong else 'all agree'}")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
