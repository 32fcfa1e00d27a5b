#!/usr/bin/env python3
"""What calls on descriptors that are no UDP sockets cost under the shim.

    measure_other.py PROGRAM LIBRARY [RUNS]

Runs other_calls without the shim, with it, and with it and a UDP socket in use, in turn. Printed for
each call are the medians in nanoseconds, and by how many each way is slower than without.
"""
import os
import statistics
import subprocess
import sys


def run(program, library, *arguments):
    environment = dict(os.environ, LD_PRELOAD=library) if library else dict(os.environ)
    output = subprocess.run([program, *arguments], env=environment, check=True, text=True,
                            stdout=subprocess.PIPE).stdout
    return {name: float(value) for name, value in map(str.split, output.splitlines())}


def main():
    program, library = map(os.path.abspath, sys.argv[1:3])
    ways = {"without": (None,), "with": (library,), "with a socket": (library, "socket")}
    runs = {way: [] for way in ways}
    for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 15):
        for way, (preload, *arguments) in ways.items():
            runs[way].append(run(program, preload, *arguments))
    for name in runs["without"][0]:
        medians = [statistics.median(values[name] for values in runs[way]) for way in ways]
        print(f"{name:10}" + "".join(
            f"  {way} {median:6.0f} ns" + (f" ({median - medians[0]:+.0f})" if index else "")
            for index, (way, median) in enumerate(zip(ways, medians))))


if __name__ == "__main__":
    main()
