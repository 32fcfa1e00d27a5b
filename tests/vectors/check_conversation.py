#!/usr/bin/env python3
"""Listens to two real endpoints with the decoder that knows only docs/protocol.md.

    check_conversation.py PROGRAM    PROGRAM prints what dump_conversation.c says

Every packet must decode, and encode again to the same bytes: the core writes canonically. Put together,
the ranges that a side sent must be the messages it was given, each behind its length. Together the
conversations must hold every packet and frame type, or they would prove less than they seem to.
"""
import subprocess
import sys

sys.dont_write_bytecode = True  # the source tree stays clean

import decode

RESTARTED_SCENE = "reset"  # its offsets start again from 0, for a part of the messages


class Fault(Exception):
    pass


def need(condition, detail):
    if not condition:
        raise Fault(detail)


class Stream:
    """What one side sent in one scene."""

    def __init__(self):
        self.messages = []
        self.bytes = {}  # offset to byte
        self.starts = []  # (offset, start offset)

    def add(self, frame):
        for at, byte in enumerate(bytes.fromhex(frame["data"]), frame["offset"]):
            need(self.bytes.setdefault(at, byte) == byte, f"two different bytes at offset {at}")
        if "start_offset" in frame:
            self.starts.append((frame["offset"], frame["start_offset"]))

    def check(self):
        stream = bytes(self.bytes.get(at, 0) for at in range(len(self.bytes)))
        expected = [decode.put_varint(len(message)) + message for message in self.messages]
        need(stream == b"".join(expected), "the stream is not the messages")
        begins, offset = [], 0
        for message in expected:
            begins.append(offset)
            offset += len(message)
        for offset, start in self.starts:
            first = next(begin for begin in begins if begin >= offset)
            need(start == first, f"range at {offset}: first message at {first}, not {start}")


class Conversation:
    def __init__(self):
        self.packet_types = set()
        self.frame_types = set()
        self.streams = {}
        self.packet_count = 0

    def add_packet(self, stream, data):
        packet = decode.decode(data)
        need(decode.encode(packet) == data, "is not canonical")
        self.packet_count += 1
        self.packet_types.add(packet["type"])
        for frame in packet.get("frames", []):
            self.frame_types.add(frame["type"])
            if frame["type"].startswith("DATA"):
                stream.add(frame)

    def add_line(self, line):
        kind, scene, side, *text = line.split()
        data = bytes.fromhex("".join(text))
        stream = self.streams.setdefault((scene, side), Stream())
        if kind == "message":
            stream.messages.append(data)
        elif kind == "forged":
            decode.decode(data)
        else:
            need(kind == "packet", f"a line of kind {kind}")
            self.add_packet(Stream() if scene == RESTARTED_SCENE else stream, data)

    def check(self):
        for (scene, side), stream in self.streams.items():
            try:
                if scene != RESTARTED_SCENE:
                    stream.check()
            except Fault as fault:
                raise Fault(f"{scene}, {side}: {fault}") from fault
        missing = {"SHORT", *decode.LONG_TYPES} - self.packet_types
        missing |= set(decode.FRAME_TYPES) - self.frame_types
        need(not missing, f"never seen: {', '.join(sorted(missing))}")


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    lines = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    conversation = Conversation()
    line = None
    try:
        for line in lines.splitlines():
            conversation.add_line(line)
        line = "at the end"
        conversation.check()
    except (Fault, decode.Refused) as fault:
        print(f"{line[:300]}: {fault}", file=sys.stderr)
        return 1
    print(f"{conversation.packet_count} packets")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
