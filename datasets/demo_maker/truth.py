"""What must be found at the end of the stream.

Two books are kept: the story's ledger of what it did to whom, and a comparison of the first with
the last reading. They must agree; if they don't, a change had an effect that nobody planned, and
no dataset is written.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import terraform
from .compare import Difference, compare
from .fixed import write
from .inventory import Key, Resource
from .story import Story

CONVENTIONS = [
    "a key is [provider, account, region, type, id]; for Terraform account and region come from the arn attribute and are \"\" without one",
    "null, absent, \"\", [] and {} are equal; a string that holds a JSON object or array is compared as what it holds",
    "a list of {key, value} pairs is addressed by key and its leaf by the key alone: /configuration/tags/Owner",
    "relationships is a set; other lists are ordered and addressed by position; the same elements in another order are reordered, not drift",
    "what exists on one side only is one path, at its root",
    "URL-encoded policy documents (IAM) are compared as text; read as JSON they differ below the same path",
    "API spelling: configuration and every value of supplementaryConfiguration are JSON text (also \"true\" and \"false\")",
    "deposed instances are not judged; data sources are not resources",
]


def _config_part(item: dict[str, Any]) -> dict[str, Any]:
    return {part: item[part] for part in ("configuration", "supplementaryConfiguration", "tags", "relationships")}


def _as_item(resource: Resource) -> dict[str, Any]:
    return {"configuration": resource.configuration, "supplementaryConfiguration": resource.supplementary,
            "tags": resource.tags, "relationships": resource.relationships}


def _verdicts(baseline: dict[Key, dict[str, Any]], final: dict[Key, dict[str, Any]]) -> dict[str, Any]:
    drifted: list[dict[str, Any]] = []
    reordered: list[dict[str, Any]] = []
    in_sync = 0
    for key in sorted(baseline.keys() & final.keys()):
        found: Difference = compare(baseline[key], final[key])
        if found.changed:
            drifted.append({"key": list(key), "paths": found.changed})
        else:
            in_sync += 1
        if found.reordered:
            reordered.append({"key": list(key), "paths": found.reordered})
    return {
        "resources": len(baseline), "in_sync": in_sync, "drifted": drifted,
        "missing": _lists(baseline.keys() - final.keys()), "unmanaged": _lists(final.keys() - baseline.keys()),
        "reordered": reordered,
    }


def _lists(keys: Iterable[Key]) -> list[list[str]]:
    return [list(key) for key in sorted(keys)]


def _must_agree(what: str, ledger: set[Key], found: set[Key]) -> None:
    if ledger != found:
        raise RuntimeError(f"{what}: only in the ledger {sorted(ledger - found)}, only found {sorted(found - ledger)}")


def write_truth(story: Story, out: Path) -> list[str]:
    """Write truth.json and return a summary for people."""
    ledger = story.ledger
    baseline = {key: _as_item(r) for key, r in story.baseline.items()}
    config = _verdicts(baseline, {key: _config_part(item) for key, item in story.final_items.items()})
    _must_agree("drifted", ledger.drifted(), {tuple(d["key"]) for d in config["drifted"]})  # type: ignore[misc]
    _must_agree("missing", ledger.deleted, {tuple(k) for k in config["missing"]})  # type: ignore[misc]
    _must_agree("unmanaged", ledger.created, {tuple(k) for k in config["unmanaged"]})  # type: ignore[misc]
    config["put_right"] = _lists(ledger.put_right())
    config["came_and_went"] = _lists(ledger.came_and_went)
    config["changes"] = [{"key": list(k), "open": sorted(v)} for k, v in sorted(ledger.open.items()) if v]

    state = {terraform.key_of(e.type, v): v for e, v in story.states[0] if not e.deposed}
    final = {terraform.key_of(e.type, v): v for e, v in story.states[-1] if not e.deposed}
    of_object = {terraform.key_of(e.type, v): e.key for e, v in story.states[0]}
    declared = _verdicts(state, final)
    for key in [tuple(d["key"]) for d in declared["drifted"]] + [tuple(k) for k in declared["missing"]]:
        if of_object[key] not in ledger.drifted() | ledger.deleted:  # type: ignore[index]
            raise RuntimeError(f"{key} drifted in the state, but nobody touched it")
    ever = {key for later in story.states[1:-1] for key in state
            if key not in (now := {terraform.key_of(e.type, v): v for e, v in later}) or compare(state[key], now[key]).changed}
    still = {tuple(d["key"]) for d in declared["drifted"]} | {tuple(k) for k in declared["missing"]}
    declared["put_right"] = _lists(ever - still)  # type: ignore[operator]
    declared["deposed"] = [[e.address, v["id"]] for e, v in story.states[0] if e.deposed]
    declared["tainted"] = [[e.address, v["id"]] for e, v in story.states[0] if e.tainted]
    declared["addresses"] = [[e.address, list(terraform.key_of(e.type, v))] for e, v in story.states[0] if not e.deposed
                             and tuple(terraform.key_of(e.type, v)) in still]
    truth = {
        "format": 1,
        "conventions": CONVENTIONS,
        "files": [{"file": name, "observed_from": when, "observations": count} for name, when, count in story.files],
        "config": config,
        "terraform": declared,
    }
    write(out / "truth.json", json.dumps(truth, indent=1, ensure_ascii=False) + "\n")
    return [f"{name}: {part['resources']} resources, {part['in_sync']} in sync, {len(part['drifted'])} drifted, "
            f"{len(part['missing'])} missing, {len(part['unmanaged'])} unmanaged, {len(part['put_right'])} put right, "
            f"{len(part['reordered'])} reordered" for name, part in (("config", config), ("terraform", declared))]
