"""Real programs, none of which knows the shim, send thousands of messages through a link that
loses, reorders and duplicates them. Every byte arrives once, in order, in the same datagrams."""
import sys

import harness
from harness import HERE, HOST, EndToEndTest, built, make_messages, pack

DISTURBED = ("--delay", "1ms", "--reorder", "3", "--reorder-by", "3ms", "--duplicate", "3")
LOSSES = (0, 5, 20, 40)

# Mostly small messages, as the programs send that people want this for.
MANY_COUNT = 2000
MANY_SIZES = (0, 1, 100)
LARGE_COUNT = 14

C = ([["udp_stream", "send", "{host}", "{port}"], ["udp_stream", "receive", "{host}", "{port}"]])
PYTHON = ([[sys.executable, f"{HERE}/send.py", "{host}", "{port}"],
           [sys.executable, f"{HERE}/receive.py", "{host}", "{port}"]])
NODE = ([["node", f"{HERE}/send.js", "{host}", "{port}"],
         ["node", f"{HERE}/receive.js", "{host}", "{port}"]])

# These read standard input in pieces of their own choice and write what comes in without a mark
# between datagrams: their stream of bytes must be unchanged.
SOCAT = ([["socat", "-u", "-b", "1024", "STDIN", "UDP-SENDTO:{host}:{port}"],
          ["socat", "-u", "UDP-RECV:{port},bind={host}", "STDOUT"]])
NC = ([["nc.openbsd", "-u", "-q", "0", "{host}", "{port}"],
       ["nc.openbsd", "-u", "-l", "{host}", "{port}"]])
NCAT = ([["ncat", "-u", "--send-only", "{host}", "{port}"],
         ["ncat", "-u", "-l", "--recv-only", "{host}", "{port}"]])
PERL = ([["perl", "-MIO::Socket::INET", "-e",
          "$s = IO::Socket::INET->new(Proto => 'udp', PeerAddr => $ARGV[0], PeerPort => $ARGV[1]);"
          "while (read STDIN, $m, 500) { $s->send($m) // die $! }", "{host}", "{port}"],
         ["perl", "-MIO::Socket::INET", "-e",
          "$| = 1; $s = IO::Socket::INET->new(Proto => 'udp', LocalAddr => $ARGV[0],"
          " LocalPort => $ARGV[1]); print $m while defined $s->recv($m, 65536)",
          "{host}", "{port}"]])


class ProgramsTest(EndToEndTest):
    def command(self, words, host, port):
        words = [word.replace("{host}", host).replace("{port}", str(port)) for word in words]
        return [built(words[0]), *words[1:]] if words[0] == "udp_stream" else words

    def transfer(self, pair, data, loss, host=HOST, environment=None):
        send_words, receive_words = pair
        port = harness.free_port()
        receiver = self.start(self.command(receive_words, host, port),
                              environment=environment).wait_bound(port)
        relay = self.start_relay(port, "--loss", str(loss), *DISTURBED, host=host)
        sender = self.start(self.command(send_words, host, relay.port), data=data,
                            environment=environment)
        self.assert_transferred(receiver, data, [sender])
        return relay.stop()

    def each_loss(self, pair, data):
        for loss in LOSSES:
            with self.subTest(loss=loss):
                stats = self.transfer(pair, data, loss)
                lost = stats["up"]["lost"] + stats["down"]["lost"]
                self.assertEqual(lost > 0, loss > 0)

    def each_loss_of_messages(self, pair):
        self.each_loss(pair, pack(make_messages(1, MANY_COUNT, MANY_SIZES) +
                                  make_messages(2, LARGE_COUNT, harness.SIZES)))

    def each_loss_of_bytes(self, pair):
        self.each_loss(pair, b"".join(make_messages(3, 1000, (200,))))

    def test_c(self):
        self.each_loss_of_messages(C)

    def test_python(self):
        self.each_loss_of_messages(PYTHON)

    def test_node(self):
        self.each_loss_of_messages(NODE)

    def has_ring(self, plain):
        """Whether Node has an io_uring when it may: its versions before 20 do not know any."""
        program = self.start(["node", "-e", "require('fs').readdirSync('/proc/self/fd').forEach(n =>"
                              "{ try { console.log(require('fs').readlinkSync('/proc/self/fd/' + n))"
                              " } catch {} })"], environment={"UV_USE_IO_URING": "1"}, plain=plain)
        self.assertEqual(program.wait(), 0, program.read_errors())
        return b"[io_uring]" in program.read()

    def test_node_by_io_uring(self):
        """libuv then gives its sockets to epoll by a ring, which no hook sees."""
        self.assertEqual(self.has_ring(plain=False), self.has_ring(plain=True))
        self.transfer(NODE, pack(make_messages(1, MANY_COUNT, MANY_SIZES)), 20,
                      environment={"UV_USE_IO_URING": "1"})

    def test_socat(self):
        self.each_loss_of_bytes(SOCAT)

    def test_netcat(self):
        self.each_loss_of_bytes(NC)

    def test_ncat(self):
        self.each_loss_of_bytes(NCAT)

    def test_perl(self):
        self.each_loss_of_bytes(PERL)

    def test_programs_of_two_languages(self):
        """The two ends need not be the same program."""
        data = pack(make_messages(4, 300, harness.SIZES[:-1]))
        self.transfer((NODE[0], PYTHON[1]), data, 20)

    def test_ipv6(self):
        self.transfer(C, pack(make_messages(5, 300, harness.SIZES[:-1])), 20, host="::1")


if __name__ == "__main__":
    harness.main()
