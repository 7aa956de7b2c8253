#!/usr/bin/env bash
# Fuzzes every target, one after the other: `tests/fuzz/run.sh [seconds each] [target…]`. It builds with
# cargo-fuzz on the stable toolchain, begins with the fixtures, and says of each target what it came to.
#
#   DEPLOYFORGE_FIXTURES  the folder of fixtures [default: ../shared/fixtures beside the repository]
#   CARGO_TARGET_DIR      where programs, corpora and what crashed are kept, in fuzz/ [default: target]
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
[ $# -eq 0 ] || shift
if [ $# -eq 0 ]; then
    for target in tests/fuzz/targets/*.rs; do
        set -- "$@" "$(basename "$target" .rs)"
    done
fi

fixtures=${DEPLOYFORGE_FIXTURES:-../shared/fixtures}
if [ ! -d "$fixtures" ]; then
    echo "The fixtures are not at $fixtures; set DEPLOYFORGE_FIXTURES to the folder that holds them."
    exit 2
fi
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

# The flags for coverage are not stable. To trace what each byte is compared with takes half the time of
# readers that look at each byte, and the seeds have all the words already.
export RUSTC_BOOTSTRAP=1
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
cargo fuzz build --no-trace-compares --fuzz-dir tests/fuzz --target-dir "$work"
programs=$work/$(rustc -vV | sed -n 's/^host: //p')/release
rm -rf "$work/seeds"
"$programs/seeds" "$fixtures" "$work/seeds"

# Which seeds a target begins with.
kinds() {
    case $1 in
    columns) echo tables ;;
    folds) echo pairs ;;
    ignored) echo rules yaml ;;
    yaml) echo yaml ;;
    canon) echo json ;;
    *) echo json yaml ;;
    esac
}

status=0
printf '%-15s %8s %10s %8s %8s %8s\n' target seconds runs runs/s MB crashes
for target; do
    corpus=$work/corpus/$target crashes=$work/crashes/$target log=$work/$target.log
    mkdir -p "$corpus" "$crashes"
    folders=("$corpus")
    for kind in $(kinds "$target"); do
        folders+=("$work/seeds/$kind")
    done
    "$programs/$target" "${folders[@]}" -artifact_prefix="$crashes/" -max_total_time="$seconds" \
        -max_len=65536 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 >"$log" 2>&1 || status=1
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf '%-15s %8s %10s %8s %8s %8s\n' "$target" "$seconds" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(stat peak_rss_mb)" "$(find "$crashes" -type f | wc -l)"
done
[ "$status" = 0 ] || echo "What crashed stands in $work/crashes, and what it said in $work/*.log."
exit "$status"
