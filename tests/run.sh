#!/usr/bin/env bash
# Passes the tests: checks for what they need, gets what is missing (as root) or says what to install,
# builds the workspace once and runs every test. From any folder, with no network besides crates.
#
#   DEPLOYFORGE_FIXTURES   the folder of fixtures [default: ../shared/fixtures beside the repository]
#   DEPLOYFORGE_SCALE      resources of the large scenarios, such as 1000000 [default: small]
set -u
cd "$(dirname "$0")/.." || exit 2

RUST_NEEDED=1.94
say() { printf '%s\n' "$*"; }

say "tests/run.sh: check for Rust $RUST_NEEDED and a C toolchain, build the workspace, run all its tests."

# The first two numbers of a version, as one that can be compared.
number() { printf '%s' "$1" | awk -F. '{ print $1 * 1000 + $2 }'; }

missing=""
for tool in cc make; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "Missing:$missing. Installing the package build-essential with apt-get."
        if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq build-essential; }; then
            say "apt-get failed; install a C toolchain (cc, make) and run this again."
            exit 2
        fi
    else
        say "Missing:$missing. Install a C toolchain and run this again:"
        say "  Debian, Ubuntu:  sudo apt-get install build-essential"
        say "  Fedora:          sudo dnf install gcc make"
        say "  macOS:           xcode-select --install"
        exit 2
    fi
fi

# Rust from rustup stands here even where the shell does not know it yet.
[ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] && PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
    say "Missing: Rust. Install version $RUST_NEEDED or newer, for instance from https://rustup.rs, and run this again."
    exit 2
fi
have=$(rustc --version | awk '{ print $2 }')
if [ "$(number "$have")" -lt "$(number "$RUST_NEEDED")" ]; then
    say "Rust is $have, and $RUST_NEEDED or newer is needed: \`rustup update\` gets it."
    exit 2
fi

fixtures=${DEPLOYFORGE_FIXTURES:-../shared/fixtures}
if [ ! -d "$fixtures" ]; then
    say "The fixtures are not at $fixtures; set DEPLOYFORGE_FIXTURES to the folder that holds them."
    exit 2
fi
DEPLOYFORGE_FIXTURES=$(cd "$fixtures" && pwd)
export DEPLOYFORGE_FIXTURES
say "Rust $have, $(cc --version | head -n 1), fixtures at $DEPLOYFORGE_FIXTURES."

say "Building the workspace with its binaries and tests."
# One set of packages for build and test: another one would have other features, and build twice.
cargo build --workspace --bins --tests --locked "$@" || exit 1

say "Running every test."
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
exit "$status"
