"""Plain UDP: sends COUNT requests from OWN_PORT, each when the one before was answered, and says so
on standard output. With "wait" each but the first also waits for a line, or the end, of standard
input. Usage: call.py OWN_PORT HOST PORT COUNT [wait]"""
import socket
import sys

own_port, host, port, count = sys.argv[1:5]
waits = sys.argv[5:] == ["wait"]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
caller = socket.socket(family, socket.SOCK_DGRAM)
caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
caller.bind(("" if family == socket.AF_INET else "::", int(own_port)))
for index in range(int(count)):
    if waits and index > 0:
        sys.stdin.readline()
    request = f"request {index}".encode()
    caller.sendto(request, (host, int(port)))
    answer = caller.recv(65536)
    if answer != request:
        sys.exit(f"{answer!r} instead of {request!r}")
    print(index, flush=True)
