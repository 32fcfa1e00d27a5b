"""Plain UDP: answers every datagram with the same bytes. Usage: echo.py HOST PORT"""
import socket
import sys

host, port = sys.argv[1:]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
echo = socket.socket(family, socket.SOCK_DGRAM)
echo.bind((host, int(port)))
while True:
    data, source = echo.recvfrom(65536)
    echo.sendto(data, source)
