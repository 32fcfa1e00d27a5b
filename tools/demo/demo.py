#!/usr/bin/env python3
"""What ./dev demo runs: the same transfer by real programs through a bad link, plainly and with the
shim on both ends. Every number of the table is measured here and now.

Each program's sender gets the same messages on standard input; its receiver's output tells which
arrived. Between them sits udp-impair. The exit status is 0 when the reliable transfers lost nothing.
"""
import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

HOST = "127.0.0.1"
MESSAGE_BYTES = 1024
PACE_S = 0.001       # between messages: slow enough that only the link loses any
READY_LIMIT_S = 10   # for a program to open its port
QUIET_LIMIT_S = 2    # plainly, nobody says when the last message came; silence does
STALL_LIMIT_S = 15   # reliably, silence this long is a failure

LINK = ["--loss", "20", "--reorder", "5", "--reorder-by", "10ms", "--duplicate", "5",
        "--delay", "2ms", "--jitter", "1ms"]
HERE = os.path.dirname(os.path.abspath(__file__))

# name, sender, receiver
PROGRAMS = [
    ("socat",
     ["socat", "-u", "-b", str(MESSAGE_BYTES), "STDIN", "UDP-SENDTO:{host}:{port}"],
     ["socat", "-u", "UDP-RECV:{port},bind={host}", "STDOUT"]),
    ("nc (OpenBSD)",
     ["nc.openbsd", "-u", "-q", "0", "{host}", "{port}"],
     ["nc.openbsd", "-u", "-l", "{host}", "{port}"]),
    ("ncat",
     ["ncat", "-u", "--send-only", "{host}", "{port}"],
     ["ncat", "-u", "-l", "--recv-only", "{host}", "{port}"]),
    ("Python asyncio",
     [sys.executable, f"{HERE}/send.py", "{host}", "{port}"],
     [sys.executable, f"{HERE}/receive.py", "{host}", "{port}"]),
    ("Node dgram",
     ["node", f"{HERE}/send.js", "{host}", "{port}"],
     ["node", f"{HERE}/receive.js", "{host}", "{port}"]),
]


def message(index):
    """A message that names itself and cannot be mistaken for another."""
    text = b"%08d" % index
    while len(text) < MESSAGE_BYTES:
        text += hashlib.sha256(text).hexdigest().encode()
    return text[:MESSAGE_BYTES]


def bound_udp_ports():
    ports = set()
    with open("/proc/net/udp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            ports.add(int(line.split()[1].split(":")[1], 16))
    return ports


def free_port():
    """A port nobody has, outside the range that the kernel hands out by itself."""
    taken = bound_udp_ports()
    first = 20000 + os.getpid() % 5000
    return next(port for port in range(first, 30000) if port not in taken)


def fill(command, port):
    return [word.format(host=HOST, port=port) for word in command]


def start_relay(tool, port, seed):
    process = subprocess.Popen([tool, "--forward", f"0:{HOST}:{port}", "--seed", str(seed), *LINK],
                               stdout=subprocess.PIPE, text=True)
    ready = re.match(r"ready (\d+)$", process.stdout.readline())
    if not ready:
        raise RuntimeError("the relay did not start")
    return process, int(ready.group(1))


def wait_until_bound(port, process):
    limit = time.monotonic() + READY_LIMIT_S
    while port not in bound_udp_ports():
        if process.poll() is not None or time.monotonic() > limit:
            raise RuntimeError(f"{process.args[0]} does not listen")
        time.sleep(0.01)


def feed(sender, messages):
    try:
        for each in messages:
            sender.stdin.write(each)
            sender.stdin.flush()
            time.sleep(PACE_S)
        sender.stdin.close()
    except BrokenPipeError:  # it ended early: the table will show it
        pass


def watch(path, expected_bytes, patience_s):
    """Waits until everything is there, or nothing came for patience_s. When the last byte came."""
    size, grown_s = 0, time.monotonic()
    while size < expected_bytes and time.monotonic() - grown_s < patience_s:
        time.sleep(0.005)
        now_bytes = os.path.getsize(path)
        if now_bytes != size:
            size, grown_s = now_bytes, time.monotonic()
    return grown_s


def end(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def transfer(program, environment, options, patience_s):
    """One transfer: what came out at the receiver, and how long it took."""
    _, send_command, receive_command = program
    messages = [message(index) for index in range(options.count)]
    port = free_port()
    with tempfile.NamedTemporaryFile() as output:
        receiver = subprocess.Popen(fill(receive_command, port), stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=subprocess.DEVNULL, env=environment)
        relay = sender = None
        try:
            wait_until_bound(port, receiver)
            relay, relay_port = start_relay(options.relay, port, options.seed)
            begin_s = time.monotonic()
            sender = subprocess.Popen(fill(send_command, relay_port), stdin=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL, env=environment)
            feed(sender, messages)
            end_s = watch(output.name, len(messages) * MESSAGE_BYTES, patience_s)
        finally:
            for process in (sender, receiver, relay):
                if process is not None:
                    end(process)
            if relay is not None:
                relay.stdout.close()
        with open(output.name, "rb") as received:
            return received.read(), end_s - begin_s


def judge(data, count):
    """Sent messages that arrived, whether in order and once, whether all is byte for byte as sent."""
    known = {message(index): index for index in range(count)}
    pieces = [data[at:at + MESSAGE_BYTES] for at in range(0, len(data), MESSAGE_BYTES)]
    indexes = [known[piece] for piece in pieces if piece in known]
    in_order = all(a < b for a, b in zip(indexes, indexes[1:]))
    sent_hash = hashlib.sha256(b"".join(known)).digest()
    return len(set(indexes)), in_order, hashlib.sha256(data).digest() == sent_hash


def run(options):
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    modes = [("plain", plain, QUIET_LIMIT_S),
             ("reliable", dict(plain, LD_PRELOAD=options.shim), STALL_LIMIT_S)]
    form = "{:<15} {:<9} {:>6} {:>8} {:>9} {:>7} {:>8}"
    lost = 0
    print("udp-impair " + " ".join(LINK) + ", each way\n")
    print(form.format("program", "mode", "sent", "arrived", "in order", "intact", "seconds"))
    for program in PROGRAMS:
        for mode, environment, patience_s in modes:
            data, seconds = transfer(program, environment, options, patience_s)
            arrived, in_order, intact = judge(data, options.count)
            if mode == "reliable":
                lost += not (intact and in_order)
            print(form.format(program[0], mode, options.count, arrived,
                              "yes" if in_order else "no", "yes" if intact else "no",
                              f"{seconds:.2f}"), flush=True)
    print("\nReliable transfers that lost or changed anything:", lost)
    return lost


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="build directory")
    parser.add_argument("--count", type=int, default=500, help="messages per transfer")
    parser.add_argument("--seed", type=int, default=1, help="of the link")
    options = parser.parse_args()
    options.relay = os.path.abspath(os.path.join(options.build, "tools", "udp-impair"))
    options.shim = os.path.abspath(os.path.join(options.build, "shim", "librudp_shim.so"))
    for path in (options.relay, options.shim):
        if not os.path.exists(path):
            sys.exit(f"demo: {path} is not built")
    sys.exit(1 if run(options) else 0)


if __name__ == "__main__":
    main()
