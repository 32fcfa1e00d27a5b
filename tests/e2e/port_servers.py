"""Servers with several sockets on one port; they know nothing of the shim.

    port_servers.py connected PORT      a socket for each client, connected to it, as DTLS servers do
    port_servers.py threads PORT        a SO_REUSEPORT group of threads that come and go
    port_servers.py processes PORT      the same of processes, each with a socket of its own
    port_servers.py prefork PORT        a parent and children that all receive on one socket
    port_servers.py fork PORT           a child for each request, which answers on the socket it got
    port_servers.py listen PORT         a child for each client: connects the socket it got to it, while
                                        the parent makes another one for the next client
    port_servers.py successor PORT      a child for each client: answers from a new socket, connected to it
    port_servers.py restart PORT        one that ends cleanly at SIGTERM

Every datagram is sent back to where it came from; restart and connected say so on standard output.
"""
import os
import random
import selectors
import signal
import socket
import sys
import threading

BUFFER = 65536
WORKER_COUNT = 4
LIFE_S = (0.1, 0.5)


def bound(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind(("127.0.0.1", port))
    return server


def answer_until(server, stop, note=b""):
    """Answers until stop is readable."""
    server.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.register(stop, selectors.EVENT_READ)
        leaving = False
        while not leaving:
            leaving = any(key.fileobj is stop for key, _ in selector.select())
            try:
                while True:
                    data, client = server.recvfrom(BUFFER)
                    server.sendto(data, client)
                    os.write(1, note)
            except BlockingIOError:
                pass


def connected(port):
    listener = bound(port)
    clients = {}
    stray_count = 0
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not listener:
                    key.fileobj.send(key.fileobj.recv(BUFFER))
                    continue
                data, client = listener.recvfrom(BUFFER)
                if client in clients:
                    stray_count += 1
                    print(f"strays {stray_count}", flush=True)
                else:
                    clients[client] = bound(port)
                    clients[client].connect(client)
                    selector.register(clients[client], selectors.EVENT_READ)
                clients[client].send(data)


def come_and_go(start):
    """Workers leave after a while, and others come in their place. start(seconds) makes one and
    returns what waits for its end."""
    workers = [start(random.uniform(*LIFE_S)) for _ in range(WORKER_COUNT)]
    while True:
        workers.pop(0)()
        workers.append(start(random.uniform(*LIFE_S)))


def threads(port):
    def work(server, seconds):
        stop, stopper = socket.socketpair()
        timer = threading.Timer(seconds, stopper.close)
        timer.start()
        answer_until(server, stop)
        server.close()
        timer.join()
        stop.close()

    def start(seconds):
        worker = threading.Thread(target=work, args=(bound(port), seconds))
        worker.start()
        return worker.join
    come_and_go(start)


def processes(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def start(seconds):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            stop, stopper = socket.socketpair()
            server = bound(port)
            theirs.send(b"b")
            threading.Timer(seconds, stopper.close).start()
            answer_until(server, stop)
            server.close()
            theirs.close()
            os._exit(0)
        theirs.close()
        ours.recv(1)  # it is bound

        def await_close():  # it may deliver what it has sent for some time yet
            ours.recv(1)
            ours.close()
        return await_close
    come_and_go(start)


def prefork(port):
    server = bound(port)
    for _ in range(WORKER_COUNT):
        if os.fork() == 0:
            break
    while True:
        data, client = server.recvfrom(BUFFER)
        server.sendto(data, client)


def fork(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = bound(port)
    while True:
        data, client = server.recvfrom(BUFFER)
        if os.fork() == 0:
            server.sendto(data, client)
            os._exit(0)


def serve_connected(server):
    while True:
        server.send(server.recv(BUFFER))


def listen(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        server = bound(port)
        _, client = server.recvfrom(BUFFER, socket.MSG_PEEK)
        if os.fork() == 0:
            server.connect(client)
            serve_connected(server)
        server.close()


def successor(port):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = bound(port)
    seen = set()
    while True:
        data, client = listener.recvfrom(BUFFER)
        if client in seen:
            print(f"again {client}", flush=True)
        seen.add(client)
        if os.fork() == 0:
            listener.close()
            server = bound(port)
            server.connect(client)
            server.send(data)
            serve_connected(server)


def restart(port):
    stop, stopper = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: stopper.close())
    answer_until(bound(port), stop, b".")


if __name__ == "__main__":
    {"connected": connected, "threads": threads, "processes": processes, "prefork": prefork,
     "fork": fork, "listen": listen, "successor": successor, "restart": restart}[sys.argv[1]](int(sys.argv[2]))
