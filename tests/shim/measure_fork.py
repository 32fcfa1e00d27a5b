#!/usr/bin/env python3
"""What starting another program costs a process that has sockets, under the shim.

    measure_fork.py [--runs N] [--sockets N,N...] LIBRARY...

A process with that many sockets, each in conversation, starts true(1) and waits for its end, in turn
by fork and exec, and by posix_spawn (a vfork), without and with each library. Printed are medians in
microseconds, the last column for a child that runs without the library itself.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

PROGRAM = r"""
import json, os, socket, sys, time
runs, count = map(int, sys.argv[1:])
plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sockets = []
if count > 0:
    peer.bind(("127.0.0.1", 0))
else:
    peer.close()
for _ in range(count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(peer.getsockname())
    sock.send(b"question")
    peer.sendto(b"answer", peer.recvfrom(100)[1])
    sock.recv(100)
    sockets.append(sock)

def by_fork(environment):
    pid = os.fork()
    if pid == 0:
        os.execve("/bin/true", ["true"], environment)
    os.waitpid(pid, 0)

def by_spawn(environment):
    os.waitpid(os.posix_spawn("/bin/true", ["true"], environment), 0)

def measure(start, environment):
    begin = time.perf_counter_ns()
    start(environment)
    return (time.perf_counter_ns() - begin) / 1000

ways = ((by_fork, os.environ), (by_spawn, os.environ), (by_fork, plain))
times = [[] for _ in ways]
for _ in range(runs):
    for way, result in zip(ways, times):
        result.append(measure(*way))
print(json.dumps(times))
"""


def run(library, runs, count):
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    if library is not None:
        environment["LD_PRELOAD"] = os.path.abspath(library)
    result = subprocess.run([sys.executable, "-c", PROGRAM, str(runs), str(count)],
                            env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--sockets", default="0,1,100")
    parser.add_argument("libraries", nargs="+")
    options = parser.parse_args()
    kinds = [None, *options.libraries]
    rounds = 10 # so that what else the machine does meets all kinds alike
    print(f"{'sockets':>8} {'fork':>8} {'spawn':>8} {'clean':>8}")
    for count in map(int, options.sockets.split(",")):
        times = {kind: [[], [], []] for kind in kinds}
        for _ in range(rounds):
            for kind in kinds:
                for all_times, more in zip(times[kind], run(kind, options.runs // rounds, count)):
                    all_times += more
        for kind in kinds:
            medians = " ".join(f"{statistics.median(way):8.1f}" for way in times[kind])
            print(f"{count:8} {medians}  {kind or 'without'}")


if __name__ == "__main__":
    main()
