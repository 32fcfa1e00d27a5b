"""Plain UDP: groups and broadcast. Prints "ready", then every datagram that arrives.

    groups.py receive JOIN GROUP PORT INTERFACE   joins and answers a "query" to its sender
    groups.py send GROUP PORT INTERFACE COUNT     sends "query" and waits for COUNT answers, or
                                                  "notice" when that is 0
    groups.py listen PORT                         answers a broadcast by broadcast to PORT + 1
    groups.py shout ADDRESS PORT                  broadcasts "query" from PORT + 1, waits for one

JOIN: membership (IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP), group or source (MCAST_JOIN_...)."""
import ipaddress
import socket
import struct
import sys

MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP = 42, 46


def say(data):
    print(data.decode(), flush=True)


def sockaddr(address):
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        return struct.pack("=HH4s", socket.AF_INET, 0, ip.packed).ljust(128, b"\0")
    return struct.pack("=HHI16s", socket.AF_INET6, 0, 0, ip.packed).ljust(128, b"\0")


def make(address):
    is_v6 = ":" in address
    made = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(20)
    return made, socket.IPPROTO_IPV6 if is_v6 else socket.IPPROTO_IP


def join(receiver, level, how, group, interface, source):
    index = struct.pack("@I4x", socket.if_nametoindex(interface))
    if how == "group":
        receiver.setsockopt(level, MCAST_JOIN_GROUP, index + sockaddr(group))
    elif how == "source":
        receiver.setsockopt(level, MCAST_JOIN_SOURCE_GROUP,
                            index + sockaddr(group) + sockaddr(source))
    elif level == socket.IPPROTO_IPV6:
        receiver.setsockopt(level, socket.IPV6_JOIN_GROUP, socket.inet_pton(
            socket.AF_INET6, group) + index[:4])
    else:
        receiver.setsockopt(level, socket.IP_ADD_MEMBERSHIP,
                            socket.inet_aton(group) + bytes(4) + index[:4])


def receive(how, group, port, interface, source=None):
    receiver, level = make(group)
    receiver.bind(("", int(port)))
    join(receiver, level, how, group, interface, source)
    say(b"ready")
    data, sender = receiver.recvfrom(65536)
    say(data)
    if data == b"query":
        receiver.sendto(b"answer", sender)


def send(group, port, interface, count):
    sender, level = make(group)
    index = socket.if_nametoindex(interface)
    if level == socket.IPPROTO_IPV6:
        options = {socket.IPV6_MULTICAST_IF: index, socket.IPV6_MULTICAST_HOPS: 3,
                   socket.IPV6_MULTICAST_LOOP: 0}
    else:
        sender.setsockopt(level, socket.IP_MULTICAST_IF, struct.pack("@4x4xI", index))
        options = {socket.IP_MULTICAST_TTL: 3, socket.IP_MULTICAST_LOOP: 0}
    for option, value in options.items():
        sender.setsockopt(level, option, value)
        assert sender.getsockopt(level, option) == value
    say(b"ready")
    sender.sendto(b"query" if int(count) > 0 else b"notice", (group, int(port)))
    for _ in range(int(count)):
        say(sender.recv(65536))


def listen(port):
    listener, _ = make("")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    listener.bind(("", int(port)))
    say(b"ready")
    data, _ = listener.recvfrom(65536)
    say(data)
    listener.sendto(b"answer", ("255.255.255.255", int(port) + 1))


def shout(address, port):
    shouter, _ = make("")
    shouter.bind(("", int(port) + 1))
    try:
        shouter.sendto(b"query", (address, int(port)))
        sys.exit("no permission was needed")
    except PermissionError:
        shouter.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    say(b"ready")
    shouter.sendto(b"query", (address, int(port)))
    say(shouter.recv(65536))


{"receive": receive, "send": send, "listen": listen, "shout": shout}[sys.argv[1]](*sys.argv[2:])
