"""Plain UDP on many ports of a host. Usage: many_ports.py receive|send HOST PORT,PORT,...
"send" sends one message to each; "receive" prints the port of each message that arrives."""
import select
import socket
import sys

verb, host, ports = sys.argv[1:]
ports = [int(port) for port in ports.split(",")]
if verb == "send":
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in ports:
        sender.sendto(b"message", (host, port))
else:
    receivers = {}
    poll = select.poll()
    for port in ports:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((host, port))
        receivers[receiver.fileno()] = receiver
        poll.register(receiver, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if receivers[fd].recv(100) == b"message":
                print(receivers[fd].getsockname()[1], flush=True)
