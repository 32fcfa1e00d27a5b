"""A server with many clients at once, each of which asks and waits for its answer."""
import harness
from harness import HOST, EndToEndTest, built

CLIENT_COUNT = 50
CALL_COUNT = 40


class ServerTest(EndToEndTest):
    def serve(self, client_count, *impairments):
        port = harness.free_port()
        self.start([built("udp_rpc"), "serve", HOST, str(port)]).wait_bound(port)
        relay = self.start_relay(port, *impairments)
        clients = [self.start([built("udp_rpc"), "call", HOST, str(relay.port), str(CALL_COUNT),
                               str(seed)]) for seed in range(client_count)]
        for client in clients:
            self.assertEqual(client.wait(), 0, client.read_errors())
        return relay.stop()

    def test_fifty_clients_at_once(self):
        stats = self.serve(CLIENT_COUNT, "--loss", "20", "--reorder", "3", "--duplicate", "3")
        self.assertEqual(stats["clients"], CLIENT_COUNT)
        self.assertGreater(stats["up"]["lost"] + stats["down"]["lost"], CLIENT_COUNT)

    def test_damaged_packets_do_no_harm(self):
        stats = self.serve(5, "--corrupt", "10", "--truncate", "10")
        self.assertGreater(stats["up"]["corrupted"] + stats["down"]["truncated"], 0)


if __name__ == "__main__":
    harness.main()
