#!/usr/bin/env python3
"""rudp stat, on live programs: its numbers against what was sent, and its readers against each other.

    test_stat.py --command RUDP --library LIBRARY --page rudp-stat.1 --harness DIRECTORY [options of the harness]

Needs root, for another user and another network namespace; exit status 77 without, unless
E2E_SKIP_NOTHING is set.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

parser = argparse.ArgumentParser()
for name in ("command", "library", "page", "harness"):
    parser.add_argument("--" + name, required=True)
options, sys.argv[1:] = parser.parse_known_args()
sys.path.insert(0, options.harness)

import harness  # noqa: E402 - found where the command line says
from harness import HOST, EndToEndTest, built, make_messages, pack, poll_until  # noqa: E402

NOBODY = 65534
SKIPPED = 77
MESSAGE_COUNT = 400
SESSION_COUNT = 300
READER_COUNT = 1000

# One socket for each session, each with one message; then waits for its input to end.
MANY = """
import socket, sys
sockets = []
for number in range(int(sys.argv[3])):
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[-1].sendto(b"x", (sys.argv[1], int(sys.argv[2])))
sys.stdin.read()
"""

# Closes a number and takes the lowest free one, which is the same, until its input ends.
LOWEST = """
import os, select, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
os.write(1, b"ready\\n")
wanted = os.open("/dev/null", os.O_RDONLY)
count = wrong = 0
while not select.select([0], [], [], 0)[0]:
    for _ in range(1000):
        os.close(wanted)
        number = os.open("/dev/null", os.O_RDONLY)
        count += 1
        wrong += number != wanted
        wanted = number
print(count, wrong)
"""

# Receives once, then forks a child that goes on.
HEIR = """
import os, signal, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], int(sys.argv[2])))
os.write(1, sock.recv(10))
child = os.fork()
if child:
    os.write(1, b"%d.\\n" % child)
    signal.pause()
while True:
    os.write(1, sock.recv(10))
"""

# Answers every request with one record, and says that the list goes on where it began; or with
# answers to something else, as many as the reader takes.
IMPOSTOR = """
import os, socket, struct, threading
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.bind(b"\\0rudp.stat.%d" % os.getpid())
def answer():
    while True:
        request, reader = sock.recvfrom(100)
        magic, version, echo, first, second = struct.unpack("=IIQQQ", request)
        try:
            while True:
                sock.sendto(struct.pack("=IIIIQQQ6Q320x", magic, version, 0, 1, echo + FLOODS,
                                        first, second, *[0] * 6), reader)
                if not FLOODS:
                    break
        except OSError:
            pass  # the reader is gone
threading.Thread(target=answer, daemon=True).start()
print("ready", flush=True)
os.read(0, 1)
"""

TO_NAMESPACE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def stat(*arguments, as_nobody=False):
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    return subprocess.run([options.command, "stat", *arguments], text=True, capture_output=True,
                          timeout=60, check=False, **user)


def process_of(text, pid):
    found = [entry for entry in json.loads(text)["processes"] if entry["pid"] == pid]
    return found[0] if found else None


def sessions_of(process):
    return [session for sock in process["sockets"] for session in sock["sessions"]]


def wait_published(program):
    """The port is bound before the engine starts, which publishes."""
    def is_published():
        with open(f"/proc/{program.process.pid}/net/unix", encoding="ascii") as table:
            return f"@rudp.stat.{program.process.pid}\n" in table.read()
    poll_until(is_published, f"{program.name} publishes its counters")
    return program


class Stat(EndToEndTest):
    def receiver(self, **arguments):
        port = harness.free_port()
        program = self.start([built("udp_stream"), "receive", HOST, str(port)], **arguments)
        return wait_published(program.wait_bound(port)), port

    def ask(self, program):
        result = stat("--json", str(program.process.pid))
        self.assertEqual(result.returncode, 0, result.stderr)
        return process_of(result.stdout, program.process.pid)

    def session(self, program):
        """Its only session."""
        sessions = sessions_of(self.ask(program))
        self.assertEqual(len(sessions), 1)
        return sessions[0]

    def transfer(self, *impairments, count=MESSAGE_COUNT):
        """Receiver, and sender that has sent it all and waits for more input."""
        receiver, port = self.receiver()
        relay = self.start_relay(port, *impairments)
        messages = make_messages(3, count, (0, 100, 1200, 9000))
        sender = self.start([built("udp_stream"), "send", HOST, str(relay.port)],
                            stdin=subprocess.PIPE)
        self.addCleanup(sender.process.stdin.close)
        writer = threading.Thread(target=self.feed, args=(sender, pack(messages)))
        writer.start()
        self.addCleanup(writer.join)
        return receiver, wait_published(sender), relay, pack(messages)

    @staticmethod
    def feed(program, data):
        program.process.stdin.write(data)
        program.process.stdin.flush()

    def test_numbers_agree_with_what_was_sent(self):
        receiver, sender, relay, expected = self.transfer("--loss", "20")
        receiver.wait_output(len(expected))
        poll_until(lambda: self.session(sender)["queued_bytes"] == 0, "all is acknowledged")
        sent = self.session(sender)
        received = self.session(receiver)
        self.assertEqual((sent["state"], sent["opener"]), ("established", True))
        self.assertEqual((received["state"], received["opener"]), ("established", False))
        self.assertEqual(sent["remote"], f"{HOST}:{relay.port}")
        self.assertEqual(sent["sent_message_count"], MESSAGE_COUNT)
        self.assertEqual(received["received_message_count"], MESSAGE_COUNT)
        self.assertEqual(sent["in_flight_bytes"], 0)
        for name in ("resent_bytes", "lost_packet_count", "rtt_us", "window_bytes"):
            self.assertGreater(sent[name], 0, name)
        self.assertGreater(sent["sent_bytes"], len(expected))
        self.assertGreater(sent["sent_packet_count"], received["received_packet_count"])

    def test_fields_are_documented(self):
        receiver, sender, _, expected = self.transfer()
        receiver.wait_output(len(expected))
        with open(options.page, encoding="utf-8") as file:
            page = file.read()

        def names(value):
            if isinstance(value, list):
                value = {number: entry for number, entry in enumerate(value)}
            if not isinstance(value, dict):
                return set()
            own = {key for key in value if isinstance(key, str)}
            return own.union(*(names(entry) for entry in value.values()))

        with subprocess.Popen([options.command, "stat", "--json", "--watch=20ms",
                               str(sender.process.pid)], stdout=subprocess.PIPE,
                              text=True) as watch:
            watch.stdout.readline()
            fields = names(json.loads(watch.stdout.readline()))
            watch.send_signal(signal.SIGTERM)
        self.assertIn("rates", fields)
        self.assertEqual([name for name in sorted(fields) if name not in page], [])

    def test_text(self):
        receiver, sender, _, expected = self.transfer("--loss", "20")
        receiver.wait_output(len(expected))
        text = stat(str(sender.process.pid), str(receiver.process.pid)).stdout
        self.assertIn(f"sent {MESSAGE_COUNT} messages", text)
        self.assertIn(f"received {MESSAGE_COUNT} messages", text)
        self.assertIn(f"{sender.process.pid} udp_stream: sockets 1, sessions 1", text)

    def test_many_sessions(self):
        receiver, port = self.receiver()
        clients = self.start([sys.executable, "-c", MANY, HOST, str(port), str(SESSION_COUNT)],
                             stdin=subprocess.PIPE)
        self.addCleanup(clients.process.stdin.close)
        receiver.wait_output(SESSION_COUNT * 5)
        sessions = sessions_of(self.ask(receiver))
        self.assertEqual(len({session["remote"] for session in sessions}), SESSION_COUNT)
        self.assertEqual(len(sessions), SESSION_COUNT)
        self.assertEqual({session["received_message_count"] for session in sessions}, {1})
        self.assertEqual(len(self.ask(clients)["sockets"]), SESSION_COUNT)

    def test_watch_gives_rates_and_ends_on_sigint(self):
        receiver, sender, _, expected = self.transfer()
        receiver.wait_output(len(expected))
        watch = subprocess.Popen([options.command, "stat", "--json", "--watch=50ms",
                                  str(sender.process.pid), str(receiver.process.pid)],
                                 stdout=subprocess.PIPE, text=True)
        first = json.loads(watch.stdout.readline())
        self.feed(sender, pack(make_messages(4, 10, (100,))))
        self.assertNotIn("rates", sessions_of(first["processes"][0])[0])
        rates = 0
        while rates == 0:
            report = json.loads(watch.stdout.readline())
            process = [entry for entry in report["processes"]
                       if entry["pid"] == sender.process.pid][0]
            rates = sessions_of(process)[0]["rates"]["sent_messages_per_s"]
        watch.send_signal(signal.SIGINT)
        watch.stdout.read()
        self.assertEqual(watch.wait(60), 0)
        watch.stdout.close()

    def test_process_that_ends_meanwhile(self):
        receiver, _ = self.receiver()
        watch = subprocess.Popen([options.command, "stat", "--json", "--watch=20ms",
                                  str(receiver.process.pid)], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        watch.stdout.readline()
        receiver.process.kill()
        _, errors = watch.communicate(timeout=60)
        self.assertEqual(watch.returncode, 1)
        self.assertIn("publishes no counters", errors)

    def test_process_that_does_not_answer(self):
        receiver, _ = self.receiver()
        receiver.process.send_signal(signal.SIGSTOP)
        self.addCleanup(receiver.process.send_signal, signal.SIGCONT)
        result = stat(str(receiver.process.pid))
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("does not answer", result.stderr)

    def test_all_processes(self):
        first, _ = self.receiver()
        second, _ = self.receiver()
        result = stat("--json")
        pids = [entry["pid"] for entry in json.loads(result.stdout)["processes"]]
        self.assertLessEqual({first.process.pid, second.process.pid}, set(pids))
        self.assertEqual(pids, sorted(set(pids)))

    def test_other_user(self):
        receiver, _ = self.receiver()
        pid = receiver.process.pid
        result = stat(str(pid), as_nobody=True)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("belongs to another user", result.stderr)
        self.assertIsNone(process_of(stat("--json", as_nobody=True).stdout, pid))
        process = self.ask(receiver)
        self.assertEqual(process["refused_count"], 2)
        self.assertEqual(process["answered_count"], 1)

    def test_root_and_the_user_itself_read(self):
        port = harness.free_port()
        serve = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); " \
                f"s.bind(('{HOST}', {port})); s.recv(1)"
        program = self.start(["/usr/bin/python3", "-c", serve], prefix=(
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            environment={"LD_PRELOAD": options.library})
        wait_published(program.wait_bound(port))
        for as_nobody in (True, False):
            result = stat("--json", str(program.process.pid), as_nobody=as_nobody)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_stats_off(self):
        port = harness.free_port()
        receiver = self.start([built("udp_stream"), "receive", HOST, str(port)],
                              environment={"RUDP_STATS": "off"})
        sender = self.start([built("udp_stream"), "send", HOST, str(port)], data=pack([b"x"]))
        receiver.wait_output(5)  # its engine runs
        self.assertEqual(sender.wait(), 0)
        result = stat(str(receiver.process.pid))
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("publishes no counters", result.stderr)

    def test_other_network_namespace(self):
        receiver, port = self.receiver(prefix=TO_NAMESPACE)
        sockets = self.ask(receiver)["sockets"]
        self.assertEqual([sock["local"] for sock in sockets], [f"{HOST}:{port}"])
        self.assertIsNotNone(process_of(stat("--json").stdout, receiver.process.pid))

    def test_a_thousand_readers_do_no_harm(self):
        """The transfer is whole, and the descriptors are those of before."""
        receiver, sender, _, expected = self.transfer("--loss", "5", "--delay", "5ms",
                                                      count=5 * MESSAGE_COUNT)
        before = sorted(os.listdir(f"/proc/{receiver.process.pid}/fd"))
        readers = [subprocess.Popen([options.command, "stat", "--json",
                                     str(receiver.process.pid), str(sender.process.pid)],
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                   for _ in range(READER_COUNT)]
        for reader in readers:
            _, errors = reader.communicate(timeout=60)
            self.assertEqual((reader.returncode, errors), (0, b""))
        receiver.wait_output(len(expected))
        sender.process.stdin.close()
        self.assert_transferred(receiver, expected, [sender])
        self.assertEqual(sorted(os.listdir(f"/proc/{receiver.process.pid}/fd")), before)
        self.assertGreaterEqual(self.ask(receiver)["answered_count"], READER_COUNT)

    def test_lowest_number_is_never_taken(self):
        """Answering opens nothing: a number that the program closes is the next that it gets."""
        program = self.start([sys.executable, "-c", LOWEST], stdin=subprocess.PIPE)
        program.wait_output(len("ready\n"))
        for _ in range(200):
            self.ask(program)
        program.process.stdin.close()
        self.assertEqual(program.wait(), 0, program.read_errors())
        count, wrong = map(int, program.read().split()[1:])
        self.assertGreater(count, 1000)
        self.assertEqual(wrong, 0)

    def impostor(self, floods):
        process = subprocess.Popen([sys.executable, "-c", f"FLOODS = {floods}\n{IMPOSTOR}"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        return process.pid

    def test_heir_shows_what_it_took_over(self):
        port = harness.free_port()
        owner = self.start([sys.executable, "-c", HEIR, HOST, str(port)]).wait_bound(port)
        sender = self.start([built("udp_stream"), "send", HOST, str(port)], stdin=subprocess.PIPE)
        self.addCleanup(sender.process.stdin.close)
        self.feed(sender, pack([b"first\n"]))
        poll_until(lambda: owner.read().endswith(b".\n"), "the child is there")
        child = int(owner.read().split()[1].rstrip(b"."))
        self.addCleanup(os.kill, child, signal.SIGKILL)
        owner.process.kill()
        self.feed(sender, pack([b"second\n"]))
        poll_until(lambda: owner.read().endswith(b"second\n"), "the child receives")
        session, = sessions_of(process_of(stat("--json", str(child)).stdout, child))
        self.assertEqual((session["state"], session["received_message_count"]),
                         ("established", 2))

    def test_list_without_end(self):
        """Who only claims to be a shim's process is read no longer than it makes sense."""
        pid = self.impostor(0)
        result = stat("--json", str(pid))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(process_of(result.stdout, pid)["sockets"]), 1)

    def test_flood_of_answers(self):
        result = stat(str(self.impostor(1)))
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("does not answer", result.stderr)

    def test_usage(self):
        for wrong in ("x", "0", "12x", "--watch=1ms", "--watch=4000s", "--watch=", "--watch=1h"):
            self.assertEqual(stat(wrong).returncode, 2, wrong)


def main():
    if os.geteuid() != 0:
        print("skipped: another user and another network namespace need root")
        sys.exit(1 if os.environ.get("E2E_SKIP_NOTHING") else SKIPPED)
    with tempfile.TemporaryDirectory() as directory:
        # Where another user may read them, which the build tree need not allow.
        os.chmod(directory, 0o755)
        options.command = shutil.copy(options.command, directory)
        options.library = shutil.copy(options.library, directory)
        harness.main()


if __name__ == "__main__":
    main()
