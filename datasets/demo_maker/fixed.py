"""Clock, identifiers and files that are the same on every run.

The fake AWS stamps what it makes with the wall clock. None of that may reach a file, so every time
stamp is derived from the identity of the resource that carries it, and every capture time from a
fixed base.
"""

import gzip
import hashlib
import io
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

BASE = datetime(2026, 11, 20, 9, 0, 0, tzinfo=timezone.utc)


def digest(*parts: object) -> str:
    """Hex digest of the parts: the one source of made-up but stable values."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def number(below: int, *parts: object) -> int:
    """A stable number in 0..below."""
    return int(digest(*parts)[:12], 16) % below


def uuid_like(*parts: object) -> str:
    """A stable identifier in the shape of a UUID (event, message and request ids)."""
    h = digest("uuid", *parts)
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:32]}"


def iam_id(prefix: str, arn: str) -> str:
    """An IAM unique id that nobody can take for an access key: it says EXAMPLE."""
    return f"{prefix}EXAMPLE{digest('iam', arn)[:10].upper()}"


def stamp(when: datetime, digits: int = 3) -> str:
    """ISO 8601 in UTC with milliseconds, as AWS Config writes it."""
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{when.microsecond // 1000:03d}Z" if digits else "Z")


class Births:
    """When each resource was created.

    What exists at the baseline was created at some time in the two years before it; what appears
    later was created when the story says so. A resource that is deleted and made again under the
    same name keeps its first birthday: otherwise putting it right would never make it equal again.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], datetime] = {}
        self.now: datetime | None = None

    def of(self, *key: str) -> datetime:
        """The birthday of the resource with this key."""
        if key not in self._known:
            if self.now is not None:
                self._known[key] = self.now
            else:
                minutes = 60 * 24 * 30 + number(60 * 24 * 700, "birth", *key)
                self._known[key] = BASE - timedelta(minutes=minutes, seconds=number(60, "s", *key))
        return self._known[key]


def dump(value: Any) -> str:
    """Compact JSON on one line."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write(path: Path, text: str) -> None:
    """Write a file, gzipped if its name says so, without a time stamp or name in the gzip header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    if path.suffix == ".gz":
        buffer = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as packed:
            packed.write(data)
        data = buffer.getvalue()
    path.write_bytes(data)
