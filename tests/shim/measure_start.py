#!/usr/bin/env python3
"""What starting a program that has no sockets costs under the shim.

    measure_start.py [--runs N] LIBRARY...

Starts true(1) without and with each library in turn and prints median and minimum, in microseconds,
from start to exit. Give the libraries of two builds to compare them.
"""
import argparse
import os
import statistics
import time


def run_once(library):
    environment = {} if library is None else {"LD_PRELOAD": os.path.abspath(library)}
    begin = time.perf_counter_ns()
    pid = os.posix_spawn("/bin/true", ["true"], environment)
    os.waitpid(pid, 0)
    return (time.perf_counter_ns() - begin) / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("libraries", nargs="+")
    options = parser.parse_args()
    kinds = [None, *options.libraries]
    times = {kind: [] for kind in kinds}
    for _ in range(options.runs):
        for kind in kinds:
            times[kind].append(run_once(kind))
    for kind in kinds:
        print(f"{statistics.median(times[kind]):8.1f} {min(times[kind]):8.1f}  {kind or 'without'}")


if __name__ == "__main__":
    main()
