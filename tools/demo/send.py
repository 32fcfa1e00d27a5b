"""Sends standard input as UDP datagrams of 1,024 bytes. Usage: send.py HOST PORT"""
import asyncio
import sys

DATAGRAM_BYTES = 1024


async def main():
    loop = asyncio.get_running_loop()
    address = (sys.argv[1], int(sys.argv[2]))
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol,
                                                       remote_addr=address)
    while data := await loop.run_in_executor(None, sys.stdin.buffer.read, DATAGRAM_BYTES):
        transport.sendto(data)
    transport.close()


asyncio.run(main())
