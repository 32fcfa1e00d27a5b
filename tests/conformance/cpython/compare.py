#!/usr/bin/env python3
"""CPython's own socket tests, plainly and under the shim: the outcome of every test must be the same.

    compare.py LIBRARY

From the packages of the system's interpreter and its test suite (python3, libpython3.11-testsuite).
Whole modules run, not a selection by name: what a test does with a socket is seen only by running
it, and sockets that are not UDP must not change either.
"""
import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

INTERPRETER = "/usr/bin/python3"  # the package's: others do not come with their tests
RUNNER = pathlib.Path(__file__).with_name("run_module.py")
LIMIT_S = 240

# Module to classes left out.
MODULES = {
    "test.test_socket": ["ThreadedVSOCKSocketStreamTest"],  # waits for ever in some virtual machines
    "test.test_socketserver": [],
    "test.test_selectors": [],
    "test.test_asyncore": [],
    "test.test_epoll": [],
    "test.test_asyncio.test_base_events": [],
    "test.test_asyncio.test_events": [],
    "test.test_asyncio.test_selector_events": [],
    "test.test_asyncio.test_sock_lowlevel": [],
}


class Run:
    """One module, one way. outcomes: by name of the test."""

    def __init__(self, module, library):
        self.outcomes = {}
        self.is_ended = False
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("RUDP_", "LD_", "PYTHON"))}
        if library is not None:
            environment["LD_PRELOAD"] = library
        with tempfile.TemporaryDirectory() as folder:
            result = os.path.join(folder, "outcomes")
            run = subprocess.run([INTERPRETER, "-B", str(RUNNER), module, result, str(LIMIT_S),
                                  *MODULES[module]], cwd=folder, env=environment,
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                 errors="replace", check=False)
            self.output = run.stderr
            if os.path.exists(result):
                self.read(result)

    def read(self, path):
        with open(path, encoding="utf-8") as lines:
            for line in lines.read().splitlines():
                outcome, _, name = line.partition(" ")
                if outcome == "ended":
                    self.is_ended = True
                else:
                    self.outcomes[name] = outcome


def run_all(library):
    return {module: Run(module, library) for module in MODULES}


def differences(plain, shimmed):
    for name in sorted(plain.outcomes.keys() | shimmed.outcomes.keys()):
        before = plain.outcomes.get(name, "not run")
        after = shimmed.outcomes.get(name, "not run")
        if before != after:
            yield f"  {name}: {before} plainly, {after} under the shim"


def counts_of(run):
    counts = collections.Counter(run.outcomes.values())
    return f"{counts['passed']} passed, {counts['skipped']} skipped, {counts['failed']} failed"


def main():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plain, shimmed = pool.map(run_all, [None, sys.argv[1]])
    difference_count = 0
    for module in MODULES:
        print(f"{module}\n  plain: {counts_of(plain[module])}\n  shim:  {counts_of(shimmed[module])}")
        if not plain[module].outcomes:
            sys.exit(f"{module} does not run plainly (is libpython3.11-testsuite installed?)\n"
                     f"{plain[module].output}")
        lines = list(differences(plain[module], shimmed[module]))
        if not (plain[module].is_ended and shimmed[module].is_ended):
            lines.append(f"  not ended within {LIMIT_S} s, or died:\n{shimmed[module].output}")
        print("".join(f"{line}\n" for line in lines), end="")
        if lines:
            print(shimmed[module].output)
        difference_count += len(lines)
    passed = {way: sum(list(run.outcomes.values()).count("passed") for run in runs.values())
              for way, runs in (("plain", plain), ("shim", shimmed))}
    print(f"all modules: {passed['plain']} passed plainly, {passed['shim']} under the shim, "
          f"{difference_count} differences")
    return difference_count != 0


if __name__ == "__main__":
    sys.exit(main())
