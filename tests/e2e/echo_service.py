"""A service on a datagram socket that it was started with: answers COUNT datagrams, then ends.

    echo_service.py FD COUNT [--report FILE]

It waits in poll before it receives, as programs do that serve several sockets. The report is what it
saw of the descriptor at its start.
"""
import argparse
import fcntl
import json
import os
import select
import socket


def look(fd):
    sock = socket.socket(fileno=os.dup(fd))
    seen = {
        "family": sock.family,
        "name": sock.getsockname(),
        "nonblocking": bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK),
        "closes_on_exec": bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC),
    }
    sock.close()
    return seen


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fd", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--report")
    options = parser.parse_args()
    if options.report:
        with open(options.report, "a", encoding="ascii") as report:
            report.write(json.dumps(look(options.fd)) + "\n")
    sock = socket.socket(fileno=options.fd)
    readable = select.poll()
    readable.register(sock, select.POLLIN)
    for _ in range(options.count):
        readable.poll()
        data, source = sock.recvfrom(65536)
        sock.sendto(data, source)


if __name__ == "__main__":
    main()
