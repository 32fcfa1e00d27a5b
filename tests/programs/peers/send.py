"""Sends each line of standard input as a datagram: by a socket, asyncio, gevent or Twisted."""
import sys

how, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
lines = iter(sys.stdin.buffer.readline, b"")

if how == "socketserver":
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for line in lines:
            sock.sendto(line.rstrip(b"\n"), (host, port))
elif how == "asyncio":
    import asyncio

    async def send():
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol,
                                                           remote_addr=(host, port))
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            transport.sendto(line.rstrip(b"\n"))
        transport.close()

    asyncio.run(send())
elif how == "gevent":
    from gevent import socket
    from gevent.fileobject import FileObject

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((host, port))
    for line in FileObject(sys.stdin.buffer, "rb"):
        sock.send(line.rstrip(b"\n"))
elif how == "twisted":
    from twisted.internet import protocol, reactor, stdio
    from twisted.protocols import basic

    class Sender(protocol.DatagramProtocol):
        def startProtocol(self):
            self.transport.connect(host, port)

    class Lines(basic.LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line):
            sender.transport.write(line)

        def connectionLost(self, reason):
            reactor.stop()

    sender = Sender()
    reactor.listenUDP(0, sender)
    stdio.StandardIO(Lines())
    reactor.run()
