#!/usr/bin/env bash
# The replay harness: the real pipeline end to end, files in and history out, held against a loop that
# only parses the same files in the same run.
#
#   benches/replay.sh [RESOURCES [RUNS]]       1,000,000 and 3
#
# REPLAY_FOLDER is where inventories are made and kept: a folder in memory (/dev/shm), or one whose files
# stay in the page cache. Prints a table in Markdown, for benches/runs.
set -euo pipefail
cd "$(dirname "$0")/.."

resources=${1:-1000000}
runs=${2:-3}
folder=${REPLAY_FOLDER:-${TMPDIR:-/tmp}/deployforge-replay}
mkdir -p "$folder"

cargo build --release --locked
cargo build --release --locked -p deployforge-benches --example yardstick
bin=target/release/deployforge
yardstick=target/release/examples/yardstick

# make NAME OPTIONS...: an inventory, unless it is there from before.
make() {
    local file="$folder/$resources-$1.ndjson"
    shift
    [ -s "$file" ] || "$bin" generate -q -n "$resources" "$@" -o "$file"
}
make base
make steady --round 1 --drift 0.02
make last --round 1 --drift 0.02 --envelope last
make changed --round 1 --drift 1
make first --round 1 --change 1

field() { sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" | head -n 1; }

echo "Machine: $(nproc) processors, $(uname -m); load $(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo unknown);" \
    "commit $(git rev-parse --short HEAD); $resources resources; $(date +%F)."
echo
echo "| work | observations a second | parse only, all cores | ratio | findings | anonymous MB |"
echo "|---|---|---|---|---|---|"
for _ in $(seq "$runs"); do
    for work in steady last changed first; do
        file="$folder/$resources-$work.ndjson"
        figures=$("$bin" bench -q --json --baseline "$folder/$resources-base.ndjson" --observations "$file")
        parse=$("$yardstick" "$file" | sed 's/.*"tape":\([0-9]*\).*/\1/')
        rate=$(field observations_per_second <<<"$figures")
        memory=$(field anonymous_bytes <<<"$figures")
        awk -v work="$work" -v rate="$rate" -v parse="$parse" -v memory="$memory" \
            -v findings="$(grep '"findings":' <<<"$figures" | field findings)" \
            'BEGIN { printf "| %s | %.0f | %.0f | %.2f | %d | %.0f |\n", work, rate, parse, rate / parse, findings, memory / 1e6 }'
    done
done
