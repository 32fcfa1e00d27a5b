"""What happens at the ends: receivers that wait, senders that leave, peers that are not there."""
import errno
import os
import time

import harness
from harness import HOST, EndToEndTest, built, make_messages, pack

LOSSY = ("--loss", "20", "--reorder", "3", "--duplicate", "3")
SMALL_BUFFERS = {"RUDP_SNDBUF": "128K", "RUDP_RCVBUF": "128K"}
CONNECT_TIMEOUT_S = 1


def read_offset(process):
    """How far a program has read the file that is its standard input."""
    with open(f"/proc/{process.pid}/fdinfo/0", encoding="ascii") as info:
        return int(info.readline().split()[1])


class SlowReceiverTest(EndToEndTest):
    def test_a_sender_waits_for_a_slow_receiver(self):
        """Ten megabytes to a receiver that does not read yet: the sender gets no further than the
        buffers allow, and when the receiver reads, nothing is missing."""
        data = pack(make_messages(1, 10000, (1000,)))
        port = harness.free_port()
        gate_read, gate_write = os.pipe()
        receiver = self.start([built("udp_stream"), "receive", HOST, str(port), "--wait"],
                              environment=SMALL_BUFFERS, stdin=gate_read).wait_bound(port)
        os.close(gate_read)
        relay = self.start_relay(port, *LOSSY)
        sender = self.start([built("udp_stream"), "send", HOST, str(relay.port)],
                            environment=SMALL_BUFFERS, data=data)

        self.wait_until_blocked(sender)
        self.assertLess(read_offset(sender.process), len(data) // 2)
        self.assertEqual(receiver.output_bytes(), 0)
        os.close(gate_write)
        self.assert_transferred(receiver, data, [sender])

    def wait_until_blocked(self, sender):
        """A blocked process sleeps and reads no more of its input, look after look."""
        looks = []

        def blocked():
            self.assertTrue(sender.is_running(), sender.read_errors())
            looks.append(read_offset(sender.process))
            return len(looks) > 100 and looks[-100] == looks[-1] > 0
        harness.poll_until(blocked, "the sender waits")


class LeavingSenderTest(EndToEndTest):
    def leave(self, *options):
        data = pack(make_messages(2, 500, (100, 1200)))
        port = harness.free_port()
        receiver = self.start([built("udp_stream"), "receive", HOST, str(port)]).wait_bound(port)
        relay = self.start_relay(port, "--delay", "10ms", *LOSSY)
        sender = self.start([built("udp_stream"), "send", HOST, str(relay.port), *options],
                            data=data)
        self.assert_transferred(receiver, data, [sender])

    def test_returning_from_main(self):
        self.leave()

    def test_underscore_exit(self):
        self.leave("--hard-exit")

    def test_connected_socket(self):
        self.leave("--connect", "--hard-exit")

    def test_a_single_message(self):
        """Nothing but the exit of the sender, one message, and half of all packets lost."""
        data = pack([b"only this"])
        port = harness.free_port()
        receiver = self.start([built("udp_stream"), "receive", HOST, str(port)]).wait_bound(port)
        relay = self.start_relay(port, "--loss", "50", "--seed", "3")
        sender = self.start([built("udp_stream"), "send", HOST, str(relay.port)], data=data)
        self.assert_transferred(receiver, data, [sender])


class AbsentPeerTest(EndToEndTest):
    def call(self, port):
        begin = time.monotonic()
        client = self.start([built("udp_rpc"), "call", HOST, str(port), "1", "1"],
                            environment={"RUDP_CONNECT_TIMEOUT": f"{CONNECT_TIMEOUT_S}s",
                                         "RUDP_LINGER": "1s"})
        status = client.wait()
        return status, time.monotonic() - begin, client.read_errors()

    def test_silence_is_a_timeout(self):
        relay = self.start_relay(harness.free_port(), "--loss", "100")
        status, seconds, text = self.call(relay.port)
        self.assertEqual(status, errno.ETIMEDOUT, text)
        self.assertGreaterEqual(seconds, CONNECT_TIMEOUT_S)
        self.assertLess(seconds, CONNECT_TIMEOUT_S + 2)

    def test_a_closed_port_is_refused(self):
        status, seconds, text = self.call(harness.free_port())
        self.assertEqual(status, errno.ECONNREFUSED, text)
        self.assertLess(seconds, CONNECT_TIMEOUT_S + 2)

    def call_plain(self, *command):
        port = harness.free_port()
        self.start([*command, HOST, str(port)], plain=True).wait_bound(port)
        status, seconds, text = self.call(port)
        self.assertEqual(status, errno.ETIMEDOUT, text)
        self.assertLess(seconds, CONNECT_TIMEOUT_S + 2)

    def test_a_peer_without_the_shim_is_a_timeout(self):
        self.call_plain(built("udp_stream"), "receive")

    def test_a_peer_that_throws_everything_back_is_a_timeout(self):
        """Its packets are our own: no session with oneself."""
        self.call_plain(built("udp_rpc"), "serve")


class MisconfigurationTest(EndToEndTest):
    def test_a_bad_value_stops_the_program(self):
        program = self.start(["true"], environment={"RUDP_CONNECT_TIMEOUT": "soon"})
        self.assertNotEqual(program.wait(), 0)
        text = program.read_errors()
        self.assertEqual(len(text.splitlines()), 1, text)
        for part in ("RUDP_CONNECT_TIMEOUT", "soon"):
            self.assertIn(part, text)


if __name__ == "__main__":
    harness.main()
