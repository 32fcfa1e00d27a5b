"""Prints each datagram that comes to the port: by socketserver, asyncio, gevent or Twisted."""
import sys

how, port = sys.argv[1], int(sys.argv[2])


def show(data):
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


if how == "socketserver":
    import socketserver

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            show(self.request[0])

    socketserver.UDPServer(("0.0.0.0", port), Handler).serve_forever()
elif how == "asyncio":
    import asyncio

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            show(data)

    async def serve():
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(Protocol, local_addr=("0.0.0.0", port))
        await loop.create_future()

    asyncio.run(serve())
elif how == "gevent":
    from gevent.server import DatagramServer
    DatagramServer(("0.0.0.0", port), lambda data, _: show(data)).serve_forever()
elif how == "twisted":
    from twisted.internet import protocol, reactor

    class Receiver(protocol.DatagramProtocol):
        def datagramReceived(self, datagram, addr):
            show(datagram)

    reactor.listenUDP(port, Receiver())
    reactor.run()
