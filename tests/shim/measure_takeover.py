#!/usr/bin/env python3
"""Measures how long a socket is not served when the process that runs it is killed.

    measure_takeover.py SHIM [RUNS]        exit status 1 when a message was lost or came twice

A server forks a worker that receives on its socket; a client sends a number every millisecond.
The server is killed by SIGKILL. Printed is the time from the kill to the next message in the worker's
hands: median, lowest and highest. The worker ends as soon as it has the last message; the client must
learn that it was read.
"""
import os
import signal
import statistics
import subprocess
import sys
import time

SERVER = """
import os, signal, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
if os.fork() > 0:
    signal.alarm(60)  # where nobody kills it
    signal.pause()
    os._exit(1)
while True:
    number = sock.recv(100).decode()
    print(number, time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
    if number == "end":
        os._exit(0)
"""
CLIENT = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
for number in range(300):
    sock.send(str(number).encode())
    time.sleep(0.001)
sock.send(b"end")
"""
KILL_AT = 100


def start(program, shim, *arguments):
    return subprocess.Popen([sys.executable, "-c", program, *arguments], text=True,
                            env=dict(os.environ, LD_PRELOAD=shim, RUDP_LOG="warn"),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def measure(shim):
    """Milliseconds, and whether every message came once and in order."""
    server = start(SERVER, shim)
    client = start(CLIENT, shim, server.stdout.readline().strip())
    arrivals = []
    killed_ns = None
    for line in server.stdout:
        number, when_ns = line.split()
        arrivals.append((number, int(when_ns)))
        if number == str(KILL_AT):
            server.send_signal(signal.SIGKILL)
            killed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    complaints = client.communicate()[1]
    server.wait()
    gap_ns = min(when - killed_ns for _, when in arrivals if when > killed_ns)
    numbers = [number for number, _ in arrivals]
    return gap_ns / 1e6, numbers == [*map(str, range(300)), "end"] and complaints == ""


def main():
    shim = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    results = [measure(shim) for _ in range(runs)]
    gaps = [gap for gap, _ in results]
    print(f"{runs} runs, milliseconds: median {statistics.median(gaps):.2f}, "
          f"lowest {min(gaps):.2f}, highest {max(gaps):.2f}")
    whole_count = sum(whole for _, whole in results)
    print("every message once, in order and known to be read:", whole_count, "of", runs)
    return 0 if whole_count == runs else 1


if __name__ == "__main__":
    sys.exit(main())
