#!/usr/bin/env python3
"""Checks what a compiler does not: that layers see only downwards, and that nothing is too long.

    check_sources.py ROOT         exit status 1 and a list when a rule is broken
    check_sources.py --self-test
"""

import pathlib
import re
import sys
import tempfile

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 1000

# Folder of a file -> project folders whose headers it may include. Tests may include anything.
LAYERS = {
    "core": {"core"},
    "include": {"include"},
    "engine": {"core", "engine", "include"},
    "shim": {"core", "engine", "include", "shim"},
    "tools": {"core", "engine", "include", "shim", "tools"},
    "examples": {"include", "examples"},
}
CHECKED_FOLDERS = sorted([*LAYERS, "tests"])

# The core runs without libc: headers that a freestanding compiler has, string.h for mem*, and the
# compiler's own for instructions.
CORE_SYSTEM_HEADERS = {
    "float.h", "iso646.h", "limits.h", "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdnoreturn.h", "string.h",
    "arm_acle.h", "cpuid.h", "nmmintrin.h", "wmmintrin.h",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def owner(root, path, name):
    """The project folder an included name lies in, or None for a header of the system."""
    if name.startswith("rudp/"):
        return "include"
    for base in (path.parent, root):
        target = (base / name).resolve()
        if target.is_file() and root in target.parents:
            return target.relative_to(root).parts[0]
    first = name.split("/")[0]
    return first if "/" in name and (first in LAYERS or first == "tests") else None


def check_includes(root, path, lines):
    folder = path.relative_to(root).parts[0]
    if folder not in LAYERS:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = owner(root, path, match[2])
        if target is None and folder == "core" and match[2] not in CORE_SYSTEM_HEADERS:
            yield number, f"the core may not include {match[2]}"
        elif target is not None and target not in LAYERS[folder]:
            yield number, f"{folder}/ may not include {match[2]}, which is of {target}/"


def signature_start(lines, brace):
    """Index of the line on which the function whose brace is on line brace begins."""
    start = brace
    while start > 0 and re.match(r"[^\s#/}]|\s+\S", lines[start - 1]) \
            and not lines[start - 1].rstrip().endswith((";", "*/", "}", "\\")):
        start -= 1
    return start


def functions(lines):
    """(first, last) line indices of each function: the house style puts both braces in column 0."""
    start = None
    for index, line in enumerate(lines):
        if start is None and line.startswith("{"):
            start = signature_start(lines, index)
        elif start is None and re.match(r"START_TEST.*\{$", line):
            start = index
        elif start is not None and line.startswith("}"):
            yield start, index
            start = None


def check_lengths(path, lines):
    if len(lines) > FILE_LINES_MAX:
        yield len(lines), f"{len(lines)} lines, more than {FILE_LINES_MAX}"
    if path.suffix not in (".c", ".h"):
        return
    for first, last in functions(lines):
        count = last - first + 1
        if count > FUNCTION_LINES_MAX:
            yield first + 1, f"function of {count} lines, more than {FUNCTION_LINES_MAX}"


def problems(root):
    root = root.resolve()
    file_count = 0
    for folder in CHECKED_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".c", ".h", ".py", ".sh") or not path.is_file():
                continue
            file_count += 1
            lines = path.read_text().splitlines()
            found = list(check_lengths(path, lines))
            if path.suffix in (".c", ".h"):
                found += check_includes(root, path, lines)
            for number, text in found:
                yield f"{path.relative_to(root)}:{number}: {text}"
    if file_count == 0:
        yield f"{root}: no sources: not what was meant to be checked"


# --- Self-test --------------------------------------------------------------------------------------

CLEAN = {
    "core/a.h": "#include <stdint.h>\n",
    "core/a.c": '#include "core/a.h"\n#include <string.h>\n',
    "include/rudp/rudp.h": "#include <sys/socket.h>\n",
    "engine/e.h": '#include "core/a.h"\n#include "rudp/rudp.h"\n#include <pthread.h>\n',
    "shim/s.c": '#include "engine/e.h"\n#include "s.h"\n',
    "shim/s.h": '#include "core/a.h"\n',
    "tools/t.c": '#include <rudp/rudp.h>\n#include "own.h"\n',
    "tools/own.h": "#include <stdio.h>\n",
    "examples/x.c": "#include <rudp/rudp.h>\n",
    "tests/core/t.c": '#include "core/a.h"\n#include "engine/e.h"\n',
}


def function_of(line_count, head="int f(void)\n{"):
    inside = line_count - len(head.splitlines()) - 1
    return head + "\n" + "    x();\n" * inside + "}\n"


# One change to the clean tree each, and what must be said about it.
BROKEN = [
    ("core/a.c", '#include "engine/e.h"\n', "core/a.c:1: core/ may not include engine/e.h"),
    ("core/a.c", "#include <stdio.h>\n", "core/a.c:1: the core may not include stdio.h"),
    ("core/a.c", "#include <sys/socket.h>\n", "core/a.c:1: the core may not include sys/socket.h"),
    ("core/a.h", "#include <rudp/rudp.h>\n", "core/a.h:1: core/ may not include rudp/rudp.h"),
    ("core/a.c", '#include "../engine/e.h"\n', "core/a.c:1: core/ may not include ../engine/e.h"),
    ("engine/e.c", '#  include "shim/s.h"\n', "engine/e.c:1: engine/ may not include shim/s.h"),
    ("engine/e.c", '\n#include "tests/core/t.h"\n', "engine/e.c:2: engine/ may not include tests/"),
    ("include/rudp/rudp.h", '#include "core/a.h"\n', "include/rudp/rudp.h:1: include/ may not"),
    ("tools/t.c", '#include "tests/core/t.h"\n', "tools/t.c:1: tools/ may not include tests/"),
    ("shim/s.c", '#include "tools/own.h"\n', "shim/s.c:1: shim/ may not include tools/own.h"),
    ("examples/x.c", '#include "engine/e.h"\n', "examples/x.c:1: examples/ may not include"),
    ("shim/s.c", "int a;\n" * 1001, "shim/s.c:1001: 1001 lines"),
    ("tests/t.py", "pass\n" * 1001, "tests/t.py:1001: 1001 lines"),
    ("core/a.c", "\n" + function_of(71), "core/a.c:2: function of 71 lines"),
    ("core/a.c", function_of(71, "static int f(int a,\n             int b)\n{"),
     "core/a.c:1: function of 71 lines"),
    ("tests/core/t.c", function_of(71, "START_TEST (x) {"),
     "tests/core/t.c:1: function of 71 lines"),
]
STILL_CLEAN = [
    ("core/a.c", function_of(70) + "\n" + function_of(70)),
    ("core/a.c", "/* Why. */\n" + function_of(70)),
    ("shim/s.c", "int a;\n" * 1000),
]


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def found_with(change):
    with tempfile.TemporaryDirectory() as name:
        write_tree(pathlib.Path(name), {**CLEAN, **change})
        return list(problems(pathlib.Path(name)))


def self_test():
    for name, text in STILL_CLEAN + [("core/a.h", CLEAN["core/a.h"])]:
        found = found_with({name: text})
        if found:
            raise SystemExit(f"self-test: clean tree is said to be broken: {found}")
    for name, text, expected in BROKEN:
        found = found_with({name: text})
        if len(found) != 1 or not found[0].startswith(expected):
            raise SystemExit(f"self-test: expected '{expected}', found {found}")
    with tempfile.TemporaryDirectory() as name:
        if not list(problems(pathlib.Path(name))):
            raise SystemExit("self-test: an empty tree passes")


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    found = list(problems(pathlib.Path(sys.argv[1])))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
