#!/usr/bin/env bash
# What is too long for every change: the release build, a million items against known drift, a line of
# a gigabyte, many more property cases, ten thousand commits in one process, minutes of fuzzing, and
# hours of fuzzing by coverage. Run by people, whose figures go into the notes of a release.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
export DEPLOYFORGE_BIN="$PWD/target/release/deployforge"
export DEPLOYFORGE_SCALE="${DEPLOYFORGE_SCALE:-1000000}"
export PROPTEST_CASES="${PROPTEST_CASES:-20000}"
cargo test --locked -p deployforge-tests --test scenarios -- --nocapture
cargo test --locked -p deployforge-compare --test properties
cargo test --locked -p deployforge-canon --features sonic-default
DEPLOYFORGE_COMMITS="${DEPLOYFORGE_COMMITS:-10000}" \
    cargo test --release --locked -p deployforge-history --test commits soak -- --nocapture
DEPLOYFORGE_FUZZ_SECONDS="${DEPLOYFORGE_FUZZ_SECONDS:-300}" \
    cargo test --release --locked -p deployforge-formats --test fuzz -- --nocapture
tests/fuzz/run.sh "${DEPLOYFORGE_FUZZ_SECONDS:-600}"
