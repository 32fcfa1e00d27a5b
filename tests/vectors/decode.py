#!/usr/bin/env python3
"""The wire format of docs/protocol.md a second time: packets to JSON and back.

Written from the document alone, to find out where it and the core disagree. Shares nothing with the
core, so slow and plain on purpose.

    decode.py decode < hex lines    one line of JSON a packet
    decode.py encode < JSON lines   one line of hex a packet
    decode.py verify FILE...        runs vector files; exit status 1 when one does not hold

A decoded packet is a dictionary. Numbers are numbers; ids, path values, tokens and data are hex,
because they are bits and not quantities. The encoder takes the same dictionary, and more, to be
able to write what a reader must accept or refuse although no writer makes it:
  * a varint may be [value, width] with a width of 1, 2, 4 or 8 bytes;
  * a frame of type RAW is copied from its "hex";
  * PARAMS may have "values", a list of [id, hex], in place of the four parameters.
"""
import json
import sys

MAGIC = 0xA7D35B1E
VERSION = 1
LONG_TYPES = ["HELLO", "HELLO_ACK", "RETRY", "VERSION", "RESET"]
NUMBERED_TYPES = ["SHORT", "HELLO", "HELLO_ACK"]
FRAME_TYPES = ["PADDING", "PING", "ACK", "CREDIT", "DATA", "DATA_START", "BLOCKED", "FIN", "CLOSE",
               "PATH_CHALLENGE", "PATH_RESPONSE", "PARAMS"]
PARAMS = {1: "credit_bytes", 2: "packet_bytes_max", 3: "ack_delay_us_max", 4: "wants_starts"}
PARAM_DEFAULTS = {"credit_bytes": 0, "packet_bytes_max": 1200, "ack_delay_us_max": 25000,
                  "wants_starts": 0}
CHECK_BYTES = 4
TOKEN_BYTES_MAX = 64
VERSIONS_MAX = 16
ACK_RANGES_BEHIND_FIRST_MAX = 63
CLOSE_CODE_MAX = 3
VARINT_MAX = (1 << 62) - 1


class Refused(Exception):
    """The packet must be dropped. The reason is one of foreign, truncated, malformed, check."""

    def __init__(self, reason, detail):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


def crc32c(data):
    """CRC32C bit by bit, RFC 3720 appendix B.4: reflected polynomial 0x1EDC6F41."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def seal(data):
    """Appends the check."""
    return data + crc32c(data).to_bytes(CHECK_BYTES, "big")


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Refused("truncated", f"{count} bytes wanted at {self.at}, {self.left()} left")
        self.at += count
        return self.data[self.at - count:self.at]

    def uint(self, width):
        return int.from_bytes(self.take(width), "big")

    def varint(self):
        first = self.uint(1)
        width = 1 << (first >> 6)
        rest = int.from_bytes(self.take(width - 1), "big")
        return (first & 0x3F) << 8 * (width - 1) | rest


def put_varint(value):
    width = None
    if isinstance(value, list):
        value, width = value
    shortest = next(w for w in (1, 2, 4, 8) if value < 1 << 8 * w - 2)
    width = width or shortest
    if width not in (1, 2, 4, 8) or width < shortest:
        raise ValueError(f"{value} does not fit a varint of {width} bytes")
    prefix = {1: 0, 2: 1, 4: 2, 8: 3}[width]
    return (prefix << 8 * width - 2 | value).to_bytes(width, "big")


def need(condition, detail):
    if not condition:
        raise Refused("malformed", detail)


# --- Frames -----------------------------------------------------------------------------------------


def read_padding(reader):
    count = 1
    while reader.left() and reader.data[reader.at] == 0:
        reader.at += 1
        count += 1
    return {"bytes": count}


def read_ack(reader):
    largest, delay_us, count = reader.varint(), reader.varint(), reader.uint(1)
    need(count <= ACK_RANGES_BEHIND_FIRST_MAX, f"{count} ranges behind the first")
    smallest = largest - reader.varint()
    need(smallest >= 0, "first range goes below 0")
    ranges = [[smallest, largest]]
    for _ in range(count):
        largest = smallest - reader.varint() - 2
        smallest = largest - reader.varint()
        need(smallest >= 0, "range goes below 0")
        ranges.append([smallest, largest])
    return {"delay_us": delay_us, "ranges": ranges}


def read_credit(reader):
    delivered = reader.varint()
    limit = delivered + reader.varint()
    need(limit <= VARINT_MAX, "limit offset is past the last offset")
    return {"delivered_offset": delivered, "limit_offset": limit}


def read_data(reader):
    offset, length = reader.varint(), reader.varint()
    return {"offset": offset, "data": read_range(reader, offset, length)}


def read_data_start(reader):
    offset, start, length = reader.varint(), reader.varint(), reader.varint()
    need(start < length, "start is outside the range")
    data = read_range(reader, offset, length)
    return {"offset": offset, "start_offset": offset + start, "data": data}


def read_range(reader, offset, length):
    need(length > 0, "empty range")
    need(offset + length <= VARINT_MAX, "range ends past the last offset")
    return reader.take(length).hex()


def read_close(reader):
    code = reader.uint(1)
    need(code <= CLOSE_CODE_MAX, f"close code {code}")
    return {"code": code}


def read_params(reader):
    params, seen = dict(PARAM_DEFAULTS), set()
    for _ in range(reader.uint(1)):
        number, length = reader.uint(1), reader.uint(1)
        value = Reader(reader.take(length))
        need(number not in seen, f"parameter {number} is repeated")
        seen.add(number)
        if number not in PARAMS:
            continue
        need(length in (1, 2, 4, 8), f"parameter {number} of {length} bytes")
        need(1 << (value.data[0] >> 6) == length, f"parameter {number} is not one varint")
        params[PARAMS[number]] = value.varint()
    need(params["wants_starts"] <= 1, "wants starts is neither 0 nor 1")
    return params


FRAME_READERS = {
    "PADDING": read_padding,
    "PING": lambda reader: {},
    "ACK": read_ack,
    "CREDIT": read_credit,
    "DATA": read_data,
    "DATA_START": read_data_start,
    "BLOCKED": lambda reader: {"limit_offset": reader.varint()},
    "FIN": lambda reader: {"final_offset": reader.varint()},
    "CLOSE": read_close,
    "PATH_CHALLENGE": lambda reader: {"value": reader.take(8).hex()},
    "PATH_RESPONSE": lambda reader: {"value": reader.take(8).hex()},
    "PARAMS": read_params,
}


def read_frames(reader):
    frames = []
    while reader.left():
        number = reader.uint(1)
        need(number < len(FRAME_TYPES), f"frame type {number:#04x}")
        name = FRAME_TYPES[number]
        frames.append({"type": name, **FRAME_READERS[name](reader)})
    return frames


def put_ack(frame):
    if "first_length" in frame:  # ranges below 0 have no other form
        out = put_varint(frame["largest"]) + put_varint(frame["delay_us"])
        out += bytes([len(frame["gaps"])]) + put_varint(frame["first_length"])
        return out + b"".join(put_varint(g) + put_varint(n) for g, n in frame["gaps"])
    (smallest, largest), *rest = frame["ranges"]
    out = put_varint(largest) + put_varint(frame["delay_us"]) + bytes([len(rest)])
    out += put_varint(largest - smallest)
    for low, high in rest:
        out += put_varint(smallest - high - 2) + put_varint(high - low)
        smallest = low
    return out


def put_credit(frame):
    delivered = frame["delivered_offset"]
    return put_varint(delivered) + put_varint(frame["limit_offset"] - delivered)


def put_data(frame):
    data = bytes.fromhex(frame["data"])
    out = put_varint(frame["offset"])
    if "start_offset" in frame:
        out += put_varint(frame["start_offset"] - frame["offset"])
    return out + put_varint(frame.get("length", len(data))) + data


def put_params(frame):
    values = frame.get("values")
    if values is None:
        values = [[n, put_varint(frame[name]).hex()] for n, name in PARAMS.items()]
    out = bytes([len(values)])
    for number, value in values:
        data = bytes.fromhex(value)
        out += bytes([number, len(data)]) + data
    return out


FRAME_WRITERS = {
    "PADDING": lambda frame: bytes(frame["bytes"] - 1),
    "PING": lambda frame: b"",
    "ACK": put_ack,
    "CREDIT": put_credit,
    "DATA": put_data,
    "DATA_START": put_data,
    "BLOCKED": lambda frame: put_varint(frame["limit_offset"]),
    "FIN": lambda frame: put_varint(frame["final_offset"]),
    "CLOSE": lambda frame: bytes([frame["code"]]),
    "PATH_CHALLENGE": lambda frame: bytes.fromhex(frame["value"]),
    "PATH_RESPONSE": lambda frame: bytes.fromhex(frame["value"]),
    "PARAMS": put_params,
}


def put_frame(frame):
    name = frame["type"]
    if name == "RAW":
        return bytes.fromhex(frame["hex"])
    return bytes([FRAME_TYPES.index(name)]) + FRAME_WRITERS[name](frame)


# --- Packets ----------------------------------------------------------------------------------------


def check_ids(packet):
    """Section 1: which ids a packet of each type carries. An id is never 0."""
    wants = {"SHORT": (1, 0), "HELLO": (0, 1), "HELLO_ACK": (1, 1), "RETRY": (1, 0),
             "VERSION": (1, 0), "RESET": (0, 1)}[packet["type"]]
    for name, wanted in zip(("destination_id", "source_id"), wants):
        if name in packet:
            has = int(packet[name], 16) != 0
            need(has == bool(wanted), f"{name} is {'set' if has else '0'}")


def read_token(reader, length_min):
    length = reader.uint(1)
    need(length_min <= length <= TOKEN_BYTES_MAX, f"token of {length} bytes")
    return reader.take(length).hex()


def read_body(reader, packet):
    name = packet["type"]
    if name in NUMBERED_TYPES:
        packet["packet_number"] = reader.uint(4)
    if name == "HELLO":
        packet["token"] = read_token(reader, 0)
    if name == "RETRY":
        packet["token"] = read_token(reader, 1)
    if name == "VERSION":
        count = reader.uint(1)
        need(1 <= count <= VERSIONS_MAX, f"{count} versions")
        packet["versions"] = [reader.uint(4) for _ in range(count)]
    if name in NUMBERED_TYPES:
        packet["frames"] = read_frames(reader)
    need(reader.left() == 0, f"{reader.left()} bytes behind the body")


def read_long_header(reader, first):
    if reader.left() < 4:
        raise Refused("foreign", "ends inside the magic")
    magic = reader.uint(4)
    if magic != MAGIC:
        raise Refused("foreign", f"magic {magic:#010x}")
    kind, version = first & 0x0F, reader.uint(4)
    packet = {"version": version, "destination_id": reader.take(8).hex(),
              "source_id": reader.take(8).hex()}
    need(kind < len(LONG_TYPES), f"packet type {kind}")
    return {"type": LONG_TYPES[kind], **packet}


def decode(data):
    """Turns the bytes of a packet into a dictionary, or raises Refused."""
    if not data:
        raise Refused("foreign", "empty datagram")
    reader = Reader(data)
    first = reader.uint(1)
    form = first >> 6
    if form not in (1, 3):
        raise Refused("foreign", f"first byte {first:#04x}")
    need(first >> 4 & 3 == 0, "protection class is reserved")
    if form == 1:
        need(first & 0x0F == 0, "low bits of a short packet are set")
        packet = {"type": "SHORT", "destination_id": reader.take(8).hex()}
    else:
        packet = read_long_header(reader, first)
        if packet["version"] not in (0, VERSION):
            return packet  # what follows is for those who know that version
        wanted = 0 if packet["type"] == "VERSION" else VERSION
        need(packet["version"] == wanted, f"version {packet['version']}")
    if reader.left() < CHECK_BYTES + (4 if form == 1 else 0):
        raise Refused("truncated", "no room for the rest of the header and the check")
    body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if crc32c(body) != int.from_bytes(check, "big"):
        raise Refused("check", f"{crc32c(body):08x} computed, {check.hex()} carried")
    check_ids(packet)
    reader.data = body
    read_body(reader, packet)
    return packet


def encode(packet):
    """Turns a dictionary into the bytes of a packet."""
    name = packet["type"]
    if name == "SHORT":
        out = b"\x40" + bytes.fromhex(packet["destination_id"])
    else:
        out = bytes([0xC0 + LONG_TYPES.index(name)]) + MAGIC.to_bytes(4, "big")
        out += packet["version"].to_bytes(4, "big")
        out += bytes.fromhex(packet["destination_id"]) + bytes.fromhex(packet["source_id"])
    if "packet_number" in packet:
        out += packet["packet_number"].to_bytes(4, "big")
    if "token" in packet:
        token = bytes.fromhex(packet["token"])
        out += bytes([len(token)]) + token
    if "versions" in packet:
        out += bytes([len(packet["versions"])])
        out += b"".join(v.to_bytes(4, "big") for v in packet["versions"])
    return seal(out + b"".join(put_frame(frame) for frame in packet.get("frames", [])))


# --- Commands ---------------------------------------------------------------------------------------


def vector_fault(vector):
    """What is wrong with a vector, or None."""
    data = bytes.fromhex(vector["hex"])
    try:
        packet = decode(data)
    except Refused as refused:
        if vector.get("refused") == refused.reason:
            return None
        return f"refused ({refused})"
    if "refused" in vector:
        return "accepted"
    if packet != vector["packet"]:
        return f"decoded as {json.dumps(packet)}"
    if vector["canonical"] and encode(packet) != data:
        return f"encoded again as {encode(packet).hex()}"
    return None


def verify(paths):
    if crc32c(bytes(32)) != 0x8A9136AA or crc32c(b"123456789") != 0xE3069283:
        raise AssertionError("CRC32C is not that of RFC 3720 appendix B.4")
    vector_count, fault_count = 0, 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            vectors = json.load(file)
        for vector in vectors:
            fault = vector_fault(vector)
            vector_count += 1
            if fault:
                fault_count += 1
                print(f"{path}: {vector['name']}: {fault}", file=sys.stderr)
    print(f"{vector_count} vectors, {fault_count} do not hold")
    return 1 if fault_count or not vector_count else 0


def main(arguments):
    command = arguments[0] if arguments else ""
    if command == "decode":
        for line in sys.stdin:
            print(json.dumps(decode(bytes.fromhex(line))))
        return 0
    if command == "encode":
        for line in sys.stdin:
            print(encode(json.loads(line)).hex())
        return 0
    if command == "verify":
        return verify(arguments[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
