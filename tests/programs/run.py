#!/usr/bin/env python3
"""Lets real programs speak through a link that loses packets, plainly and with the shim on both
ends, and writes down what arrived. Nothing in the table comes from anywhere else.

    run.py --build DIR [NAME...]     these programs, or all; root, for the namespaces of the link
    run.py ... --write FILE          also writes the page; rows of programs not named stay
    run.py ... --quick               those that are part of the tests, with the shim only
    run.py --list                    the names
    run.py --packages [NAME...]      the Debian packages that they need

The exit status is 0 when everything arrived that the entries say will.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab as labs  # noqa: E402
from entry import ENTRIES  # noqa: E402
from link import leave_unless_possible  # noqa: E402
import files, languages, measuring, media, network, packaged, plumbing, tunnels  # noqa: E401,E402,F401

SHOWN_PROGRAMS = 4
# What an entry raises when a program is not there, says what it should not, or hangs.
FAILURES = (AssertionError, LookupError, OSError, ValueError, subprocess.SubprocessError)
FORM = "{:<22} {:<9} {:>14} {:>7}  {}"
HEAD = ["program", "packages", "language", "carried", "plainly", "s", "with the shim", "s", ""]


def run_once(entry, reliable):
    """(result, seconds, what the programs said if it is no good)"""
    problem = ""
    lab = labs.Lab(reliable, entry.tag)
    with lab:
        try:
            result = entry.run(lab)
        except FAILURES as failure:
            result, problem = labs.Result(0, 0, False), f"\n    {failure!r}"
        if reliable and not result.intact:
            problem += "".join(f"\n    {each.name}: {labs.explain(each)}"
                               for each in lab.programs[:SHOWN_PROGRAMS])
    if sum(lab.lost) == 0:
        result, problem = result._replace(intact=False), problem + "\n    the link lost nothing"
    return result, lab.seconds(), problem


def run_entry(entry, modes):
    """{mode: (result, seconds)}"""
    outcome = {}
    for mode in modes:
        result, seconds, problem = run_once(entry, mode == "shim")
        outcome[mode] = (result, seconds)
        print(FORM.format(entry.name, mode, f"{result.arrived}/{result.expected}",
                          f"{seconds:.1f}", "intact" if result.intact else "incomplete") + problem,
              flush=True)
    return outcome


# --- The page -----------------------------------------------------------------------------------

def version(package):
    """Upstream's part of a Debian package's version, installed or to be had."""
    text = subprocess.run(["apt-cache", "policy", package], text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE).stdout
    versions = dict(re.findall(r"(Installed|Candidate): (?:[0-9]+:)?(\d[^+~\s-]*)", text))
    return f"{package} {versions.get('Installed', versions.get('Candidate', ''))}".strip()


def row(entry, outcome):
    (plain, plain_s), (shim, shim_s) = outcome["plain"], outcome["shim"]
    verdict = "all arrives" if shim.intact else "no"
    if shim.intact and plain.intact:
        verdict = "as plainly"
    packages = [version(package) for package in entry.packages + entry.unpacked] + list(entry.npm)
    cells = [entry.name, ", ".join(packages), entry.language, entry.carries,
             f"{plain.arrived} of {plain.expected}", f"{plain_s:.1f}",
             f"{shim.arrived} of {shim.expected}", f"{shim_s:.1f}", verdict]
    return "| " + " | ".join(cells) + " |"


def written_rows(path):
    """Name to row, as the page has them."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as page:
        lines = [line.rstrip("\n") for line in page if line.startswith("| ")]
    return {line.split(" | ")[0][2:]: line for line in lines[1:]}


def write_page(path, outcomes):
    rows = written_rows(path)
    rows.update({name: row(ENTRIES[name], outcome) for name, outcome in outcomes.items()})
    rows = {name: rows[name] for name in ENTRIES if name in rows}
    languages_count = len({ENTRIES[name].language for name in rows})
    whole_count = sum(not line.endswith("| no |") for line in rows.values())
    with open(f"{HERE}/page.md", encoding="utf-8") as template:
        text = template.read()
    text = text.format(
        loss=labs.LOSS_PERCENT, delay=labs.DELAY, limit_plain=labs.LIMIT_PLAIN_S,
        limit_reliable=labs.LIMIT_RELIABLE_S, count=len(rows), languages=languages_count,
        whole=whole_count,
        table="\n".join(["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|", *rows.values()]),
        remarks="\n".join(f"* **{name}**: {text}" for name in rows
                          for text in (ENTRIES[name].fails, ENTRIES[name].remark) if text))
    with open(path, "w", encoding="utf-8") as page:
        page.write(text)


# --- What is needed -----------------------------------------------------------------------------

def needed_packages(entries):
    packages = {package for entry in entries for package in entry.packages + entry.libraries}
    if any(entry.npm for entry in entries):
        packages |= {"nodejs"} if shutil.which("npm") else {"nodejs", "npm"}
    return sorted(packages)


def install_npm(entries, directory):
    """Packages of npm, beside the build."""
    wanted = sorted({package for entry in entries for package in entry.npm})
    stamp = os.path.join(directory, "wanted.json")
    if not wanted or labs.read_file(stamp) == json.dumps(wanted).encode():
        return
    os.makedirs(directory, exist_ok=True)
    subprocess.run(["npm", "install", "--prefix", directory, "--no-save", "--no-package-lock",
                    "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", *wanted],
                   check=True, stdout=subprocess.DEVNULL)
    with open(stamp, "w", encoding="ascii") as file:
        json.dump(wanted, file)


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", help="build directory")
    parser.add_argument("--link", help="tun_link, if not where the build directory has it")
    parser.add_argument("--preload", help="LD_PRELOAD, if not the shim of the build directory")
    parser.add_argument("--write", metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--packages", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ENTRIES]
    if unknown:
        parser.error(f"no such program: {', '.join(unknown)}; --list has them")
    return options


def main():
    options = parse()
    entries = [ENTRIES[name] for name in options.names or ENTRIES]
    if options.quick:
        entries = [entry for entry in entries if entry.quick]
    if options.list:
        print("\n".join(entry.name for entry in entries))
        return 0
    if options.packages:
        print("\n".join(needed_packages(entries)))
        return 0
    leave_unless_possible()
    build = os.path.abspath(options.build)
    labs.harness.options.programs = options.link or os.path.join(build, "tests", "e2e")
    labs.harness.options.preload = (options.preload or
                                    os.path.join(build, "shim", "librudp_shim.so"))
    labs.Lab.unpacked_directory = os.path.join(build, "programs", "debian")
    labs.Lab.npm_directory = os.path.join(build, "programs", "npm")
    labs.adopt_orphans()
    install_npm(ENTRIES.values() if not options.names else entries, labs.Lab.npm_directory)
    modes = ("shim",) if options.quick else ("plain", "shim")
    outcomes = {}
    for entry in entries:
        outcomes[entry.name] = run_entry(entry, modes)
        if options.write:
            write_page(options.write, {entry.name: outcomes[entry.name]})
    broken = [name for name, outcome in outcomes.items()
              if not outcome["shim"][0].intact and not ENTRIES[name].fails]
    print("\nIncomplete with the shim, without a known reason:", ", ".join(broken) or "none")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
