"""Programs that measure a UDP path, and say themselves how many datagrams came."""
import json
import re

import harness
from entry import program
from lab import PORT, Result, explain


def number(pattern, text, group=1):
    """The last number that a program printed in that form; 0 when it printed none."""
    found = re.findall(pattern, text)
    if not found:
        return 0
    return int(found[-1] if isinstance(found[-1], str) else found[-1][group - 1])


@program("iperf3", "C", "500 datagrams of 1,000 bytes, counted by the server", ["iperf3"],
         fails="Its client says over TCP that the test is over. That overtakes the last datagram: the "
         "server does not read it any more, and the client waits RUDP_LINGER (10 s) for it.")
def iperf3(lab):
    server = lab.server.start("iperf3", "-s", "-1", "-J", "-p", PORT, plain=not lab.reliable)
    wait_listening(lab, server)
    lab.client.run("iperf3", "-u", "-c", lab.server.address, "-p", PORT, "-b", "1M", "-l", 1000,
                   "-k", 500)
    server.process.wait(lab.remaining_s())
    total = json.loads(server.read())["end"].get("sum", {})
    lost = total.get("lost_packets", 0)
    packets = total.get("packets", 0)
    return Result(packets - lost, 500, packets - lost == 500)


def wait_listening(lab, server, port=PORT):
    """For a TCP control connection."""
    def listening():
        assert server.is_running(), explain(server)
        with open(f"/proc/{lab.holders[lab.server].pid}/net/tcp", encoding="ascii") as four, \
                open(f"/proc/{lab.holders[lab.server].pid}/net/tcp6", encoding="ascii") as six:
            lines = four.readlines()[1:] + six.readlines()[1:]
        return any(int(line.split()[1].split(":")[1], 16) == port and line.split()[3] == "0A"
                   for line in lines)
    harness.poll_until(listening, f"{server.name} listens", lab.remaining_s())


@program("iperf", "C++", "1,000 datagrams of 1,000 bytes, counted by the server", ["iperf"],
         quick=True)
def iperf(lab):
    server = lab.server.serve("iperf", "-s", "-u", "-p", PORT, "-i", 0)
    client = lab.client.run("iperf", "-u", "-c", lab.server.address, "-p", PORT, "-b", "4M", "-l",
                            1000, "-n", 1000 * 1000)
    text = client.read().decode() + server.read().decode()
    lab.watch(lambda: b"ms" in server.read() and 1, 1)
    text = server.read().decode()
    found = re.findall(r"(\d+)/ ?(\d+) \(", text)
    if not found:
        return Result(0, 1000, False)
    lost, total = (int(each) for each in found[-1])
    return Result(total - lost, total, total >= 1000 and lost == 0)


@program("nuttcp", "C", "1,000 datagrams of 1,000 bytes, counted by the server", ["nuttcp"],
         remark="The client says several times that it is done, also when the server has closed its "
         "socket. That is tried for RUDP_LINGER (10 s) before the client ends.")
def nuttcp(lab):
    server = lab.server.start("nuttcp", "-S", "-1", "--nofork", "-P", PORT)
    wait_listening(lab, server)
    client = lab.client.run("nuttcp", "-u", "-P", PORT, "-p", PORT + 1, "-l1000", "-n1000", "-R4m",
                            "-fparse", lab.server.address)
    text = client.read().decode()
    drop = number(r"drop=(\d+)", text)
    packets = number(r"pkt=(\d+)", text)
    return Result(packets - drop, 1000, "pkt=" in text and drop == 0 and packets == 1000)


@program("sockperf", "C++", "requests and answers of 200 bytes for 2 s", ["sockperf"])
def sockperf(lab):
    lab.server.serve("sockperf", "server", "-i", lab.server.address, "-p", PORT)
    client = lab.client.run("sockperf", "under-load", "-i", lab.server.address, "-p", PORT, "-t",
                            2, "-m", 200, "--mps", 200, "--reply-every", 1)
    text = client.read().decode()
    sent = number(r"SentMessages=(\d+)", text)
    received = number(r"ReceivedMessages=(\d+)", text)
    return Result(received, sent, received == sent > 0)
