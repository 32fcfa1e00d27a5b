#!/usr/bin/env python3
"""Proves that an archive calls nothing of libc but memcpy, memmove, memset and memcmp.

    check_symbols.py --nm NM ARCHIVE             exit status 1 and a list when it does
    check_symbols.py --self-test --nm NM --cc CC --ar AR
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

ALLOWED = {"memcpy", "memmove", "memset", "memcmp"}
# Not a function: position-independent code refers to its own table by this name on some machines.
LINKER_MADE = {"_GLOBAL_OFFSET_TABLE_"}
UNDEFINED_TYPES = set("Uwv")


def foreign_symbols(nm, archive):
    """Names that some object of the archive needs and no object of it defines."""
    listing = subprocess.run([nm, "--format=posix", str(archive)], check=True, text=True,
                             capture_output=True).stdout
    defined, undefined = set(), set()
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) < 2 or len(fields[1]) != 1:
            continue  # the name of an object in the archive
        (undefined if fields[1] in UNDEFINED_TYPES else defined).add(fields[0])
    if not defined:
        raise SystemExit(f"{archive}: no symbols at all: not what was meant to be checked")
    return sorted(undefined - defined - ALLOWED - LINKER_MADE)


def build_archive(folder, cc, ar, source):
    code, obj, archive = (folder / name for name in ("a.c", "a.o", "a.a"))
    code.write_text(source)
    archive.unlink(missing_ok=True)
    subprocess.run([cc, "-O0", "-fno-stack-protector", "-c", str(code), "-o", str(obj)],
                   check=True)
    subprocess.run([ar, "rc", str(archive), str(obj)], check=True, capture_output=True)
    return archive


def self_test(nm, cc, ar):
    cases = [
        ("void *memcpy(void *, const void *, __SIZE_TYPE__); int own(void);"
         "int own(void) { return 1; }"
         "int user(char *a, char *b) { memcpy(a, b, 9); return own(); }", []),
        ("int puts(const char *); int user(void) { return puts(\"x\"); }", ["puts"]),
        ("extern int errno_like; int user(void) { return errno_like; }", ["errno_like"]),
    ]
    with tempfile.TemporaryDirectory() as name:
        for source, expected in cases:
            archive = build_archive(pathlib.Path(name), cc, ar, source)
            found = foreign_symbols(nm, archive)
            if found != expected:
                raise SystemExit(f"self-test: expected {expected}, found {found} in: {source}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", nargs="?")
    parser.add_argument("--nm", required=True)
    parser.add_argument("--cc")
    parser.add_argument("--ar")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        self_test(options.nm, options.cc, options.ar)
        return 0
    foreign = foreign_symbols(options.nm, options.archive)
    for symbol in foreign:
        print(f"{options.archive}: needs {symbol}")
    return 1 if foreign else 0


if __name__ == "__main__":
    sys.exit(main())
