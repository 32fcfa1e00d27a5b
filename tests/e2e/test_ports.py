"""Servers with several sockets or processes on one port, and many clients through a relay."""
import os
import shutil
import signal
import sys
import unittest

import harness
from harness import HOST, EndToEndTest, built

LOSSY = ("--loss", "10", "--reorder", "2", "--duplicate", "2")
SERVERS = os.path.join(harness.HERE, "port_servers.py")


class PortTest(EndToEndTest):
    def serve(self, *command, port):
        return self.start(list(command)).wait_bound(port)

    def serve_python(self, mode, port):
        return self.serve(sys.executable, "-B", SERVERS, mode, str(port), port=port)

    def call(self, port, client_count, call_count, *impairments):
        """Every client gets the answer to each of its requests, in order, once."""
        relay = self.start_relay(port, *impairments)
        clients = [self.start([built("udp_rpc"), "call", HOST, str(relay.port), str(call_count),
                               str(seed)]) for seed in range(client_count)]
        for client in clients:
            self.assertEqual(client.wait(), 0, client.read_errors())

    def test_a_connected_socket_for_each_client(self):
        port = harness.free_port()
        server = self.serve_python("connected", port)
        self.call(port, 50, 20, *LOSSY)
        self.assertEqual(server.read(), b"")  # nothing of a client came to the listening socket

    def test_threads_that_come_and_go(self):
        port = harness.free_port()
        self.serve_python("threads", port)
        self.call(port, 20, 400, *LOSSY)

    def test_processes_that_come_and_go(self):
        port = harness.free_port()
        self.serve_python("processes", port)
        self.call(port, 20, 400, *LOSSY)

    def test_a_child_for_each_request(self):
        port = harness.free_port()
        self.serve_python("fork", port)
        self.call(port, 10, 20, *LOSSY)

    def test_children_that_receive_on_one_socket(self):
        port = harness.free_port()
        self.serve_python("prefork", port)
        self.call(port, 20, 50, *LOSSY)

    def test_socat_with_a_child_for_each_request(self):
        port = harness.free_port()
        # By default socat drops the answer of a program that takes half a second to start.
        self.serve("socat", "-t", "60", f"UDP4-RECVFROM:{port},fork", "EXEC:cat", port=port)
        self.call(port, 10, 5, *LOSSY)

    def test_a_child_for_each_client(self):
        port = harness.free_port()
        self.serve_python("listen", port)
        self.call(port, 20, 20, *LOSSY)

    def test_a_child_with_a_new_socket_for_each_client(self):
        port = harness.free_port()
        server = self.serve_python("successor", port)
        self.call(port, 20, 20, *LOSSY)
        self.assertEqual(server.read(), b"")  # what a client sent later came to its child

    def test_socat_with_a_child_for_each_client(self):
        port = harness.free_port()
        self.serve("socat", f"UDP4-LISTEN:{port},fork,reuseaddr", "EXEC:cat", port=port)
        self.call(port, 10, 20, *LOSSY)

    def test_a_server_that_starts_again(self):
        """Ended cleanly and started again under load, over and over: no request is lost."""
        port = harness.free_port()
        relay = self.start_relay(port, *LOSSY)
        server = self.serve_python("restart", port)
        clients = [self.start([built("udp_rpc"), "call", HOST, str(relay.port), "300", str(seed)],
                              environment={"RUDP_CONNECT_TIMEOUT": "30s"})
                   for seed in range(10)]
        restart_count = 0

        def is_over():
            return not any(client.is_running() for client in clients)
        while not is_over():
            harness.poll_until(lambda: server.output_bytes() > 500 or is_over(), "answers")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0, server.read_errors())
            server = self.serve_python("restart", port)
            restart_count += 1
        for client in clients:
            self.assertEqual(client.wait(), 0, client.read_errors())
        self.assertGreater(restart_count, 2)


if __name__ == "__main__":
    harness.main()
