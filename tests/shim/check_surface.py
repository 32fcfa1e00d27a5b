#!/usr/bin/env python3
"""Checks that a library exports exactly the calls that tables list.

    check_surface.py --nm NM LIBRARY TABLE...  exit status 1 and the differences when it does not
    check_surface.py --self-test
"""

import argparse
import pathlib
import re
import subprocess
import sys

ENTRY = re.compile(r"^ {4}(?:X|ALIAS)\((\w+),", re.MULTILINE)


def listed_names(text):
    return set(ENTRY.findall(text))


def exported_names(listing):
    """Names from the output of nm --format=posix."""
    return {line.split()[0].split("@")[0] for line in listing.splitlines() if line.strip()}


def self_test():
    table = "#define MAP(X)   \\\n    X(socket, int, (int a))   \\\n    ALIAS(__close, close)\n"
    if listed_names(table) != {"socket", "__close"}:
        raise SystemExit("self-test: the table is misread")
    if exported_names("socket T 10 20\nclose@@V T 30\n") != {"socket", "close"}:
        raise SystemExit("self-test: the listing is misread")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", nargs="?")
    parser.add_argument("tables", nargs="*", type=pathlib.Path)
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        self_test()
        return 0
    listed = listed_names("".join(table.read_text() for table in options.tables))
    listing = subprocess.run([options.nm, "-D", "--defined-only", "--format=posix",
                              options.library], check=True, text=True, capture_output=True).stdout
    exported = exported_names(listing)
    if not listed:
        raise SystemExit(f"{options.tables}: no entries: not what was meant to be checked")
    for name in sorted(listed - exported):
        print(f"{name}: in the table, not exported")
    for name in sorted(exported - listed):
        print(f"{name}: exported, not in the table")
    return 0 if listed == exported else 1


if __name__ == "__main__":
    sys.exit(main())
