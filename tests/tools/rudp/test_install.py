#!/usr/bin/env python3
"""The manual pages say what there is, and an installed command finds its library.

    test_install.py --build DIRECTORY --source DIRECTORY --cmake CMAKE
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

PAGES = ("man1/rudp.1", "man1/rudp-run.1", "man1/rudp-doctor.1", "man1/rudp-stat.1",
         "man3/librudp.3", "man7/rudp.7")

options = argparse.Namespace()
prefix = None  # where the build is installed


def output(*command, settings=None):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("RUDP_", "LD_"))}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True,
                          env={**clean, **(settings or {})}).stdout


def page(name):
    """As somebody reads it, on one line."""
    text = output("mandoc", "-T", "utf8", "-O", "width=1000", str(prefix / "share/man" / name))
    return " ".join(re.sub(".\b", "", text).split())


def source(name):
    return (pathlib.Path(options.source) / name).read_text(encoding="utf-8")


class Pages(unittest.TestCase):
    def assert_says(self, text, words):
        words = list(words)
        self.assertGreater(len(words), 0)
        self.assertEqual([word for word in words if word not in text], [])

    def test_without_warnings(self):
        for name in PAGES:
            subprocess.run(["mandoc", "-T", "lint", "-W", "warning", prefix / "share/man" / name],
                           check=True, timeout=60)

    def test_functions_errors_and_fields(self):
        header = source("include/rudp/rudp.h")
        text = page("man3/librudp.3")
        self.assert_says(text, re.findall(r"RUDP_API [^(;]*?(rudp_\w+)\(", header))
        for name, text_of in re.findall(r'X\((ERR_\w+), -?\d+, "([^"]*)"\)', header):
            self.assert_says(text, ["RUDP_" + name, text_of])
        for struct in ("settings", "stats"):
            body = re.search(r"struct rudp_%s \{(.*?)\n\};" % struct, header, re.S)[1]
            self.assert_says(text, re.findall(r"\s(\w+);", body))

    def test_variables(self):
        rows = re.findall(r"^\| `(RUDP_\w+)` \| (.*) \| (.*) \| (.*) \|$",
                          source("docs/environment.md"), re.M)
        text = page("man7/rudp.7")
        self.assert_says(text, (f"{name} {meaning}. Accepted: {accepted}. Default: {default}."
                                for name, accepted, default, meaning in rows))

    def test_options(self):
        settings = set(re.findall(r"--([a-z-]+)=VALUE", output(prefix / "bin/rudp", "run",
                                                               "--help")))
        argp = {"help", "usage", "version"}
        for verb in ("run", "doctor", "stat"):
            usage = output(prefix / "bin/rudp", verb, "--help")
            own = set(re.findall(r"--([a-z-]+)", usage)) - settings - argp
            self.assert_says(page(f"man1/rudp-{verb}.1"), ("--" + name for name in own))

    def test_findings(self):
        codes = re.findall(r'X\(\w+, "([a-z-]+)"\)', source("tools/rudp/examine.h"))
        self.assert_says(page("man1/rudp-doctor.1"), codes)

    def test_drops(self):
        table = source("core/endpoint.h").split("#define RUDP_DROP_MAP(X)")[1].split("\n\n")[0]
        self.assert_says(page("man1/rudp-stat.1"), re.findall(r"X\(([A-Z_]+),", table))


class Installed(unittest.TestCase):
    def test_command_finds_its_library(self):
        library = output(prefix / "bin/rudp", "run", "sh", "-c", "echo $LD_PRELOAD").strip()
        self.assertEqual(os.path.basename(library), "librudp_shim.so")
        self.assertIn(prefix.resolve(), pathlib.Path(library).parents)

    def test_completion(self):
        def complete(*words):
            script = prefix / "share/bash-completion/completions/rudp"
            return output("bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                          '_rudp; echo "${COMPREPLY[@]}"', script, *words).split()

        self.assertEqual(complete(prefix / "bin/rudp", ""), ["run", "doctor", "stat"])
        self.assertEqual(complete(prefix / "bin/rudp", "d"), ["doctor"])
        self.assertEqual(complete(prefix / "bin/rudp", "run", "--lin"), ["--linger"])


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "source", "cmake"):
        parser.add_argument("--" + name, required=True)
    _, rest = parser.parse_known_args(namespace=options)
    global prefix
    with tempfile.TemporaryDirectory() as directory:
        prefix = pathlib.Path(directory)
        subprocess.run([options.cmake, "--install", options.build, "--prefix", directory],
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
        unittest.main(argv=sys.argv[:1] + rest)


if __name__ == "__main__":
    main()
