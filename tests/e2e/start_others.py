"""An echo server that starts other programs between its answers, in every way there is.

    start_others.py PORT COUNT

Their status and output are checked; none of them has to do with the socket, which has a number that a
child inherits, and no descriptor reaches a child that would not reach it without the shim.
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


LIST = ["/bin/ls", "/proc/self/fd"]
STREAMS = {0, 1, 2}
inherited = set() # what a child has, as of before the first socket; and then that socket


def with_own(numbers):
    """And the one that ls reads the list by."""
    return numbers | {next(number for number in range(100) if number not in numbers)}


def expect_list(text, expected, what):
    expect(set(map(int, text.split())) == with_own(expected), f"{what}: {text.split()}")


def read_from(start):
    """What a program writes to the pipe that start is given to put in the place of its output."""
    read_end, write_end = os.pipe()
    pid = start(write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as output:
        text = output.read()
    expect(os.waitpid(pid, 0)[1] == 0, "a listing")
    return text


def listed_by_spawn(environment):
    actions = lambda end: [(os.POSIX_SPAWN_DUP2, end, 1), (os.POSIX_SPAWN_CLOSE, end)]
    return read_from(lambda end: os.posix_spawn(LIST[0], LIST, environment, file_actions=actions(end)))


def listed_by_fork(environment):
    def start(end):
        pid = os.fork()
        if pid == 0:
            os.dup2(end, 1)
            os.execve(LIST[0], LIST, environment)
        return pid
    return read_from(start)


def nothing_leaks():
    """The list is made by a program under the shim, and by one that is not."""
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    for environment in (os.environ, plain):
        for close_fds, expected in ((False, inherited), (True, STREAMS)):
            listed = subprocess.run(LIST, close_fds=close_fds, env=environment, check=True,
                                    stdout=subprocess.PIPE).stdout
            expect_list(listed, expected, f"subprocess, close_fds={close_fds}")
        for how in (listed_by_spawn, listed_by_fork):
            expect_list(how(environment), inherited, how.__name__)
    expect_list(subprocess.check_output(f"exec {' '.join(LIST)}", shell=True, close_fds=False),
                inherited, "by a shell")


WAYS = [
    nothing_leaks,
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
    inherited.update(number for number in map(int, os.listdir("/proc/self/fd"))
                     if number != 3 and os.get_inheritable(number)) # 3: that of the list
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    expect(sock.fileno() == 3, "the socket has the lowest free number")
    os.set_inheritable(sock.fileno(), True)
    inherited.add(sock.fileno())
    sock.bind(("127.0.0.1", port))
    for number in range(count):
        data, source = sock.recvfrom(65536)
        WAYS[number % len(WAYS)]()
        sock.sendto(data, source)


if __name__ == "__main__":
    main()
