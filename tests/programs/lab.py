"""Where the programs run: two hosts with a link between them that loses packets.

A Lab is one run of one entry, plainly or with the shim on both hosts. Nothing waits for a time to
pass: ports are open when the kernel lists them, a transfer is over when everything has arrived or
nothing has for a while. Every process started here, and every one those start, ends with the Lab.
"""
import collections
import ctypes
import hashlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "e2e"))
import harness  # noqa: E402
from link import ADDRESS_A, ADDRESS_B, Link  # noqa: E402

LOSS_PERCENT = 10
DELAY = "5ms"
SEED = 1
PORT = 7000
PACE_S = 0.001           # between messages: slow enough that only the link loses any
QUIET_PLAIN_S = 2        # plainly, nobody says when the last message came; silence does
QUIET_RELIABLE_S = 15    # reliably, silence this long is a failure
LIMIT_PLAIN_S = 30       # of one run
LIMIT_RELIABLE_S = 60
PR_SET_CHILD_SUBREAPER = 36

Result = collections.namedtuple("Result", "arrived expected intact")


def adopt_orphans():
    """Daemons that leave their parents become children of this process, which ends them."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def descendants():
    """Pids of all processes below this one."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    below, added = {os.getpid()}, True
    while added:
        added = {pid for pid, parent in parents.items() if parent in below} - below
        below |= added
    return below - {os.getpid()}


def end_descendants(spared):
    """Ends every process below this one but those; gathers what they leave."""
    def gone():
        below = descendants() - spared
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in below:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # a grandchild: it comes to us when its parent is gone
                pass
        return not below
    harness.poll_until(gone, "processes of the run end")


class Side:
    """One host."""

    def __init__(self, lab, address, prefix, is_client):
        self.lab, self.address, self.prefix, self.is_client = lab, address, prefix, is_client

    def start(self, *words, env=None, data=None, stdin=None, tag=None, cwd=None, plain=False):
        """A program of this host. tag: its RUDP_TAG. cwd: where it runs."""
        settings = dict(env or {})
        if self.lab.reliable and not plain and (tag or self.lab.tag):
            settings["RUDP_TAG"] = tag or self.lab.tag
        prefix = [*self.prefix, f"--wd={cwd or self.lab.directory}"]
        program = harness.Program([str(word) for word in words], environment=settings, data=data,
                                  stdin=stdin, plain=plain or not self.lab.reliable, prefix=prefix)
        self.lab.programs.append(program)
        if self.is_client and self.lab.begin_s is None:
            self.lab.begin_s = time.monotonic()
        return program

    def run(self, *words, limit_s=None, **arguments):
        """Runs a program to its end. At the limit of the run it is killed."""
        program = self.start(*words, **arguments)
        try:
            program.process.wait(min(limit_s or math.inf, self.lab.remaining_s()))
        except subprocess.TimeoutExpired:
            program.process.kill()
            program.process.wait()
        self.lab.end_s = time.monotonic()
        return program

    def serve(self, *words, port=PORT, **arguments):
        """Starts a server and waits until it has its UDP port."""
        program = self.start(*words, **arguments)
        self.wait_bound(port, program)
        return program

    def wait_bound(self, port, program):
        """Waits until something on this host has the UDP port."""
        def bound():
            ended = not program.is_running() and program.process.returncode != 0
            if ended:
                raise AssertionError(f"{program.name} ended: {explain(program)}")
            return port in harness.bound_ports(self.lab.holders[self].pid)
        harness.poll_until(bound, f"{program.name} opens port {port}", self.lab.remaining_s())


def hold(side):
    """A process that stays in the side's namespace: its /proc/PID/net is the namespace's."""
    holder = subprocess.Popen([*side.prefix, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    holder.stdout.readline()  # cat runs: it is there
    return holder


class Lab:
    unpacked_directory = None  # where unpacked() keeps packages
    npm_directory = None       # where packages of npm are installed

    def __init__(self, reliable, tag=None):
        self.reliable, self.tag = reliable, tag
        self.programs = []
        self.begin_s = self.end_s = None
        self.lost = []  # packets, each way; known when closed
        self.limit_s = time.monotonic() + (LIMIT_RELIABLE_S if reliable else LIMIT_PLAIN_S)
        self.directory = tempfile.mkdtemp(prefix="rudp-programs-")
        os.chmod(self.directory, 0o777)  # daemons give up their privileges
        self.link = Link(LOSS_PERCENT, DELAY, SEED)
        self.client = Side(self, ADDRESS_A, self.link.enter_a, True)
        self.server = Side(self, ADDRESS_B, self.link.enter_b, False)
        self.holders = {side: hold(side) for side in (self.client, self.server)}

    def close(self):
        for holder in self.holders.values():
            holder.communicate()
        end_descendants({self.link.process.pid})
        for program in self.programs:
            program.process.poll()
            program.stop()
        self.lost = self.link.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def begin(self):
        """The transfer begins now, not with the client's start."""
        self.begin_s = time.monotonic()

    def wait_for(self, condition, what):
        harness.poll_until(condition, what, self.remaining_s())

    def remaining_s(self):
        return max(0.1, self.limit_s - time.monotonic())

    def seconds(self):
        return self.end_s - self.begin_s if self.begin_s and self.end_s else 0

    def path(self, name, content=None):
        """A file of this run; with content (text or bytes) it is written."""
        path = os.path.join(self.directory, name)
        if content is not None:
            mode = "wb" if isinstance(content, bytes) else "w"
            with open(path, mode) as file:
                file.write(content)
            os.chmod(path, 0o666)
        return path

    def tool(self, *words, may_fail=False):
        """Runs a program that prepares something, here and without the shim."""
        done = subprocess.run([str(word) for word in words], cwd=self.directory, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              timeout=LIMIT_RELIABLE_S)
        assert may_fail or done.returncode == 0, f"{words[0]}: {done.stdout}"
        return done.stdout

    def unpacked(self, package):
        """A Debian package unpacked beside the build: for those that exclude each other."""
        root = os.path.join(Lab.unpacked_directory, package)
        if not os.path.isdir(root):
            os.makedirs(Lab.unpacked_directory, exist_ok=True)
            with tempfile.TemporaryDirectory() as directory:
                subprocess.run(["apt-get", "download", "-qq", package], cwd=directory, check=True,
                               stderr=subprocess.DEVNULL)
                archive, = os.listdir(directory)
                subprocess.run(["dpkg-deb", "-x", os.path.join(directory, archive), root],
                               check=True)
        return root

    def watch(self, measure, expected):
        """Waits until measure() is expected, or did not grow for the patience of this mode."""
        patience_s = QUIET_RELIABLE_S if self.reliable else QUIET_PLAIN_S
        value, grown_s = measure(), time.monotonic()
        while value < expected and time.monotonic() < min(grown_s + patience_s, self.limit_s):
            time.sleep(0.01)
            now_value = measure()
            if now_value != value:
                value, grown_s = now_value, time.monotonic()
        self.end_s = grown_s
        return value

    def watch_output(self, program, expected_bytes):
        self.watch(program.output_bytes, expected_bytes)
        return program.read()

    def watch_file(self, path, expected_bytes):
        self.watch(lambda: file_bytes(path), expected_bytes)
        return read_file(path)

    def feed(self, program, chunks):
        """Writes to a program started with stdin=PIPE, at a pace that only the link cannot hold."""
        try:
            for chunk in chunks:
                program.process.stdin.write(chunk)
                program.process.stdin.flush()
                time.sleep(PACE_S)
        except BrokenPipeError:  # it ended early: the result will show it
            pass


PIPE = subprocess.PIPE
EXPLAIN_CHARACTERS = 100


def explain(program):
    """What a program said, for a message about its failure."""
    text = program.read().decode(errors="replace") + program.read_errors()
    return " | ".join(line[:EXPLAIN_CHARACTERS] for line in text.strip().splitlines()[-4:])


def file_bytes(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def read_file(path):
    if not os.path.exists(path):
        return b""
    with open(path, "rb") as file:
        return file.read()


def block(index, count_bytes):
    """Text that names itself and cannot be mistaken for another."""
    text = "%08d " % index
    while len(text) < count_bytes:
        text += hashlib.sha256(text.encode()).hexdigest()
    return text[:count_bytes]


def numbered_lines(count, line_bytes=200):
    return [block(index, line_bytes - 1) for index in range(count)]


def judge(received, sent, in_order=True):
    """How many of the sent items arrived; intact: all did, once and, unless said otherwise, in
    order."""
    known = set(sent)
    kept = [item for item in received if item in known]
    same = received == sent if in_order else sorted(received) == sorted(sent)
    return Result(len(set(kept)), len(sent), same)


def judge_blocks(data, sent):
    """As judge, of items that follow each other without a mark between them; all of one length."""
    step = len(sent[0])
    return judge([data[at:at + step] for at in range(0, len(data), step)], sent)
