#!/usr/bin/env python3
"""Makes the test vectors with the encoder of decode.py.

    generate.py DIRECTORY            writes the vector files
    generate.py --check DIRECTORY    exit status 1 when a file there differs from what would be written

A vector is {"name", "hex"} and either "refused", the reason why a reader must drop the packet
(foreign, truncated, malformed, check), or "packet", its fields as decode.py names them, and
"canonical": whether a writer that is given these fields writes exactly these bytes.

Every refused packet has one defect, and a good check unless that is the defect.
"""
import json
import os
import sys

sys.dont_write_bytecode = True  # the source tree stays clean

import decode
from decode import CHECK_BYTES, VARINT_MAX, encode, seal

ID_A = "0123456789abcdef"
ID_B = "fedcba9876543210"
ID_0 = "0000000000000000"
TOKEN = bytes(range(0xA0, 0xA0 + 64)).hex()
PARAMS = {"type": "PARAMS", "credit_bytes": 4194304, "packet_bytes_max": 65507,
          "ack_delay_us_max": 5000, "wants_starts": 1}


def short(*frames, **fields):
    return {"type": "SHORT", "destination_id": ID_A, "packet_number": 7, **fields,
            "frames": list(frames)}


def hello(*frames, **fields):
    return {"type": "HELLO", "version": 1, "destination_id": ID_0, "source_id": ID_B,
            "packet_number": 0, "token": "", **fields, "frames": list(frames)}


def hello_ack(*frames, **fields):
    return {"type": "HELLO_ACK", "version": 1, "destination_id": ID_A, "source_id": ID_B,
            "packet_number": 0, **fields, "frames": list(frames)}


def retry(token, **fields):
    return {"type": "RETRY", "version": 1, "destination_id": ID_A, "source_id": ID_0, **fields,
            "token": token}


def version(*versions, **fields):
    return {"type": "VERSION", "version": 0, "destination_id": ID_A, "source_id": ID_0, **fields,
            "versions": list(versions)}


def reset(**fields):
    return {"type": "RESET", "version": 1, "destination_id": ID_0, "source_id": ID_A, **fields}


def data(offset, text, **fields):
    return {"type": "DATA", "offset": offset, "data": text.encode().hex(), **fields}


def data_start(offset, start, text, **fields):
    return {"type": "DATA_START", "offset": offset, "start_offset": start,
            "data": text.encode().hex(), **fields}


def ack(delay_us, *ranges):
    return {"type": "ACK", "delay_us": delay_us, "ranges": [list(pair) for pair in ranges]}


def raw(text):
    return {"type": "RAW", "hex": text}


# --- Vectors that a reader accepts ------------------------------------------------------------------


def accepted(name, packet):
    """The fields are the encoder's input; canonical unless that asks for a form of its own."""
    encoded = encode(packet)
    decoded = decode.decode(encoded)
    return {"name": name, "hex": encoded.hex(), "packet": decoded,
            "canonical": encode(decoded) == encoded}


def accepted_packets():
    every_frame = [vector["packet"]["frames"][0] for vector in accepted_frames()
                   if vector["canonical"] and len(vector["hex"]) < 200]
    packets = {
        "short without frames": short(),
        "short, highest packet number and id":
            short({"type": "PING"}, packet_number=0xFFFFFFFF, destination_id="f" * 16),
        "short, every frame type": short(*every_frame),
        "short, 1,200 bytes": short(data(0, "x" * (1200 - 13 - 4 - 4))),
        "short, data with a length of four bytes": short(data(1 << 20, "x" * 16384)),
        "hello with params": hello(PARAMS),
        "hello with params, a message and padding":
            hello(PARAMS, data(0, "\5hello"), {"type": "PADDING", "bytes": 1100}),
        "hello with a token of 1 byte": hello(PARAMS, token="00", packet_number=3),
        "hello with the longest token": hello(PARAMS, token=TOKEN, packet_number=0x80000000),
        "hello without frames": hello(),
        "hello-ack with params and ack": hello_ack(PARAMS, ack(120, (0, 0))),
        "hello-ack with params, ack, credit and a message":
            hello_ack(PARAMS, ack(0, (0, 2)), {"type": "CREDIT", "delivered_offset": 6,
                                               "limit_offset": 4194310}, data(0, "\5world")),
        "retry with the shortest token": retry("7f"),
        "retry with the longest token": retry(TOKEN),
        "version with one version": version(1),
        "version with sixteen versions": version(*range(0xFFFFFFF0, 0x100000000)),
        "reset": reset(),
    }
    return [accepted(name, packet) for name, packet in packets.items()]


def accepted_versions():
    """Only the header up to the source id has a meaning, whatever follows, a check included."""
    fields = hello(raw("ffffffff"), version=2)
    unsealed = encode(fields)[:-CHECK_BYTES]
    packets = {
        "hello of version 2": encode(fields),
        "hello of version 2 with another check": unsealed + bytes(4),
        "hello of version 2 that ends at its source id": unsealed[:25],
        "hello of the highest version": encode(hello(version=0xFFFFFFFF)),
        "reset of version 2": encode(reset(version=2)),
    }
    return [{"name": name, "hex": packet.hex(), "packet": decode.decode(packet),
             "canonical": False} for name, packet in packets.items()]


def accepted_frames():
    many = [(10 * n, 10 * n + n % 9) for n in range(63, -1, -1)]
    params_defaults = {"type": "PARAMS", **decode.PARAM_DEFAULTS}
    frames = {
        "padding of 1 byte": {"type": "PADDING", "bytes": 1},
        "padding of 1,000 bytes": {"type": "PADDING", "bytes": 1000},
        "ping": {"type": "PING"},
        "ack of packet 0": ack(0, (0, 0)),
        "ack of one range": ack(25000, (3, 9)),
        "ack of three ranges, smallest gap and length": ack(1, (7, 7), (5, 5), (3, 3)),
        "ack down to packet 0": ack(63, (100, 163), (0, 98)),
        "ack of 64 ranges": ack(16383, *many),
        "ack with the highest numbers":
            ack(VARINT_MAX, (VARINT_MAX, VARINT_MAX), (0, VARINT_MAX - 2)),
        "ack with long varints":
            {"type": "ACK", "largest": [9, 8], "delay_us": [5, 4], "first_length": [0, 2],
             "gaps": [[[1, 2], [2, 4]]]},
        "credit of nothing": {"type": "CREDIT", "delivered_offset": 0, "limit_offset": 0},
        "credit": {"type": "CREDIT", "delivered_offset": 70000, "limit_offset": 4264304},
        "credit up to the last offset":
            {"type": "CREDIT", "delivered_offset": 1 << 61, "limit_offset": VARINT_MAX},
        "data of 1 byte": data(0, "\0"),
        "data": data(16384, "\5hello\5world"),
        "data at varint edges": data(63, "x" * 64),
        "data up to the last offset": data(VARINT_MAX - 3, "end"),
        "data with long varints": data([63, 8], "x" * 63, length=[63, 4]),
        "data-start at the first byte": data_start(1000, 1000, "\1a"),
        "data-start at the last byte": data_start(1000, 1003, "abc\0"),
        "data-start up to the last offset":
            data_start(VARINT_MAX - 3, VARINT_MAX - 1, "end"),
        "blocked": {"type": "BLOCKED", "limit_offset": 4194304},
        "blocked at the last offset": {"type": "BLOCKED", "limit_offset": VARINT_MAX},
        "blocked with a long varint": {"type": "BLOCKED", "limit_offset": [0, 8]},
        "fin of an empty stream": {"type": "FIN", "final_offset": 0},
        "fin": {"type": "FIN", "final_offset": 1 << 30},
        "close finished": {"type": "CLOSE", "code": 0},
        "close aborted": {"type": "CLOSE", "code": 1},
        "close protocol error": {"type": "CLOSE", "code": 2},
        "close timeout": {"type": "CLOSE", "code": 3},
        "path challenge": {"type": "PATH_CHALLENGE", "value": "00f1e2d3c4b5a697"},
        "path challenge of 0": {"type": "PATH_CHALLENGE", "value": ID_0},
        "path response": {"type": "PATH_RESPONSE", "value": "ff" * 8},
        "params": PARAMS,
        "params equal to the defaults": params_defaults,
        "params at their highest":
            {"type": "PARAMS", "credit_bytes": VARINT_MAX, "packet_bytes_max": VARINT_MAX,
             "ack_delay_us_max": VARINT_MAX, "wants_starts": 1},
        "params, none": {"type": "PARAMS", "values": []},
        "params in another order with long varints":
            {"type": "PARAMS", "values": [[4, "4001"], [1, "c000000000010000"]]},
        "params, unknown ones skipped":
            {"type": "PARAMS", "values": [[0, ""], [5, "ff" * 255], [1, "05"], [255, "00"]]},
    }
    vectors = [accepted(name, short(frame)) for name, frame in frames.items()]
    padding = {"type": "PADDING", "bytes": 3}
    vectors.append(accepted("padding around a ping", short(padding, {"type": "PING"}, padding)))
    return vectors


# --- Vectors that a reader refuses ------------------------------------------------------------------


def refused(name, reason, packet):
    """packet: fields for the encoder, or bytes that are complete."""
    encoded = packet if isinstance(packet, bytes) else encode(packet)
    return {"name": name, "hex": encoded.hex(), "refused": reason}


def first_byte(packet, value):
    return seal(bytes([value]) + encode(packet)[1:-CHECK_BYTES])


def longer(packet):
    return seal(encode(packet)[:-CHECK_BYTES] + b"\0")


def refused_headers():
    base = short({"type": "PING"})
    wrong_magic = bytearray(encode(reset())[:-CHECK_BYTES])
    wrong_magic[4] ^= 1
    packets = [
        ("empty datagram", "foreign", b""),
        ("first byte of a short packet alone", "truncated", b"\x40"),
        ("first byte of a long packet alone", "foreign", b"\xc0"),
        ("long packet that ends inside its magic", "foreign", b"\xc0\xa7\xd3\x5b"),
        ("first byte 0x00", "foreign", first_byte(base, 0x00)),
        ("first byte 0x80", "foreign", first_byte(base, 0x80)),
        ("magic with one bit changed", "foreign", seal(bytes(wrong_magic))),
        ("short, low bit set", "malformed", first_byte(base, 0x41)),
        ("short, high low bit set", "malformed", first_byte(base, 0x48)),
        ("short, protection class 1", "malformed", first_byte(base, 0x50)),
        ("short, protection class 2", "malformed", first_byte(base, 0x60)),
        ("short, protection class 3", "malformed", first_byte(base, 0x70)),
        ("long, protection class 1", "malformed", first_byte(hello(PARAMS), 0xD0)),
        ("long, protection class 3", "malformed", first_byte(reset(), 0xF4)),
        ("long, type 5", "malformed", first_byte(reset(), 0xC5)),
        ("long, type 15", "malformed", first_byte(reset(), 0xCF)),
        ("short to id 0", "malformed", short({"type": "PING"}, destination_id=ID_0)),
        ("hello with a destination id", "malformed", hello(PARAMS, destination_id=ID_A)),
        ("hello from id 0", "malformed", hello(PARAMS, source_id=ID_0)),
        ("hello of version 0", "malformed", hello(PARAMS, version=0)),
        ("hello with a token of 65 bytes", "malformed", hello(PARAMS, token=TOKEN + "00")),
        ("hello with a token of 255 bytes", "malformed", hello(PARAMS, token="aa" * 255)),
        ("hello-ack to id 0", "malformed", hello_ack(PARAMS, destination_id=ID_0)),
        ("hello-ack from id 0", "malformed", hello_ack(PARAMS, source_id=ID_0)),
        ("hello-ack of version 0", "malformed", hello_ack(PARAMS, version=0)),
        ("retry to id 0", "malformed", retry(TOKEN, destination_id=ID_0)),
        ("retry with a source id", "malformed", retry(TOKEN, source_id=ID_B)),
        ("retry of version 0", "malformed", retry(TOKEN, version=0)),
        ("retry without a token", "malformed", retry("")),
        ("retry with a token of 65 bytes", "malformed", retry(TOKEN + "00")),
        ("retry with a byte behind the token", "malformed", longer(retry(TOKEN))),
        ("version to id 0", "malformed", version(1, destination_id=ID_0)),
        ("version with a source id", "malformed", version(1, source_id=ID_B)),
        ("version of version 1", "malformed", version(1, version=1)),
        ("version without versions", "malformed", version()),
        ("version with 17 versions", "malformed", version(*range(1, 18))),
        ("version with a byte behind the versions", "malformed", longer(version(1, 2))),
        ("reset with a destination id", "malformed", reset(destination_id=ID_B)),
        ("reset of id 0", "malformed", reset(source_id=ID_0)),
        ("reset of version 0", "malformed", reset(version=0)),
        ("reset with a body", "malformed", longer(reset())),
    ]
    return [refused(*packet) for packet in packets]


def refused_checks():
    packets = {"short": short(data(0, "\5hello")), "hello": hello(PARAMS, token="0102"),
               "hello-ack": hello_ack(PARAMS), "retry": retry(TOKEN), "version": version(1),
               "reset": reset()}
    vectors = []
    for name, packet in packets.items():
        encoded = encode(packet)
        for where, index in (("check", len(encoded) - 1), ("destination or source id", 12)):
            damaged = bytearray(encoded)
            damaged[index] ^= 0x80
            vectors.append(refused(f"{name}, one bit of the {where} changed", "check",
                                   bytes(damaged)))
        vectors.append(refused(f"{name}, check in the other byte order", "check",
                               encoded[:-4] + encoded[:-5:-1]))
    return vectors


def refused_header_cuts():
    """Every length that ends inside the header or a counted body, with a check behind it."""
    packets = {"short": (short(), 1), "hello": (hello(token="0102030405060708"), 5),
               "hello-ack": (hello_ack(), 5), "retry": (retry("0102030405060708"), 5),
               "version": (version(1, 2), 5), "reset": (reset(), 5)}
    vectors = []
    for name, (packet, shortest) in packets.items():
        body = encode(packet)[:-CHECK_BYTES]
        vectors += [refused(f"{name} cut to {count} bytes", "truncated", seal(body[:count]))
                    for count in range(shortest, len(body))]
        vectors.append(refused(f"{name} without check", "truncated",
                               body[:min(len(body), 28 if name != "short" else 16)]))
    return vectors


def refused_frames():
    over = VARINT_MAX
    frames = [
        ("frame type 0x0c", "malformed", raw("0c")),
        ("frame type 0x1f", "malformed", raw("1f0000")),
        ("frame type 0xff", "malformed", raw("ff")),
        ("frame type as a long varint", "malformed", raw("4001")),
        ("ack, first range below 0", "malformed",
         {"type": "ACK", "largest": 5, "delay_us": 0, "first_length": 6, "gaps": []}),
        ("ack, gap below 0", "malformed",
         {"type": "ACK", "largest": 5, "delay_us": 0, "first_length": 2, "gaps": [[2, 0]]}),
        ("ack, gap that ends exactly below 0", "malformed",
         {"type": "ACK", "largest": 5, "delay_us": 0, "first_length": 5, "gaps": [[0, 0]]}),
        ("ack, second range below 0", "malformed",
         {"type": "ACK", "largest": 9, "delay_us": 0, "first_length": 1, "gaps": [[0, 7]]}),
        ("ack, highest gap", "malformed",
         {"type": "ACK", "largest": 9, "delay_us": 0, "first_length": 0, "gaps": [[over, over]]}),
        ("ack of 65 ranges", "malformed",
         ack(0, *[(2 * n, 2 * n) for n in range(64, -1, -1)])),
        ("ack of 256 ranges", "malformed",
         ack(0, *[(2 * n, 2 * n) for n in range(255, -1, -1)])),
        ("credit past the last offset", "malformed",
         {"type": "CREDIT", "delivered_offset": 1, "limit_offset": over + 1}),
        ("credit with both fields at their highest", "malformed",
         {"type": "CREDIT", "delivered_offset": over, "limit_offset": over + over}),
        ("data of 0 bytes", "malformed", data(5, "")),
        ("data past the last offset", "malformed", data(over - 3, "more")),
        ("data, length past the packet", "truncated", data(0, "hello", length=6)),
        ("data, highest length", "truncated", data(0, "hello", length=over)),
        ("data-start of 0 bytes", "malformed", data_start(5, 5, "")),
        ("data-start, start right behind the range", "malformed", data_start(5, 8, "abc")),
        ("data-start, start far outside the range", "malformed",
         data_start(0, over, "abc")),
        ("data-start past the last offset", "malformed", data_start(over - 3, over - 3, "more")),
        ("data-start, length past the packet", "truncated", data_start(0, 0, "hello", length=6)),
        ("close with code 4", "malformed", {"type": "CLOSE", "code": 4}),
        ("close with code 255", "malformed", {"type": "CLOSE", "code": 255}),
    ]
    values = {
        "repeated id": [[1, "05"], [1, "05"]],
        "repeated unknown id": [[200, ""], [1, "05"], [200, ""]],
        "value of 0 bytes": [[2, ""]],
        "value of 3 bytes": [[2, "400000"]],
        "value shorter than its bytes": [[3, "0500"]],
        "wants starts of 2": [[4, "02"]],
    }
    frames += [(f"params, {name}", "malformed", {"type": "PARAMS", "values": value})
               for name, value in values.items()]
    frames.append(("params, value longer than its bytes", "malformed",
                   {"type": "PARAMS", "values": [[1, "80"], [2, "44b0"]]}))
    return [refused(name, reason, short(frame)) for name, reason, frame in frames]


def refused_behind_good():
    """One bad frame makes the packet malformed, wherever it stands."""
    good, bad = data(0, "\5hello"), data(6, "")
    return [refused("good data, then a bad frame", "malformed", short(good, bad)),
            refused("a bad frame, then good data", "malformed", short(bad, good)),
            refused("hello, good params, then a bad frame", "malformed", hello(PARAMS, bad))]


def refused_frame_cuts():
    """Every length that ends inside a frame, with a check behind it."""
    frames = {
        "ack": ack(16384, (70000, 70005), (60000, 60063), (100, 200)),
        "credit": {"type": "CREDIT", "delivered_offset": 70000, "limit_offset": 1 << 32},
        "data": data(70000, "hello"),
        "data-start": data_start(1 << 40, (1 << 40) + 2, "hello"),
        "blocked": {"type": "BLOCKED", "limit_offset": 1 << 40},
        "fin": {"type": "FIN", "final_offset": 70000},
        "close": {"type": "CLOSE", "code": 0},
        "path challenge": {"type": "PATH_CHALLENGE", "value": ID_A},
        "path response": {"type": "PATH_RESPONSE", "value": ID_B},
        "params": PARAMS,
    }
    vectors = []
    for name, frame in frames.items():
        body = encode(short(frame))[:-CHECK_BYTES]
        start = len(encode(short())) - CHECK_BYTES
        vectors += [refused(f"{name} cut to {count - start} bytes", "truncated",
                            seal(body[:count])) for count in range(start + 1, len(body))]
    return vectors


FILES = {
    "packets_accepted.json": lambda: accepted_packets() + accepted_versions(),
    "frames_accepted.json": accepted_frames,
    "packets_refused.json": lambda: refused_headers() + refused_checks() + refused_header_cuts(),
    "frames_refused.json": lambda: refused_frames() + refused_behind_good() + refused_frame_cuts(),
}


def render(vectors):
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    return f"[\n{lines}\n]\n"


def is_same(path, text):
    with open(path, encoding="utf-8") as file:
        return file.read() == text


def main(arguments):
    checks = arguments[:1] == ["--check"]
    directories = arguments[1:] if checks else arguments
    if len(directories) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    stale = []
    for name, make in FILES.items():
        path, text = os.path.join(directories[0], name), render(make())
        if not checks:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        elif not is_same(path, text):
            stale.append(path)
    for path in stale:
        print(f"{path}: differs, run generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
