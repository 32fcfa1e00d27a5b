"""Over IP itself: two network namespaces, a TUN link between them that loses packets, no relay in
between, the programs speak to each other's addresses. Needs root; without, the run is skipped,
unless E2E_SKIP_NOTHING is set."""
import sys

import harness
from harness import HERE, EndToEndTest, built, make_messages, pack
from link import ADDRESS_B, Link, leave_unless_possible


class TunTest(EndToEndTest):
    def link(self, loss, delay="5ms"):
        link = Link(loss, delay)
        self.addCleanup(link.stop)
        return link

    def transfer(self, send_words, receive_words, data, loss):
        link = self.link(loss)
        port = 7000
        receiver = self.start([*receive_words, ADDRESS_B, str(port)], prefix=link.enter_b)
        receiver.wait_bound(port)
        sender = self.start([*send_words, ADDRESS_B, str(port)], data=data, prefix=link.enter_a)
        self.assert_transferred(receiver, data, [sender])
        lost = link.stop()
        self.assertEqual(all(count > 0 for count in lost), loss > 0, lost)

    def test_every_size_at_every_loss(self):
        for loss in (0, 5, 20, 40):
            with self.subTest(loss=loss):
                data = pack(make_messages(1, 1000, (0, 1, 100)) +
                            make_messages(2, 14, harness.SIZES))
                self.transfer([built("udp_stream"), "send"], [built("udp_stream"), "receive"],
                              data, loss)

    def test_python_to_node(self):
        data = pack(make_messages(3, 1000, (1, 1200)))
        self.transfer([sys.executable, f"{HERE}/send.py"], ["node", f"{HERE}/receive.js"], data, 20)

    def test_calls_and_answers(self):
        link = self.link(20)
        self.start([built("udp_rpc"), "serve", "0.0.0.0", "7000"],
                   prefix=link.enter_b).wait_bound(7000)
        clients = [self.start([built("udp_rpc"), "call", ADDRESS_B, "7000", "30", str(seed)],
                              prefix=link.enter_a) for seed in range(10)]
        for client in clients:
            self.assertEqual(client.wait(), 0, client.read_errors())


if __name__ == "__main__":
    leave_unless_possible()
    harness.main()
