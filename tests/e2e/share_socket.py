"""Programs that share one UDP socket by other ways than fork.

    share_socket.py spawn PORT COUNT [--report FILE]     a child that is another program answers
    share_socket.py pass PORT PATH [PEER_PORT]           binds (not to 0; and connects), passes the socket
                                                         over PATH and closes it
    share_socket.py take PATH COUNT                      answers COUNT datagrams on the socket passed
    share_socket.py bind PATH COUNT PORT [PEER_PORT]     the same with a socket that nobody has bound yet
    share_socket.py send PATH PEER_PORT                  sends on the socket passed when standard input
                                                         ends, and prints what came of it
    share_socket.py call PORT COUNT PEER_PORT            asks from PORT; each answer repeats its question
"""
import errno
import os
import socket
import struct
import subprocess
import sys
import time

SO_TIMESTAMPNS = 35
HOST = "127.0.0.1"
HERE = os.path.dirname(os.path.abspath(__file__))


def bound(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, port))
    return sock


def spawn(port, count, *report):
    sock = bound(port)
    command = [sys.executable, os.path.join(HERE, "echo_service.py"), str(sock.fileno()), str(count)]
    subprocess.run([*command, *report], pass_fds=[sock.fileno()], check=True)
    print(sock.getsockname()[1])


def pass_on(port, path, peer_port=None):
    """Waits until the other side hangs up: this process serves the socket, which it has closed."""
    sock = bound(port) if port else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if peer_port is not None:
        sock.connect((HOST, int(peer_port)))
    server = socket.socket(socket.AF_UNIX)
    server.bind(path + ".new")
    server.listen()
    os.rename(path + ".new", path)
    connection, _ = server.accept()
    socket.send_fds(connection, [b"x"], [sock.fileno()])
    sock.close()
    connection.recv(1)


def receive_socket(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    _, fds, _, _ = socket.recv_fds(connection, 1, 1)
    return connection, socket.socket(fileno=fds[0])


def is_connected(sock):
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def reply(sock, data, source):
    if is_connected(sock):
        sock.send(data)
    else:
        sock.sendto(data, source)


def answer(sock, count):
    print(sock.fileno(), sock.getsockname()[1], flush=True)
    for _ in range(int(count)):
        reply(sock, *sock.recvfrom(65536))


def take(path, count):
    connection, sock = receive_socket(path)
    answer(sock, count)
    connection.close()


def bind(path, count, port, peer_port=None):
    """What arrives tells the time of its arrival, which was asked for here."""
    connection, sock = receive_socket(path)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((HOST, int(port)))
    if peer_port is not None:
        sock.connect((HOST, int(peer_port)))
    begin = time.time()
    data, controls, _, source = sock.recvmsg(65536, 256)
    seconds = struct.unpack("qq", controls[0][2])[0]
    if not begin - 1 <= seconds <= time.time() + 1:
        raise SystemExit(f"arrived at {seconds}, not {begin}")
    reply(sock, data, source)
    answer(sock, int(count) - 1)
    connection.close()


def send(path, peer_port):
    _, sock = receive_socket(path)
    print(sock.getsockname()[1], flush=True)
    sys.stdin.read()
    try:
        sock.sendto(b"x", (HOST, int(peer_port)))
    except OSError as error:
        print(errno.errorcode[error.errno])
    print(sock.getsockname()[1])


def call(port, count, peer_port):
    sock = bound(port)
    sock.connect((HOST, peer_port))
    for number in range(count):
        question = f"question {number}".encode() * (number * 7 % 300)
        sock.send(question)
        if sock.recv(65536) != question:
            raise SystemExit(f"answer {number} is wrong")


def main():
    verb, *arguments = sys.argv[1:]
    if verb == "spawn":
        spawn(int(arguments[0]), int(arguments[1]), *arguments[2:])
    elif verb == "pass":
        pass_on(int(arguments[0]), *arguments[1:])
    elif verb == "take":
        take(*arguments)
    elif verb == "bind":
        bind(*arguments)
    elif verb == "send":
        send(*arguments)
    else:
        call(*map(int, arguments))


if __name__ == "__main__":
    main()
