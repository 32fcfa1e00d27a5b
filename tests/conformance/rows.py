"""What a program can observe of a UDP socket: the rows of docs/conformance.md."""
import collections

Row = collections.namedtuple("Row", "number text elsewhere", defaults=("",))

_TEXTS = """\
one receive takes one datagram, the rest of it is gone
MSG_TRUNC, in and out
MSG_PEEK
MSG_DONTWAIT, O_NONBLOCK
MSG_WAITALL has no meaning
datagrams of no length
the source address in any room
destinations: elsewhere, none, port 0, odd ones
connect: peer, filter, local address, what was queued
connect to AF_UNSPEC
bind: twice, in use, any port, automatically, privileged
listen and accept
errors of the network on connected sockets, once
errors of the network on unconnected sockets
the error queue
sizes, up to the largest
path MTU discovery
FIONREAD
SIOCOUTQ
time limits
buffer sizes
a receiver that does not read
no SIGPIPE
shutdown
close while another thread is blocked
interrupted calls
signal-driven input
poll
select
epoll
recvmmsg
sendmmsg
read, write, readv, writev
pread, lseek
sendfile, splice
destination and source address of a message
hop limit, traffic class, original destination
time stamps
room for control messages
sharing and steering options
broadcast and multicast, never touched
IPv4 on IPv6 sockets, scope, flow
names: lengths, families, before bind
what a socket says of itself
corking, segments and other offers of the kernel
flags with little or no meaning
copies of a descriptor, and its number
close-on-exec, non-blocking from the start
descriptors passed between processes
descriptors inherited over exec
servers that fork
several threads, sends from signal handlers
cancelled threads
closing many, streams on sockets
calls past libc
the socket in /proc and fstat
requests about network devices
sockets that are none of our business
errors of the caller, and which comes first
the cost for other descriptors
""".splitlines()

_ELSEWHERE = {
    49: "tests/e2e/test_adopt.py",
    50: "tests/e2e/test_adopt.py",
    55: "tests/shim/test_past.c; differs: past-hooks",
    60: "a cost: tests/shim/measure_other.py",
}

ROWS = [Row(number, text, _ELSEWHERE.get(number, ""))
        for number, text in enumerate(_TEXTS, 1)]
