"""Sockets that a program did not make itself: from a super-server, a service manager, another process."""
import json
import os
import pwd
import socket
import sys
import tempfile

import harness
from harness import HOST, EndToEndTest, built

CALL_COUNT = 40
SERVICE = [sys.executable, os.path.join(harness.HERE, "echo_service.py")]
SUPER_SERVER = [sys.executable, os.path.join(harness.HERE, "super_server.py")]
SHARE = [sys.executable, os.path.join(harness.HERE, "share_socket.py")]
START_OTHERS = [sys.executable, os.path.join(harness.HERE, "start_others.py")]
EXEC_SERVER = [sys.executable, os.path.join(harness.HERE, "exec_server.py")]
LOSSY = ("--loss", "20", "--reorder", "3", "--duplicate", "3")


def shimmed(*command):
    """The command, for a launcher that runs without the shim itself, and may pass no settings on."""
    sanitizer = [f"{name}={os.environ[name]}" for name in ("ASAN_OPTIONS",) if name in os.environ]
    return ["env", f"LD_PRELOAD={harness.options.preload}", *sanitizer, *command]


class AdoptTest(EndToEndTest):
    def setUp(self):
        self.report = tempfile.NamedTemporaryFile()
        self.addCleanup(self.report.close)

    def service(self, fd, count=CALL_COUNT):
        return [*SERVICE, str(fd), str(count), "--report", self.report.name]

    def reports(self):
        with open(self.report.name, encoding="ascii") as lines:
            return [json.loads(line) for line in lines]

    def call(self, port, seed=1):
        """A whole conversation, through a bad link: the answers are checked by the client."""
        relay = self.start_relay(port, *LOSSY)
        client = self.start([built("udp_rpc"), "call", HOST, str(relay.port), str(CALL_COUNT),
                             str(seed)])
        self.assertEqual(client.wait(), 0, client.read_errors())

    def call_twice(self, server, port):
        """The second conversation begins when the service of the first one has ended."""
        self.call(port, 1)
        harness.poll_until(lambda: "reaped" in server.read_errors(), "the service ends")
        self.call(port, 2)


class SuperServerTest(AdoptTest):
    def serve(self, port, runs, command, plain):
        return self.start([*SUPER_SERVER, str(port), str(runs), *command],
                          plain=plain).wait_bound(port)

    def test_one_that_runs_plainly(self):
        """The service is under the shim, what starts it is not. Two conversations, one after the
        other, are two runs of the service on one socket."""
        port = harness.free_port()
        server = self.serve(port, 2, shimmed(*self.service(0)), plain=True)
        self.call_twice(server, port)
        self.assertEqual(server.wait(), 0, server.read_errors())
        expected = {"family": socket.AF_INET, "name": [HOST, port], "nonblocking": False,
                    "closes_on_exec": False}
        self.assertEqual(self.reports(), [expected, expected])


    def test_services_that_end_in_the_middle(self):
        """Each answers a few requests of a conversation and ends, while the next one is on its way."""
        port = harness.free_port()
        each = 4
        server = self.serve(port, CALL_COUNT // each, shimmed(*self.service(0, each)), plain=True)
        self.call(port)
        self.assertEqual(server.wait(), 0, server.read_errors())

    def test_inetd(self):
        """Debian's own super-server. It may start the service once more for a late packet."""
        port = harness.free_port()
        configuration = tempfile.NamedTemporaryFile("w")
        self.addCleanup(configuration.close)
        user = pwd.getpwuid(os.getuid()).pw_name
        configuration.write(f"{HOST}:{port} dgram udp wait {user} /usr/bin/setpriv setpriv " +
                            " ".join(["--pdeathsig", "KILL", *shimmed(*self.service(0))]) + "\n")
        configuration.flush()
        server = self.start(["/usr/sbin/inetutils-inetd", "--debug", "--pidfile=", configuration.name],
                   plain=True).wait_bound(port)
        self.call_twice(server, port)
        for seen in self.reports():
            self.assertEqual(seen["name"], [HOST, port])


class SharedSocketTest(AdoptTest):
    def test_a_super_server_under_the_shim(self):
        """It serves the socket itself; its services hold it, one after the other, as they come."""
        port = harness.free_port()
        server = self.start([*SUPER_SERVER, str(port), "2", *self.service(0)]).wait_bound(port)
        self.call_twice(server, port)
        self.assertEqual(server.wait(), 0, server.read_errors())
        self.assertEqual([seen["name"] for seen in self.reports()], [[HOST, port]] * 2)

    def test_a_child_that_is_another_program(self):
        port = harness.free_port()
        server = self.start([*SHARE, "spawn", str(port), str(CALL_COUNT), "--report",
                             self.report.name]).wait_bound(port)
        self.call(port)
        self.assertEqual(server.wait(), 0, server.read_errors())
        self.assertEqual(server.read(), f"{port}\n".encode())
        self.assertEqual([seen["name"] for seen in self.reports()], [[HOST, port]])

    def give(self, port, *peer):
        """A program that gives its socket (port 0: not bound yet) to another one, and closes it."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "passed")
        giver = self.start([*SHARE, "pass", str(port), path, *map(str, peer)])
        harness.poll_until(lambda: os.path.exists(path) or not giver.is_running(), "it listens")
        return giver, path

    def assert_passed(self, port, giver, taker):
        for program in (taker, giver):
            self.assertEqual(program.wait(), 0, program.read_errors())
        number, seen_port = map(int, taker.read().split())
        self.assertEqual(seen_port, port)
        self.assertLess(number, 10)

    def call_from(self, port, peer_port):
        client = self.start([*SHARE, "call", str(port), str(CALL_COUNT), str(peer_port)])
        self.assertEqual(client.wait(), 0, client.read_errors())

    def test_passed_to_another_program(self):
        port = harness.free_port()
        giver, path = self.give(port)
        taker = self.start([*SHARE, "take", path, str(CALL_COUNT)])
        self.call(port)
        self.assert_passed(port, giver, taker)

    def test_passed_connected(self):
        port, peer_port = harness.free_port(), harness.free_port()
        giver, path = self.give(port, peer_port)
        taker = self.start([*SHARE, "take", path, str(CALL_COUNT)])
        self.call_from(peer_port, port)
        self.assert_passed(port, giver, taker)

    def test_passed_before_it_is_bound(self):
        port = harness.free_port()
        giver, path = self.give(0)
        taker = self.start([*SHARE, "bind", path, str(CALL_COUNT), str(port)]).wait_bound(port)
        self.call(port)
        self.assert_passed(port, giver, taker)

    def test_passed_before_it_is_connected(self):
        port, peer_port = harness.free_port(), harness.free_port()
        giver, path = self.give(0)
        taker = self.start([*SHARE, "bind", path, str(CALL_COUNT), str(port), str(peer_port)])
        taker.wait_bound(port)
        self.call_from(peer_port, port)
        self.assert_passed(port, giver, taker)


    def test_passed_by_a_process_that_is_killed(self):
        """Nobody is left who could run the sessions: better an error than silence."""
        port = harness.free_port()
        gate_read, gate_write = os.pipe()
        giver, path = self.give(port)
        taker = self.start([*SHARE, "send", path, str(harness.free_port())], stdin=gate_read)
        os.close(gate_read)
        harness.poll_until(lambda: taker.read().endswith(b"\n"), "the socket is passed")
        giver.process.kill()
        giver.wait()
        os.close(gate_write)
        self.assertEqual(taker.wait(), 0, taker.read_errors())
        self.assertEqual(taker.read(), f"{port}\nECONNREFUSED\n{port}\n".encode())


class ExecTest(AdoptTest):
    def test_new_images_of_a_server(self):
        """One conversation spans three images; others begin in the second and the third."""
        port = harness.free_port()
        server = self.start([*EXEC_SERVER, str(port), str(CALL_COUNT), "3"]).wait_bound(port)
        relay = self.start_relay(port, *LOSSY)
        clients = [self.start([built("udp_rpc"), "call", HOST, str(relay.port), str(CALL_COUNT),
                               str(seed)]) for seed in range(3)]
        for client in clients:
            self.assertEqual(client.wait(), 0, client.read_errors())
        self.assertEqual(server.wait(), 0, server.read_errors())
        self.assertEqual(server.read(), f"3 {port}\n".encode() * 3)

    def test_a_shell_that_execs_the_service(self):
        """A plain socket becomes the shell's, and then the service's."""
        port = harness.free_port()
        command = " ".join(["exec", *self.service(0)])
        server = self.start([*SUPER_SERVER, str(port), "2", *shimmed("sh", "-c", command)],
                            plain=True).wait_bound(port)
        self.call_twice(server, port)
        self.assertEqual(server.wait(), 0, server.read_errors())
        self.assertEqual([seen["name"] for seen in self.reports()], [[HOST, port]] * 2)


class OtherProgramsTest(AdoptTest):
    def test_started_while_sessions_live(self):
        port = harness.free_port()
        server = self.start([*START_OTHERS, str(port), str(CALL_COUNT)]).wait_bound(port)
        self.call(port)
        self.assertEqual(server.wait(), 0, server.read_errors())


class SocketActivationTest(AdoptTest):
    def test_systemd(self):
        port = harness.free_port()
        manager = self.start(["systemd-socket-activate", "--datagram", "-l", f"{HOST}:{port}",
                              *shimmed(*self.service(3))], plain=True).wait_bound(port)
        self.call(port)
        self.assertEqual(manager.wait(), 0, manager.read_errors())
        self.assertEqual([seen["name"] for seen in self.reports()], [[HOST, port]])


if __name__ == "__main__":
    harness.main()
