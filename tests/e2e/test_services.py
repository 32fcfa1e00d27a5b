"""What is never made reliable stays as it is under the shim: names, time, DHCP's ports, groups and
broadcast, between two network namespaces. Needs root; without, the run is skipped, unless
E2E_SKIP_NOTHING is set."""
import itertools
import os
import subprocess
import sys
import tempfile

import harness
from harness import HERE, EndToEndTest, poll_until

NAME, ADDRESS = "peer.rudp.test", "192.0.2.7"
ADDRESS_A, ADDRESS_B, BROADCAST = "10.84.0.1", "10.84.0.2", "10.84.0.255"
INTERFACES = {"a": "rudp-a", "b": "rudp-b"}
GROUPS = [sys.executable, f"{HERE}/groups.py"]
NTP = [sys.executable, f"{HERE}/ntp.py"]
SKIPPED = 77  # what CTest takes for a skipped test
INSIDE = "E2E_SERVICES_INSIDE"  # set once this very script runs in namespaces of its own

KINDS = list(itertools.product((False, True), repeat=2))


def run(*words):
    subprocess.run(words, check=True)


class Neighbour:
    """Another network namespace, at the other end of a cable."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        poll_until(lambda: self.namespace() != os.readlink("/proc/self/ns/net"), "a namespace")
        self.enter = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net"]
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", INTERFACES["a"], "type", "veth", "peer", "name", INTERFACES["b"],
            "netns", str(self.process.pid))
        for prefix, side, address in (([], "a", ADDRESS_A), (self.enter, "b", ADDRESS_B)):
            run(*prefix, "ip", "addr", "add", f"{address}/24", "broadcast", BROADCAST, "dev",
                INTERFACES[side])
            run(*prefix, "ip", "addr", "add", f"fd84::{side}/64", "nodad", "dev", INTERFACES[side])
            run(*prefix, "ip", "link", "set", INTERFACES[side], "up")
            run(*prefix, "ip", "route", "add", "default", "dev", INTERFACES[side])

    def namespace(self):
        return os.readlink(f"/proc/{self.process.pid}/ns/net")

    def stop(self):
        self.process.communicate()


def setUpModule():
    global neighbour
    neighbour = Neighbour()


def tearDownModule():
    neighbour.stop()


class ServicesTest(EndToEndTest):
    def begin(self, command, is_shimmed, prefix=(), environment=None):
        """Started, and as far as it says "ready"."""
        program = self.start(command, plain=not is_shimmed, prefix=prefix,
                             environment=environment if is_shimmed else None)
        program.wait_output(len("ready\n"))
        return program

    def assert_output(self, program, *lines):
        self.assertEqual(program.wait(), 0, program.read_errors())
        self.assertEqual(program.read().decode().split("\n"), [*lines, ""])

    def between(self, first, second, heard, lines):
        """Each in its namespace, the first ready before the second; all mixtures."""
        for kinds in KINDS:
            with self.subTest(first_shimmed=kinds[0], second_shimmed=kinds[1]):
                server = self.begin(first, kinds[0], neighbour.enter)
                client = self.begin(second, kinds[1])
                self.assert_output(server, "ready", heard)
                self.assert_output(client, *lines)


class NamesTest(ServicesTest):
    @classmethod
    def setUpClass(cls):
        cls.resolver = tempfile.NamedTemporaryFile("w")
        cls.resolver.write("nameserver 127.0.0.1\noptions timeout:5 attempts:1\n")
        cls.resolver.flush()
        run("mount", "--bind", cls.resolver.name, "/etc/resolv.conf")

    @classmethod
    def tearDownClass(cls):
        run("umount", "/etc/resolv.conf")
        cls.resolver.close()

    def resolve(self, is_server_shimmed):
        self.start(["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                    "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
                    "--pid-file=", f"--address=/{NAME}/{ADDRESS}"],
                   plain=not is_server_shimmed).wait_bound(53)
        python = f"import socket; print(socket.getaddrinfo('{NAME}', 80)[0][4][0])"
        for command in (["getent", "ahostsv4", NAME], ["dig", "+tries=1", "+short", NAME],
                        ["host", "-W", "5", "-t", "A", NAME], [sys.executable, "-c", python],
                        ["node", f"{HERE}/resolve.js", NAME]):
            with self.subTest(command[0], server_shimmed=is_server_shimmed):
                program = self.start(command)
                self.assertEqual(program.wait(), 0, program.read_errors())
                self.assertIn(ADDRESS, program.read().decode())

    def test_plain_server(self):
        self.resolve(False)

    def test_shimmed_server(self):
        if "asan" in harness.options.preload:
            self.skipTest("dnsmasq hangs with AddressSanitizer's runtime preloaded, also without the shim")
        self.resolve(True)


class TimeTest(ServicesTest):
    def test_query(self):
        for kinds in KINDS:
            with self.subTest(server_shimmed=kinds[0], client_shimmed=kinds[1]):
                server = self.begin([*NTP, "serve", ADDRESS_B], kinds[0], neighbour.enter)
                client = self.start([*NTP, "ask", ADDRESS_B], plain=not kinds[1])
                self.assertEqual(client.wait(), 0, client.read_errors())
                self.assertEqual(server.wait(), 0, server.read_errors())


class BroadcastTest(ServicesTest):
    def exchange(self, address, port):
        self.between([*GROUPS, "listen", str(port)], [*GROUPS, "shout", address, str(port)],
                     "query", ["ready", "answer"])

    def test_everyone(self):
        self.exchange("255.255.255.255", 7100)

    def test_subnet(self):
        self.exchange(BROADCAST, 7100)

    def test_ports_of_dhcp(self):
        self.exchange("255.255.255.255", 67)


class MulticastTest(ServicesTest):
    def one_way(self, how, group, *source):
        self.between([*GROUPS, "receive", how, group, "7200", INTERFACES["b"], *source],
                     [*GROUPS, "send", group, "7200", INTERFACES["a"], "0"],
                     "notice", ["ready"])

    def test_membership(self):
        self.one_way("membership", "239.84.0.1")

    def test_any_source(self):
        self.one_way("group", "239.84.0.2")

    def test_one_source(self):
        self.one_way("source", "232.84.0.3", ADDRESS_A)

    def test_ipv6(self):
        self.one_way("membership", "ff05::84")
        self.one_way("group", "ff05::85")

    def discover(self, is_receiver_shimmed, is_sender_shimmed, **settings):
        """As SSDP does: a query to a group is answered to the asker's own port."""
        receiver = self.begin([*GROUPS, "receive", "group", "239.84.0.4", "7300", INTERFACES["b"]],
                              is_receiver_shimmed, neighbour.enter, settings)
        sender = self.begin([*GROUPS, "send", "239.84.0.4", "7300", INTERFACES["a"], "1"],
                            is_sender_shimmed, (), settings)
        self.assert_output(sender, "ready", "answer")
        self.assert_output(receiver, "ready", "query")

    def test_answer_between_shimmed_programs_is_reliable(self):
        self.discover(True, True)

    def test_plain_answer_to_a_shimmed_program(self):
        self.discover(False, True, RUDP_ACCEPT_PLAIN="yes")

    def test_answer_to_a_plain_program(self):
        """It gets the answer and no byte of ours: its host is asked first."""
        self.discover(True, False, RUDP_FALLBACK="plain")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("this needs root")
        sys.exit(1 if os.environ.get("E2E_SKIP_NOTHING") else SKIPPED)
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, "-B", *sys.argv])
    harness.main()
