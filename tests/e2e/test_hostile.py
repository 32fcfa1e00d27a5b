"""Bytes that no honest peer sends, thrown at a live session: ignored, counted, and every message still
arrives once and unaltered.

A tap between sender and receiver passes packets on and remembers them. It throws forgeries at the
receiver from the very address of the session's peer, from a stranger's, and back at the sender.
Ids it knows are only used in replays, unchanged or damaged: without encryption, who reads the
wire and makes valid packets with the right ids can speak for the peer.
"""
import os
import random
import socket
import sys
import threading

import harness
from harness import HERE, HOST, EndToEndTest, built, make_messages, pack

sys.path.insert(0, os.path.join(HERE, "..", "vectors"))
import decode  # noqa: E402 pylint: disable=wrong-import-position

UNKNOWN_ID = "1122334455667788"
FORGED_EVERY = 4  # packets of the sender between two forgeries
HELLO_BYTE, SHORT_BYTE = 0xC0, 0x40


def short(destination_id, number, *frames):
    return decode.encode({"type": "SHORT", "destination_id": destination_id,
                          "packet_number": number, "frames": list(frames)})


def hello(source_id, version):
    return decode.encode({"type": "HELLO", "version": version, "destination_id": "00" * 8,
                          "source_id": source_id, "packet_number": 0, "token": "",
                          "frames": [{"type": "RAW", "hex": "0b00"},
                                     {"type": "PADDING", "bytes": 1100}]})


def forgeries(generator, seen):
    """One packet of every kind, made anew each time: garbage, damaged and replayed packets, and whole
    ones about sessions that do not exist."""
    genuine = generator.choice(seen)
    flipped = bytearray(genuine)
    flipped[generator.randrange(len(flipped))] ^= 1 << generator.randrange(8)
    yield generator.randbytes(generator.randrange(1, 1500))
    yield b""
    yield genuine[:1]
    yield bytes(flipped)
    yield genuine[:generator.randrange(len(genuine))]
    yield genuine + b"\0"
    yield genuine
    yield generator.randbytes(60000)
    yield short(UNKNOWN_ID, 5, {"type": "DATA", "offset": 0, "data": "ff"})
    yield short(UNKNOWN_ID, 6, {"type": "CLOSE", "code": 1})
    yield decode.encode({"type": "RESET", "version": 1, "destination_id": "00" * 8,
                         "source_id": UNKNOWN_ID})
    yield hello(UNKNOWN_ID, 77)
    yield hello(UNKNOWN_ID, 1)
    yield decode.encode({"type": "VERSION", "version": 0, "source_id": "00" * 8,
                         "destination_id": UNKNOWN_ID, "versions": [9]})


class Tap(threading.Thread):
    """Passes datagrams between one client and the target, forging some in between."""

    def __init__(self, target_port):
        super().__init__(daemon=True)
        self.down = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.up = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.down.bind((HOST, 0))
        self.up.connect((HOST, target_port))
        self.stranger.connect((HOST, target_port))
        self.port = self.down.getsockname()[1]
        self.client = None
        self.seen = []
        self.forged_count = 0
        self.generator = random.Random(1)
        self.answers = threading.Thread(target=self.pass_back, daemon=True)

    def run(self):
        while True:
            packet, self.client = self.down.recvfrom(65536)
            if not packet:
                return  # stop() woke us
            if not self.answers.is_alive():
                self.answers.start()
            self.up.send(packet)
            # The sender's answers to forgeries are not for replay: a RESET with the right id is one.
            if packet[0] in (HELLO_BYTE, SHORT_BYTE):
                self.seen.append(packet)
                if len(self.seen) % FORGED_EVERY == 0:
                    self.forge()

    def forge(self):
        for packet in forgeries(self.generator, self.seen):
            self.forged_count += 1
            self.up.send(packet)
            self.down.sendto(packet, self.client)
            if packet not in self.seen or packet[0] == SHORT_BYTE:
                self.stranger.send(packet)  # a hello from another address is another's session

    def pass_back(self):
        while packet := self.up.recv(65536):
            self.down.sendto(packet, self.client)

    def stop(self):
        wake = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wake.sendto(b"", (HOST, self.port))
        self.join()
        self.up.shutdown(socket.SHUT_RDWR)
        for sock in (self.down, self.up, self.stranger, wake):
            sock.close()


class HostileTest(EndToEndTest):
    def attack(self, receive_command, **arguments):
        data = pack(make_messages(1, 1500, (10, 700)))
        port = harness.free_port()
        receiver = self.start([*receive_command, HOST, str(port)],
                              **arguments).wait_bound(port)
        tap = Tap(port)
        tap.start()
        self.addCleanup(tap.stop)
        sender = self.start([built("udp_stream"), "send", HOST, str(tap.port)], data=data)
        self.assert_transferred(receiver, data, [sender])
        self.assertGreater(tap.forged_count, 100)
        return receiver

    def test_a_program_under_the_shim_does_not_notice(self):
        self.attack([built("udp_stream"), "receive"])

    def test_each_kind_is_counted(self):
        gate_read, gate_write = os.pipe()
        receiver = self.attack([built("counting_receiver")], stdin=gate_read, plain=True)
        os.close(gate_read)
        os.close(gate_write)
        self.assertEqual(receiver.wait(), 0)
        counts = dict(line.rsplit(" ", 1) for line in receiver.read_errors().splitlines())
        for reason in ("CHECK", "DUPLICATE", "UNKNOWN_ID", "VERSION",
                       "datagrams not of the protocol"):
            self.assertGreater(int(counts[reason]), 0, counts)


if __name__ == "__main__":
    harness.main()
