"""A super-server as inetd is one, for one "dgram udp wait" service.

    super_server.py PORT RUNS COMMAND...

When a datagram waits on the port, it starts the command with the socket as descriptors 0, 1 and 2, and
looks at the socket again when the command has ended; RUNS times.
"""
import select
import socket
import subprocess
import sys


def main():
    port, runs, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    for _ in range(runs):
        select.select([sock], [], [])
        subprocess.run(command, stdin=sock, stdout=sock, stderr=sock, check=False)
        print("reaped", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
