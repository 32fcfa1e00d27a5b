"""The descriptor numbers that a program sees while its socket passes to another process."""
import itertools
import resource
import sys

import harness
from harness import EndToEndTest, built

SOFT_LIMIT = 256


class NumbersTest(EndToEndTest):
    def numbers(self, ending, closing, hard_limit, plain):
        """What the program prints. Its child may end after it: the last line is waited for."""
        program = self.start([built("heir_numbers"), ending, closing], plain=plain,
                             prefix=["prlimit", f"--nofile={SOFT_LIMIT}:{hard_limit}"])
        self.assertEqual(program.wait(), 0, program.read_errors())
        harness.poll_until(lambda: program.read().endswith(b"end\n"), "the child's last line")
        return program.read().decode()

    def test_the_same_as_plainly(self):
        """An owner exits or is killed, a child goes on, closes all, and opens anew; where the
        numbers of the shim are above the program's limit, and where they must be below it."""
        for ending, closing, hard_limit in itertools.product(
                ("exit", "kill"), ("loop", "range", "closefrom"), (4 * SOFT_LIMIT, SOFT_LIMIT)):
            how = f"{ending}, {closing}, hard limit {hard_limit}"
            self.assertEqual(self.numbers(ending, closing, hard_limit, False),
                             self.numbers(ending, closing, hard_limit, True), how)


if __name__ == "__main__":
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4 * SOFT_LIMIT:
        print("skipped: the hard limit of descriptors is too low")
        sys.exit(77)
    harness.main()
