#!/usr/bin/env bash
# What takes too long for every change: everything at full speed and at full size. A million
# resources with known drift, a line of a gigabyte, and many more cases of every property.
set -eu
cd "$(dirname "$0")/.."
export DEPLOYFORGE_SCALE="${DEPLOYFORGE_SCALE:-1000000}"
export PROPTEST_CASES="${PROPTEST_CASES:-20000}"
echo "tests/soak.sh: release build, $DEPLOYFORGE_SCALE resources, $PROPTEST_CASES cases a property."
exec tests/run.sh --release
