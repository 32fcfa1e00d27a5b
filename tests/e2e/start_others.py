"""An echo server that starts other programs between its answers, in every way there is.

    start_others.py PORT COUNT

Their status and output are checked; none of them has to do with the socket.
"""
import os
import socket
import subprocess
import sys

TRUE = ["/bin/true"]


def expect(condition, what):
    if not condition:
        raise SystemExit(what)


def posix_spawn():
    """With the socket's number closed in the child, and another one put in its place."""
    actions = [(os.POSIX_SPAWN_CLOSE, 3), (os.POSIX_SPAWN_DUP2, 1, 3)]
    pid = os.posix_spawn(TRUE[0], TRUE, os.environ, file_actions=actions)
    expect(os.waitpid(pid, 0)[1] == 0, "posix_spawn")


def fork_exec():
    pid = os.fork()
    if pid == 0:
        os.execv(TRUE[0], TRUE)
    expect(os.waitpid(pid, 0)[1] == 0, "fork and exec")


def sockets_of_child():
    """A child that talks by UDP itself, under the shim as well."""
    program = ("import socket; a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(2)); "
               "b.bind(('127.0.0.1', 0)); a.sendto(b'own', b.getsockname()); print(b.recv(9))")
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    expect(output == b"b'own'\n", f"a child with sockets: {output}")


WAYS = [
    lambda: subprocess.run(TRUE, close_fds=True, check=True),
    lambda: subprocess.run(TRUE, close_fds=False, check=True),
    lambda: subprocess.run(TRUE, preexec_fn=os.getpid, check=True),
    lambda: expect(os.system("exit 3") == 3 << 8, "system"),
    lambda: expect(os.popen("echo popen").read() == "popen\n", "popen"),
    posix_spawn,
    fork_exec,
    sockets_of_child,
]


def main():
    port, count = map(int, sys.argv[1:])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    expect(sock.fileno() == 3, "the socket has the lowest free number")
    os.set_inheritable(sock.fileno(), True)
    sock.bind(("127.0.0.1", port))
    for number in range(count):
        data, source = sock.recvfrom(65536)
        WAYS[number % len(WAYS)]()
        sock.sendto(data, source)


if __name__ == "__main__":
    main()
