#!/usr/bin/env python3
"""Makes `datasets/demo`: run it from anywhere, with the packages of requirements.txt installed.

It starts a fake AWS on a loopback port, builds an estate in it, lets people change it, and writes
down what an observer would have seen; `truth.json` says what must be found. Every run gives the
same bytes.
"""

import argparse
import shutil
import sys
from pathlib import Path

from demo_maker import estate, truth
from demo_maker.fakeaws import FakeAws
from demo_maker.story import Story

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Make the dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "demo", help="directory to write (its contents are replaced)")
    out: Path = parser.parse_args().out
    for part in ("baseline", "stream"):
        shutil.rmtree(out / part, ignore_errors=True)
    with FakeAws() as aws:
        print("building the estate", file=sys.stderr)
        estate.build(aws)
        story = Story(aws, out)
        story.record_baseline()
        print("telling the story", file=sys.stderr)
        story.tell()
    summary = truth.write_truth(story, out)
    for line in summary:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
