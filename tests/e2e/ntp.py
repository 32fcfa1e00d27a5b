"""Plain UDP: one exchange of SNTP (RFC 4330). Usage: ntp.py serve|ask ADDRESS"""
import socket
import struct
import sys

NTP_PORT = 123
SECONDS = 3_900_000_000

verb, address = sys.argv[1:]
ntp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ntp.settimeout(20)
if verb == "serve":
    ntp.bind((address, NTP_PORT))
    print("ready", flush=True)
    request, client = ntp.recvfrom(65536)
    assert len(request) == 48 and request[0] & 7 == 3, request
    ntp.sendto(bytes([0x24]) + bytes(39) + struct.pack(">II", SECONDS, 0), client)
else:
    ntp.connect((address, NTP_PORT))
    ntp.send(bytes([0x23]) + bytes(47))
    answer = ntp.recv(65536)
    assert answer[0] & 7 == 4 and struct.unpack(">I", answer[40:44])[0] == SECONDS, answer
