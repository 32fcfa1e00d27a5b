#!/bin/sh
# Runs a test (the arguments) in a network of its own whose loopback interface is slow. Skipped (77)
# where namespaces or traffic control are not to be had.
if [ -z "$NARROW_INSIDE" ]; then
    unshare --map-root-user --net true || exit 77
    NARROW_INSIDE=1 exec unshare --map-root-user --net sh "$0" "$@"
fi
ip link set lo up && tc qdisc add dev lo root tbf rate 40mbit burst 10kb latency 10s || exit 77
exec "$@"
