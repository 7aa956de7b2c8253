#!/usr/bin/env bash
# Fuzzes every target, one after the other: `tests/fuzz/run.sh [seconds each] [target…]`. It builds with
# cargo-fuzz on the stable toolchain, begins with the fixtures, and says of each target what it came to.
#
#   DEPLOYFORGE_FIXTURES  the folder of fixtures [default: ../shared/fixtures beside the repository]
#   CARGO_TARGET_DIR      where the programs, the corpora and what crashed are kept [default: target]
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(cd tests/fuzz/targets && ls | sed 's/\.rs$//')

fixtures=${DEPLOYFORGE_FIXTURES:-../shared/fixtures}
[ -d "$fixtures" ] || { echo "The fixtures are not at $fixtures; set DEPLOYFORGE_FIXTURES." >&2; exit 2; }
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

# The compiler's flags for coverage are unstable.
export RUSTC_BOOTSTRAP=1
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
[ $# -gt 1 ] && build=() || build=("$1")
cargo fuzz build --no-trace-compares --fuzz-dir tests/fuzz --target-dir "$work" "${build[@]}"
programs=$work/$(rustc -vV | sed -n 's/^host: //p')/release
if [ ! -d "$work/seeds" ]; then
    [ -x "$programs/seeds" ] || cargo fuzz build --no-trace-compares --fuzz-dir tests/fuzz --target-dir "$work" seeds
    "$programs/seeds" "$fixtures" "$work/seeds"
fi

# What a target begins with.
seeds() {
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
printf '%-15s %8s %10s %8s %8s  %s\n' target seconds runs 'runs/s' 'MB' crashes
for target; do
    mkdir -p "$work/corpus/$target" "$work/crashes/$target"
    log=$work/$target.log
    folders=$(seeds "$target" | sed "s|[^ ]*|$work/seeds/&|g")
    # A folder without spaces: the words of the list are folders.
    "$programs/$target" "$work/corpus/$target" $folders -artifact_prefix="$work/crashes/$target/" \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -timeout=10 \
        -print_final_stats=1 >"$log" 2>&1 || status=1
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    printf '%-15s %8s %10s %8s %8s  %s\n' "$target" "$seconds" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "$(stat peak_rss_mb)" "$(ls "$work/crashes/$target" | wc -l)"
done
[ "$status" = 0 ] || echo "What crashed stands in $work/crashes, and what it said in $work/*.log."
exit "$status"
