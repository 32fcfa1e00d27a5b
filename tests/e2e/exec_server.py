"""An echo server that runs a new image of itself, which goes on with the socket.

    exec_server.py PORT COUNT IMAGES        each image answers COUNT datagrams
"""
import os
import socket
import sys


def main():
    port, count, images = map(int, sys.argv[1:4])
    if len(sys.argv) > 4:
        sock = socket.socket(fileno=int(sys.argv[4]))
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", port))
    print(sock.fileno(), sock.getsockname()[1], flush=True)
    for _ in range(count):
        data, source = sock.recvfrom(65536)
        sock.sendto(data, source)
    if images > 1:
        os.set_inheritable(sock.fileno(), True)
        os.execv(sys.executable, [sys.executable, __file__, str(port), str(count), str(images - 1),
                                  str(sock.fileno())])


if __name__ == "__main__":
    main()
