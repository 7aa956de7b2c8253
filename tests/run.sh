#!/usr/bin/env bash
# Runs every test of the workspace. Installs what the tests need and the machine lacks, saying what;
# without root it says exactly what to install. No server is needed yet: what a test starts, it stops.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

say() { printf '== %s\n' "$*"; }

need_cc() {
    command -v cc >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing a C toolchain: apt-get install -y build-essential"
        apt-get update -q && apt-get install -y -q build-essential && return
    fi
    say "a C toolchain is missing; install it (Debian: apt-get install build-essential) and run this again"
    exit 2
}

need_rust() {
    if ! command -v cargo >/dev/null 2>&1; then
        say "Rust is missing; install it with rustup (1.94 or newer) and run this again"
        exit 2
    fi
    local version
    version=$(cargo --version | sed -E 's/cargo 1\.([0-9]+)\..*/\1/')
    if [ "${version:-0}" -lt 94 ]; then
        say "$(cargo --version) is too old; 1.94 or newer is needed: rustup update stable"
        exit 2
    fi
}

need_fixtures() {
    export DEPLOYFORGE_FIXTURES="${DEPLOYFORGE_FIXTURES:-$PWD/../shared/fixtures}"
    if [ ! -d "$DEPLOYFORGE_FIXTURES/1-terraform-state" ]; then
        say "the fixtures are not at $DEPLOYFORGE_FIXTURES; set DEPLOYFORGE_FIXTURES to their folder: the vector tests need them and will fail"
    fi
}

need_cc
need_rust
need_fixtures

say "building the binary that the scenarios run"
cargo build --locked || exit 1

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "running the tests"
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
passed=$(awk '/^test result:/ {n += $4} END {print n + 0}' "$log")
failed=$(awk '/^test result:/ {n += $6} END {print n + 0}' "$log")
printf '%s passed, %s failed\n' "$passed" "$failed"
exit "$status"
