#!/usr/bin/env python3
"""Runs every case of the conformance suite plainly and under the shim, and compares the traces.

    conformance.py --program P --preload L                      all cases; exit status 1 on disagreement
    conformance.py --program P --preload L --only NAME          those whose "case variant" matches
    conformance.py ... --write docs/conformance.md              writes the table of behaviours
    conformance.py ... --check docs/conformance.md              fails when that table is not current
    conformance.py --self-test

A line of a trace that begins with "~id result" declares a difference: the line after it must not be the
same in both runs, under the shim it must end in that result, and docs/differences.md must have the id.
"""
import argparse
import collections
import concurrent.futures
import difflib
import os
import pathlib
import re
import subprocess
import sys

import rows

LIMIT_S = 90
JOBS = 4  # most of them wait

# A dead peer is found out soon.
SETTINGS = {"RUDP_CONNECT_TIMEOUT": "1s"}

Run = collections.namedtuple("Run", "case variant rows")
Verdict = collections.namedtuple("Verdict", "run steps differences problem")


def execute(program, run, preload):
    """The trace of one run, with a last line when it did not end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUDP_")}
    environment.pop("LD_PRELOAD", None)
    if preload:
        environment.update(SETTINGS, LD_PRELOAD=preload)
    try:
        done = subprocess.run([program, run.case, run.variant], env=environment, timeout=LIMIT_S,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="backslashreplace", check=False)
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="backslashreplace").splitlines() + ["hangs"]
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    return lines if done.returncode == 0 else lines + [f"ended with status {done.returncode}"]


def compare(plain, shim, known_ids):
    """(steps, differences asserted, problem or None)"""
    differences = []
    expected_of = None
    wrong = len(plain) != len(shim)
    notes = []
    steps = 0
    for left, right in zip(plain, shim):
        declared = re.match(r"~(\S+) (.*)", left)
        if declared and left == right:
            expected_of = declared
            continue
        steps += 1
        if expected_of:
            name, result = expected_of[1], expected_of[2]
            expected_of = None
            if name not in known_ids:
                notes.append(f"docs/differences.md has no difference {name}")
            if left == right:
                notes.append(f"difference {name} does not occur: {left}")
            elif right != left.rpartition(" = ")[0] + " = " + result:
                notes.append(f"difference {name} is another one: {right}")
            differences.append(name)
        elif left != right:
            wrong = True
    if wrong:
        notes += difflib.unified_diff(plain, shim, "plain", "shim", n=2, lineterm="")
    return steps, differences, "\n".join(notes) or None


def examine(options, run, known_ids):
    plain = execute(options.program, run, None)
    shim = execute(options.program, run, options.preload)
    steps, differences, problem = compare(plain, shim, known_ids)
    if not plain or any("what was awaited did not happen" in line for line in plain):
        problem = "the plain run is not what was meant:\n" + "\n".join(plain)
    return Verdict(run, steps, differences, problem)


def list_runs(program):
    listing = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        case, variant, *numbers = line.split()
        yield Run(case, variant, tuple(int(number) for number in numbers))


def declared_ids(page):
    """The ids of docs/differences.md: the first cell of each line of its tables, in backquotes."""
    return re.findall(r"^\| `([a-z0-9-]+)` \|", page.read_text(), re.MULTILINE)


# --- The table --------------------------------------------------------------------------------------

INTRODUCTION = """\
# Behaviours of a UDP socket, compared

`./dev conformance --write` makes this page. Every case is a program that runs twice, on plain UDP and under
the shim; "same" means that each call returned the same result, errno, data, addresses, flags, control
messages and readiness. Most cases run on IPv4, on IPv6 and on IPv6 sockets that speak IPv4, unconnected and
connected, blocking and not. "differs" names the lines of [differences.md](differences.md) that a case
asserts; everything else in it is the same.

"""


def row_verdict(row, cases, differences):
    if not cases:
        return row.elsewhere or "not covered"
    verdict = "differs: " + ", ".join(sorted(differences)) if differences else "same"
    return f"{verdict}; {row.elsewhere}" if row.elsewhere else verdict


def table(verdicts):
    cases = collections.defaultdict(dict)
    differences = collections.defaultdict(set)
    for verdict in verdicts:
        for number in verdict.run.rows:
            cases[number][verdict.run.case] = None
            differences[number].update(verdict.differences)
    lines = ["| # | behaviour | cases | verdict |", "|---|---|---|---|"]
    for row in rows.ROWS:
        names = ", ".join(cases[row.number]) or "-"
        lines.append(f"| {row.number} | {row.text} | {names} | "
                     f"{row_verdict(row, cases[row.number], differences[row.number])} |")
    count = len({verdict.run.case for verdict in verdicts})
    lines += ["", f"{count} cases in {len(verdicts)} variants, "
                  f"{sum(verdict.steps for verdict in verdicts)} steps.", ""]
    return INTRODUCTION + "\n".join(lines)


# --- Self-test --------------------------------------------------------------------------------------

def self_test():
    def problem(plain, shim):
        return compare(plain, shim, ["known"])[2]

    assert problem(["a = 1"], ["a = 1"]) is None
    assert problem(["a = 1"], ["a = 2"])
    assert problem(["a = 1", "b = 1"], ["a = 1"])
    assert problem(["~known 2 x", "a = 1"], ["~known 2 x", "a = 2 x"]) is None
    assert "does not occur" in problem(["~known 2", "a = 1"], ["~known 2", "a = 1"])
    assert "another" in problem(["~known 2", "a = 1"], ["~known 2", "a = 3"])
    assert "no difference" in problem(["~unknown 2", "a = 1"], ["~unknown 2", "a = 2"])
    assert len(rows.ROWS) == 60 and [row.number for row in rows.ROWS] == list(range(1, 61))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program")
    parser.add_argument("--preload")
    parser.add_argument("--differences", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    known_ids = declared_ids(options.differences)
    runs = [run for run in list_runs(options.program)
            if re.search(options.only, f"{run.case} {run.variant}")]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        verdicts = list(pool.map(lambda run: examine(options, run, known_ids), runs))
    failed = [verdict for verdict in verdicts if verdict.problem]
    for verdict in failed:
        print(f"--- {verdict.run.case} {verdict.run.variant}\n{verdict.problem}\n")
    print(f"{len(verdicts)} runs, {sum(verdict.steps for verdict in verdicts)} steps, "
          f"{len(failed)} disagree")
    page = table(verdicts)
    if options.write and not failed:
        options.write.write_text(page)
    if options.check and not options.only and options.check.read_text() != page:
        print(f"{options.check} is not current: ./dev conformance --write")
        return 1
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
