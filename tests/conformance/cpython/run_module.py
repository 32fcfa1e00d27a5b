"""Runs one module of CPython's test suite and writes what became of each test.

    run_module.py MODULE RESULT_FILE LIMIT_SECONDS [EXCLUDED_CLASS...]

One line a test, "OUTCOME NAME", written when the test ends, so that a run that dies says how far it
came. Nothing of this project is known here: the same file runs plainly and under the shim.
"""
import faulthandler
import importlib
import sys
import unittest

# What a test may use beside the loopback interface: time. The network beyond is not asked.
RESOURCES = ["cpu", "walltime"]
CALLS_LOOPBACK_NETWORK = ["test.test_socketserver"]


class Recorder(unittest.TestResult):
    def __init__(self, file):
        super().__init__()
        self.file = file
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.outcome = "passed"

    def stopTest(self, test):
        super().stopTest(test)
        self.write(test)

    def write(self, test):
        self.file.write(f"{self.outcome} {test.id()}\n")
        self.file.flush()

    def fail(self, test, error):
        self.outcome = "failed"
        print(f"{test.id()}\n{self._exc_info_to_string(error, test)}", file=sys.stderr, flush=True)

    def addFailure(self, test, err):
        self.fail(test, err)

    def addError(self, test, err):
        self.fail(test, err)
        if isinstance(test, unittest.suite._ErrorHolder):  # setUpClass and its like: no stopTest
            self.write(test)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.fail(subtest, err)

    def addSkip(self, test, reason):
        self.outcome = "skipped"
        if isinstance(test, unittest.suite._ErrorHolder):
            self.write(test)

    def addExpectedFailure(self, test, err):
        self.outcome = "failed-as-expected"

    def addUnexpectedSuccess(self, test):
        self.outcome = "passed-unexpectedly"


def keep(suite, excluded):
    """The tests of a suite, as suites by class, so that class fixtures still run."""
    kept = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            kept.addTest(keep(item, excluded))
        elif type(item).__name__ not in excluded:
            kept.addTest(item)
    return kept


def main():
    name, path, limit_s, *excluded = sys.argv[1:]
    faulthandler.dump_traceback_later(float(limit_s), exit=True)
    from test import support
    support.use_resources = RESOURCES + ["network"] * (name in CALLS_LOOPBACK_NETWORK)
    suite = keep(unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name)),
                 excluded)
    with open(path, "w", encoding="utf-8") as file:
        suite.run(Recorder(file))
        file.write("ended\n")


if __name__ == "__main__":
    main()
