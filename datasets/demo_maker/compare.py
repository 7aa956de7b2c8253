"""Which resources differ between two readings, and where: deep, recursive, by path.

This is the reference by which `truth.json` is made. It knows nothing of the engine.
Conventions:

- null, absent, "", [] and {} are one and the same.
- A string that holds a JSON object or array is compared as what it holds; paths go on into it.
- A list of {key, value} pairs is a map: an element is addressed by its key.
- `relationships` is a set.
- Any other list has an order. The same elements in another order are `reordered`, which is not
  drift; otherwise elements are compared position by position.
- What exists on one side only is one path, at its root.
"""

import json
from dataclasses import dataclass, field
from typing import Any

_PAIRS = ({"key", "value"}, {"Key", "Value"}, {"tagKey", "tagValue"})


@dataclass
class Difference:
    """Where two readings of one resource differ, and where they only have another order."""

    changed: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {}


def plain(value: Any) -> Any:
    """The value without noise: JSON text read, pairs as maps, nothing empty inside maps."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return plain(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and set(v) in _PAIRS for v in value):
            return plain({v[min(v)]: v[max(v)] for v in value})  # "key" sorts before "value"
        return [plain(v) for v in value]
    if isinstance(value, dict):
        kept = {k: plain(v) for k, v in value.items()}
        return {k: v for k, v in kept.items() if not _empty(v)}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _step(path: str, key: object) -> str:
    return f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"


def compare(expected: dict[str, Any], observed: dict[str, Any]) -> Difference:
    """Every difference between two readings."""
    found = Difference()
    _walk(plain(expected), plain(observed), "", found)
    found.changed.sort()
    found.reordered.sort()
    return found


def _walk(expected: Any, observed: Any, path: str, found: Difference) -> None:
    if expected == observed and type(expected) is type(observed):
        return
    if path == "/relationships":
        if sorted(map(_canonical, expected or [])) != sorted(map(_canonical, observed or [])):
            found.changed.append(path)
    elif isinstance(expected, dict) and isinstance(observed, dict):
        for key in sorted(expected.keys() | observed.keys()):
            if key in expected and key in observed:
                _walk(expected[key], observed[key], _step(path, key), found)
            else:
                found.changed.append(_step(path, key))
    elif isinstance(expected, list) and isinstance(observed, list):
        if sorted(map(_canonical, expected)) == sorted(map(_canonical, observed)):
            found.reordered.append(path)
            return
        common = min(len(expected), len(observed))
        for index in range(common):
            _walk(expected[index], observed[index], _step(path, index), found)
        found.changed += [_step(path, index) for index in range(common, max(len(expected), len(observed)))]
    else:
        found.changed.append(path)
