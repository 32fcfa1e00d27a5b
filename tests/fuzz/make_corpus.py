#!/usr/bin/env python3
"""Makes the seed corpora, of packets from the test vectors.

    make_corpus.py           writes corpus/TARGET for each target beside this file
    make_corpus.py --check   exit status 1 when a file there differs from what would be written

Only files called seed-* are its own; others, such as inputs that once failed, stay.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "vectors")
PACKET_BYTES_MAX = 1200

# The steps of fuzz_endpoint.c by their number in its list.
SEND, READ, DELIVER, DELIVER_ALL, DROP, DUPLICATE = 0, 2, 3, 4, 6, 7
WAIT, WAIT_DEADLINE, DAMAGE, TRUNCATE, FORGE, INJECT = 8, 9, 11, 12, 13, 14
OPEN, CLOSE, ABORT, RESTART, MOVE, PACKET_SIZE = 15, 16, 17, 18, 19, 20
A, B = 0, 1
ADDRESSED, NUMBERED, STRANGER, TO_A = 1, 2, 4, 8
AMPLE = 0
UNORDERED, COOKIE, SMALL_PACKETS, IDLE, REOPENS, PASSES_ON = 1, 2, 4, 8, 16, 32


def u16(value):
    return [value >> 8, value & 0xFF]


def send(side, size):
    return [SEND, side, 0, *u16(size)]


def read(side):
    return [READ, side, 0, 255]


def inject(how, packet):
    return [INJECT, how, *u16(len(packet)), *packet]


ROUND = [WAIT, 12, DELIVER_ALL]
SHAKE = [OPEN, A, *send(A, 20), *ROUND, *ROUND, *ROUND]
TALK = [*send(A, 0x8000 + 3000), *send(B, 100), *send(B, 0), *ROUND * 4, *read(A), *read(B)]


def scripts():
    """One conversation for each thing that can happen to it."""
    plain, unordered = [AMPLE, 0, 0], [AMPLE, UNORDERED, UNORDERED]
    late = [WAIT_DEADLINE, DELIVER_ALL] * 4
    return {
        "plain": plain + SHAKE + TALK,
        "unordered": unordered + SHAKE + TALK,
        "small packets": [AMPLE, SMALL_PACKETS, SMALL_PACKETS] + SHAKE + TALK,
        "cookie": [AMPLE, COOKIE, COOKIE] + SHAKE + ROUND * 3 + TALK,
        "both open": plain + [OPEN, A, OPEN, B] + send(A, 9) + send(B, 9) + ROUND * 4 + TALK,
        "hello lost": plain + [OPEN, A, DROP, 0] + late + TALK,
        "loss": plain + SHAKE + send(A, 0x8000 + 5000) + [DROP, 1, DROP, 1] + late + TALK,
        "loss, unordered": unordered + SHAKE + send(A, 300) * 9 + [DROP, 0] + late + TALK,
        "reordering": plain + SHAKE + send(A, 0x8000 + 5000) + [DELIVER, 3, DELIVER, 1] + ROUND + TALK,
        "duplicates": plain + SHAKE + send(A, 50) + [DUPLICATE, 0] * 3 + TALK,
        "damage": plain + SHAKE + send(A, 50) + [DAMAGE, 0, 0, 30, 85, 85] + late + TALK,
        "damaged hello": plain + [OPEN, A, DROP, 0] + send(A, 50) + [WAIT, 20, DAMAGE, 0, 0, 80, 85, 85] + late,
        "truncation": plain + SHAKE + send(A, 50) + [TRUNCATE, 0, 0, 30] + late + TALK,
        "forgery": plain + SHAKE + send(A, 50) + [FORGE, 0, 0, 13, 8] + late + TALK,
        "largest message": plain + SHAKE + send(A, 0xFFFF) + ROUND * 20 + read(B) + ROUND,
        "slow reader": plain + SHAKE + send(A, 0xFFFF) * 3 + ROUND * 9 + late + read(B) + ROUND * 9,
        "close": plain + SHAKE + TALK + [CLOSE, A, 0] + ROUND * 3 + late,
        "close by the acceptor": plain + SHAKE + TALK + [CLOSE, B, 0] + ROUND * 3 + late,
        "close by both": plain + SHAKE + send(A, 90) + [CLOSE, A, 0, CLOSE, B, 0] + ROUND * 4,
        "close, then open again": plain + SHAKE + [CLOSE, A, 0] + ROUND * 3 + SHAKE + TALK,
        "abort": plain + SHAKE + send(A, 90) + [ABORT, A, 0] + ROUND * 3,
        "acceptor restarts": plain + SHAKE + TALK + [RESTART, B] + TALK + late * 3 + TALK,
        "opener restarts": plain + SHAKE + TALK + [RESTART, A] + SHAKE + ROUND * 3 + TALK,
        "opener moves": plain + SHAKE + [MOVE, A] + TALK + ROUND * 3 + TALK,
        "acceptor moves": plain + SHAKE + [MOVE, B] + TALK + ROUND * 3 + TALK,
        "idle": [AMPLE, IDLE, IDLE] + SHAKE + [WAIT, 25, DELIVER_ALL] * 4,
        "reopens": [AMPLE, REOPENS, 0] + SHAKE + send(A, 60) + [CLOSE, B, 0] + ROUND * 3 + late + TALK,
        "reopens, again and again": [AMPLE, REOPENS, 0] + SHAKE + (send(A, 60) + [CLOSE, B, 0] + ROUND * 3 + late) * 3,
        "passes on": [AMPLE, PASSES_ON, PASSES_ON] + SHAKE + TALK * 2 + late + TALK,
        "passes on, reopens": [AMPLE, REOPENS, PASSES_ON] + SHAKE + send(A, 60) + ROUND + read(B) + [CLOSE, B, 0] + late + TALK,
        "packet size": plain + SHAKE + [PACKET_SIZE, A, 0, *u16(700)] + TALK,
        "little memory": [9, 0, 0] + SHAKE + send(A, 0xFFFF) + TALK + late,
        "very little memory": [3, 0, 0] + SHAKE + TALK + late,
    }


ENVIRONMENTS = [
    "RUDP_TAG=*",
    "RUDP_TAG=!peer:192.0.2.0/24:53,bind:*:5000-5010,peer:[2001:db8::]/32,[::1]:7,127.0.0.1",
    "RUDP_PACKET_SIZE=auto\nRUDP_CONNECT_TIMEOUT=10s\nRUDP_RTO_INITIAL=500\nRUDP_RTO_MIN=10ms",
    "RUDP_PACKET_SIZE=65507\nRUDP_RTO_MAX=3s\nRUDP_RETRIES=15\nRUDP_KEEPALIVE=25s",
    "RUDP_PACKET_SIZE=576\nRUDP_IDLE_TIMEOUT=2m\nRUDP_LINGER=off\nRUDP_SNDBUF=4M\nRUDP_RCVBUF=128K",
    "RUDP_MEMORY_MAX=1G\nRUDP_CC=cubic\nRUDP_ORDER=unordered\nRUDP_REDUNDANCY=off",
    "RUDP_FALLBACK=plain\nRUDP_DISCOVERY_PORT=26750\nRUDP_ACCEPT_PLAIN=yes\nRUDP_LOG=debug\nRUDP_LOG_FILE=/tmp/log",
    "RUDP_RTO_MIN=5s\nRUDP_RTO_MAX=1s",
    "RUDP_UNKNOWN=1",
    "RUDP_RETRIES=0",
    "RUDP_LINGER=18446744073709551616us",
    "HOME=/\nRUDP_\nRUDP_TAG\nPATH=RUDP_TAG=x",
]


def slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def packets():
    """Name and bytes of the vectors of a seed's length, cuts apart: the fuzzer makes those itself."""
    for file in sorted(os.listdir(VECTORS)):
        if not file.endswith(".json"):
            continue
        with open(os.path.join(VECTORS, file), encoding="utf-8") as text:
            for vector in json.load(text):
                packet = bytes.fromhex(vector["hex"])
                cut = re.search(r" cut to | without check$", vector["name"])
                if packet and len(packet) <= PACKET_BYTES_MAX and not cut:
                    yield slug(vector["name"]), packet


def corpora():
    """File path to content."""
    files = {}
    for name, script in scripts().items():
        files[f"fuzz_endpoint/seed-talk-{slug(name)}"] = bytes(script)
    for name, packet in packets():
        files[f"fuzz_wire/seed-{name}"] = packet
        if name.startswith(("hello", "retry", "version")):  # to an opener that still waits
            start = [AMPLE, 0, 0, OPEN, A]
        else:
            start = [AMPLE, 0, 0, *SHAKE, *send(A, 50)]
        to_a = inject(ADDRESSED | NUMBERED | TO_A, packet)
        to_b = inject(ADDRESSED | NUMBERED, packet)
        files[f"fuzz_endpoint/seed-{name}"] = bytes([*start, *to_a, *to_b, *ROUND, *TALK])
    for number, text in enumerate(ENVIRONMENTS):
        files[f"fuzz_environment/seed-{number}"] = text.encode()
    for kind in range(5):
        for length in (32, 31, 40):
            query = bytes.fromhex(f"2d5c91e7{kind:02x}01000100112233445566770000000000000000000000")
            query = (query + bytes(32))[:length]
            files[f"fuzz_query/seed-kind-{kind}-of-{length}-bytes"] = query
    return {os.path.join(HERE, "corpus", path): content for path, content in files.items()}


def is_same(path, content):
    if not os.path.exists(path):
        return False
    with open(path, "rb") as file:
        return file.read() == content


def main(arguments):
    files = corpora()
    if arguments == ["--check"]:
        stale = [path for path, content in files.items() if not is_same(path, content)]
        for path in stale:
            print(f"{path}: differs, run make_corpus.py", file=sys.stderr)
        return 1 if stale else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for path, content in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
