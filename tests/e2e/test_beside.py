"""Debian's other libraries that are preloaded to change calls, before and after the shim: what they
leave alone is reliable, and what they take for themselves stays theirs."""
import os
import tempfile

import harness
from harness import HOST, EndToEndTest, built, make_messages, pack

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
FAKETIME = f"{LIBRARIES}/faketime/libfaketime.so.1"
SOCKET_WRAPPER = f"{LIBRARIES}/libsocket_wrapper.so"
TORSOCKS = f"{LIBRARIES}/torsocks/libtorsocks.so"
LOSSY = ("--loss", "20", "--reorder", "3", "--duplicate", "3")
MESSAGES = pack(make_messages(1, 300, harness.SIZES))


def orders(library):
    """What LD_PRELOAD says with the library before the shim, and after it."""
    return {"before": f"{library}:{harness.options.preload}",
            "after": f"{harness.options.preload}:{library}"}


class BesideTest(EndToEndTest):
    def transfer(self, settings, *impairments):
        port = harness.free_port()
        receiver = self.start([built("udp_stream"), "receive", HOST, str(port)],
                              environment=settings).wait_bound(port)
        relay = self.start_relay(port, *impairments)
        sender = self.start([built("udp_stream"), "send", HOST, str(relay.port)], data=MESSAGES,
                            environment=settings)
        self.assert_transferred(receiver, MESSAGES, [sender])
        self.assertEqual(receiver.read_errors() + sender.read_errors(), "")


class ClockTest(BesideTest):
    """libfaketime shows a program another time; ours must go on as time does."""

    def each_order(self, time):
        for order, preload in orders(FAKETIME).items():
            with self.subTest(order=order):
                self.transfer({"LD_PRELOAD": preload, "FAKETIME": time}, *LOSSY)

    def test_another_day(self):
        self.each_order("-15d")

    def test_time_that_stands_still(self):
        self.each_order("2020-12-24 20:30:00")

    def test_time_that_runs(self):
        self.each_order("+0 x50")

    def test_time_that_creeps(self):
        self.each_order("+0 x0.01")


class RefusalTest(BesideTest):
    """torsocks lets no UDP out of a program, wherever it stands, but to this host when it may."""

    def test_udp_is_refused(self):
        for order, preload in orders(TORSOCKS).items():
            with self.subTest(order=order):
                program = self.start([built("udp_stream"), "receive", HOST,
                                      str(harness.free_port())],
                                     environment={"LD_PRELOAD": preload})
                self.assertEqual(program.wait(), 1)
                *complaints, last = program.read_errors().splitlines()
                self.assertEqual(last, "udp_stream: socket: Operation not permitted")
                self.assertEqual([TORSOCKS in line for line in complaints],
                                 [True] if order == "before" else [])

    def test_udp_is_allowed(self):
        configuration = tempfile.NamedTemporaryFile("w")
        self.addCleanup(configuration.close)
        configuration.write("AllowOutboundLocalhost 2\n")
        configuration.flush()
        self.transfer({"LD_PRELOAD": orders(TORSOCKS)["after"],
                       "TORSOCKS_CONF_FILE": configuration.name}, *LOSSY)


class ReplacementTest(BesideTest):
    """socket_wrapper makes of UDP sockets others that end at this host, when it is told to."""

    def test_it_is_not_told_to(self):
        self.transfer({"LD_PRELOAD": orders(SOCKET_WRAPPER)["after"]}, *LOSSY)

    def complaint(self, order, settings):
        program = self.start([built("udp_stream"), "send", HOST, str(harness.free_port())],
                             environment={"LD_PRELOAD": orders(SOCKET_WRAPPER)[order], **settings})
        self.assertEqual(program.wait(), 0, program.read_errors())
        self.assertEqual(len(program.read_errors().splitlines()), 1, program.read_errors())
        self.assertIn(SOCKET_WRAPPER, program.read_errors())

    def test_it_keeps_calls_from_us(self):
        """When it comes before, it calls libc past us, whatever it was told."""
        self.complaint("before", {})

    def test_it_has_the_sockets(self):
        for order in ("before", "after"):
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            settings = {"LD_PRELOAD": orders(SOCKET_WRAPPER)[order],
                        "SOCKET_WRAPPER_DIR": directory.name,
                        "SOCKET_WRAPPER_DEFAULT_IFACE": "1"}
            with self.subTest(order=order):
                port = harness.free_port()
                self.complaint(order, settings)
                receiver = self.start([built("udp_stream"), "receive", HOST, str(port)],
                                      environment=settings)
                harness.poll_until(lambda d=directory.name: os.listdir(d), "it has bound")
                self.assertNotIn(port, harness.bound_ports(receiver.process.pid))
                sender = self.start([built("udp_stream"), "send", HOST, str(port)], data=MESSAGES,
                                    environment=settings)
                self.assert_transferred(receiver, MESSAGES, [sender])


if __name__ == "__main__":
    harness.main()
