"""The TUN link between two network namespaces as the end-to-end tests use it. Needs root."""
import os
import subprocess
import sys

from harness import built

ADDRESS_A = "10.83.0.1"
ADDRESS_B = "10.83.0.2"
SKIPPED = 77  # what CTest takes for a skipped test


class Link:
    """Two namespaces and the program that carries packets from one to the other."""

    def __init__(self, loss, delay, seed=1):
        self.process = subprocess.Popen(
            [built("tun_link"), ADDRESS_A, ADDRESS_B, str(loss), delay, str(seed)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().split()
        assert words and words[0] == "ready", words
        self.enter_a, self.enter_b = (
            ["nsenter", f"--net=/proc/{words[1]}/fd/{fd}"] for fd in words[2:])

    def stop(self):
        """How many packets were lost in each direction."""
        if self.process.poll() is not None:
            return None
        output, _ = self.process.communicate("")
        return [int(line.split()[3]) for line in output.splitlines()]


def leave_unless_possible():
    """Ends the script where there can be no link: as skipped, unless E2E_SKIP_NOTHING is set."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        print("this needs root and /dev/net/tun")
        sys.exit(1 if os.environ.get("E2E_SKIP_NOTHING") else SKIPPED)
