#!/bin/sh
# Runs every fuzz target for a bounded time, from its seeds. Stops at the first finding, whose input
# stays in the build directory.
#
#     run.sh SECONDS BUILD_DIRECTORY
#
# SECONDS is the time of each target; BUILD_DIRECTORY was configured with RUDP_FUZZ=ON and is built.
set -eu

if [ $# -ne 2 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
seconds=$1
build=$2/tests/fuzz
here=$(cd "$(dirname "$0")" && pwd)

for seeds in "$here"/corpus/*; do
    target=$(basename "$seeds")
    found=$build/$target.found
    mkdir -p "$found" # new inputs go to the first directory: the seeds stay as they are
    echo "$target: $seconds s"
    "$build/$target" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 \
        -artifact_prefix="$build/$target." -print_final_stats=1 "$found" "$seeds" \
        >"$build/$target.log" 2>&1 || {
        tail -n 60 "$build/$target.log" >&2
        exit 1
    }
    grep -E '^stat::(number_of_executed_units|new_units_added)' "$build/$target.log"
done
