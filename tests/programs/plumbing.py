"""Programs that carry standard input to standard output, and those that measure a path."""
from entry import program
from lab import PIPE, PORT, block, judge_blocks

BLOCKS = [block(index, 1024).encode() for index in range(1000)]


def pour(lab, receive_words, send_words):
    receiver = lab.server.serve(*receive_words)
    sender = lab.client.start(*send_words, stdin=PIPE)
    lab.feed(sender, BLOCKS)
    sender.process.stdin.close()
    data = lab.watch_output(receiver, sum(map(len, BLOCKS)))
    return judge_blocks(data, BLOCKS)


POURED = f"{len(BLOCKS)} datagrams of 1 KiB, one way"


@program("socat", "C", POURED, ["socat"], quick=True)
def socat(lab):
    return pour(lab, ["socat", "-u", f"UDP-RECV:{PORT}", "STDOUT"],
                ["socat", "-u", "-b", "1024", "STDIN", f"UDP-SENDTO:{lab.server.address}:{PORT}"])


@program("netcat-openbsd", "C", POURED, ["netcat-openbsd"])
def netcat_openbsd(lab):
    return pour(lab, ["nc.openbsd", "-u", "-l", PORT],
                ["nc.openbsd", "-u", "-q", "0", lab.server.address, PORT])


@program("netcat-traditional", "C", POURED, ["netcat-traditional"])
def netcat_traditional(lab):
    return pour(lab, ["nc.traditional", "-u", "-l", "-p", PORT],
                ["nc.traditional", "-u", "-q", "0", lab.server.address, PORT])


@program("ncat", "C", POURED, ["ncat"])
def ncat(lab):
    return pour(lab, ["ncat", "-u", "-l", "--recv-only", PORT],
                ["ncat", "-u", "--send-only", lab.server.address, PORT])
