"""Plain UDP: writes the messages that come in to standard output. Usage: receive.py HOST PORT"""
import asyncio
import struct
import sys


class Receiver(asyncio.DatagramProtocol):
    def datagram_received(self, data, addr):
        sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
        sys.stdout.buffer.flush()


async def main():
    address = (sys.argv[1], int(sys.argv[2]))
    await asyncio.get_running_loop().create_datagram_endpoint(Receiver, local_addr=address)
    await asyncio.Event().wait()


asyncio.run(main())
