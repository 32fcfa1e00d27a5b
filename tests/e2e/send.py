"""Plain UDP: sends the messages of standard input. Usage: send.py HOST PORT"""
import socket
import struct
import sys

sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while header := sys.stdin.buffer.read(4):
    sock.sendto(sys.stdin.buffer.read(struct.unpack(">I", header)[0]),
                (sys.argv[1], int(sys.argv[2])))
