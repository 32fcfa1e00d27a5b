#!/usr/bin/env python3
"""rudp run and rudp doctor, on every kind of program.

    test_program.py --command RUDP --library LIBRARY --programs DIRECTORY

Needs root, to be another user; exit status 77 without, unless E2E_SKIP_NOTHING is set.
"""
import argparse
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

NOBODY = 65534
SKIPPED = 77
RUN_FAILED, RUN_REFUSED, RUN_NOT_FOUND = 125, 126, 127
EX_USAGE = 2

options = argparse.Namespace()


def environment(settings=None):
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("RUDP_", "LD_"))}
    return {**clean, **(settings or {})}


def rudp(*arguments, settings=None, as_nobody=False, data=None, **more):
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    return subprocess.run([options.command, *arguments], env=environment(settings), text=True,
                          input=data, capture_output=True, timeout=60, check=False, **user, **more)


def built(name):
    return os.path.join(options.programs, name)


def lines(text, kind):
    return [line[len(kind) + 1:] for line in text.splitlines() if line.startswith(kind + " ")]


class WithDirectory(unittest.TestCase):
    """Copies and scripts in a directory that everybody may enter."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.chmod(self.directory, 0o755)

    def path(self, name):
        return os.path.join(self.directory, name)

    def copy(self, program, mode=0o755, owner=0, group=0):
        path = self.path("copy")
        shutil.copyfile(built(program), path)
        os.chown(path, owner, group)
        os.chmod(path, mode)
        return path

    def script(self, first_line, name="script", mode=0o755):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(first_line + "\n")
        os.chmod(path, mode)
        return path


class Run(WithDirectory):
    def test_status_is_the_program_s(self):
        self.assertEqual(rudp("run", built("target"), "exit", "7").returncode, 7)

    def test_signal_is_the_program_s(self):
        self.assertEqual(rudp("run", built("target"), "kill", "15").returncode, -signal.SIGTERM)

    def test_standard_input_is_the_program_s(self):
        self.assertEqual(rudp("run", "--", built("target"), "copy", data="through").stdout,
                         "through")

    def test_started_with_children_ignored(self):
        run = rudp("run", built("target"), "exit", "7",
                   preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual(run.returncode, 7)

    def test_standard_descriptors_may_be_closed(self):
        """Each number stays closed, and the loader's answer is not lost for it."""
        target = [built("target"), "show"]
        for closed in ((0,), (0, 2), (2,)):
            def close(numbers=closed):
                for number in numbers:
                    os.close(number)
            plain = subprocess.run(target, stdout=subprocess.PIPE, text=True, check=True,
                                   preexec_fn=close, env=environment(), timeout=60).stdout
            run = subprocess.run([options.command, "run", *target], stdout=subprocess.PIPE,
                                 text=True, check=False, preexec_fn=close, env=environment(),
                                 timeout=60)
            self.assertEqual(run.returncode, 0, closed)
            self.assertEqual(lines(run.stdout, "fd"), lines(plain, "fd"), closed)

    def test_same_pid(self):
        with subprocess.Popen([options.command, "run", built("target")], env=environment(),
                              stdout=subprocess.PIPE, text=True) as process:
            output, _ = process.communicate(timeout=60)
        self.assertEqual(lines(output, "pid"), [str(process.pid)])

    def test_nothing_else_differs(self):
        """Environment, descriptors and blocked signals are those of a plain start with LD_PRELOAD."""
        plain = subprocess.run([built("target"), "show", "--tag", "-x"], text=True, check=True,
                               env=environment({"LD_PRELOAD": options.library}),
                               capture_output=True).stdout
        run = rudp("run", built("target"), "show", "--tag", "-x").stdout
        for kind in ("env", "fd", "blocked", "argument"):
            self.assertEqual(sorted(lines(run, kind)), sorted(lines(plain, kind)), kind)

    def test_options_reach_the_program(self):
        run = rudp("run", "--packet-size=1400", "--tag", "*:5000", "--linger", "1s", "--stats=off",
                   built("target"))
        settings = [line for line in lines(run.stdout, "env") if line.startswith("RUDP_")]
        self.assertEqual(sorted(settings), ["RUDP_LINGER=1s", "RUDP_PACKET_SIZE=1400",
                                            "RUDP_STATS=off", "RUDP_TAG=*:5000"])

    def test_every_variable_is_an_option(self):
        known = rudp("run", "true", settings={"RUDP_NONE": "x"}).stderr
        variables = known.split("these variables:")[1].split()
        usage = rudp("run", "--help").stdout
        self.assertGreater(len(variables), 10)
        for variable in variables:
            option = "--" + variable.removeprefix("RUDP_").lower().replace("_", "-")
            self.assertIn(option + "=VALUE", usage)

    def test_what_is_preloaded_already_stays(self):
        run = rudp("run", built("target"), settings={"LD_PRELOAD": built("libpreload.so")})
        self.assertIn(f"LD_PRELOAD={built('libpreload.so')}:{options.library}",
                      lines(run.stdout, "env"))

    def test_twice_is_once(self):
        run = rudp("run", options.command, "run", built("target"))
        self.assertIn(f"LD_PRELOAD={options.library}", lines(run.stdout, "env"))

    def test_another_library_of_that_name(self):
        other = self.path("librudp_shim.so")
        shutil.copyfile(options.library, other)
        run = rudp("run", built("target"), settings={"LD_PRELOAD": other})
        self.assertEqual((run.returncode, run.stdout), (RUN_FAILED, ""))
        self.assertIn("LD_PRELOAD names another one already: " + other, run.stderr)
        run = rudp("run", "--library", other, built("target"))
        self.assertIn("LD_PRELOAD=" + other, lines(run.stdout, "env"))

    def test_library_missing(self):
        run = rudp("run", "--library", self.path("none.so"), built("target"))
        self.assertEqual((run.returncode, run.stdout), (RUN_FAILED, ""))
        self.assertIn("none.so: there is no such file", run.stderr)

    def test_library_not_beside_the_command(self):
        alone = self.path("rudp")
        shutil.copyfile(options.command, alone)
        os.chmod(alone, 0o755)
        run = subprocess.run([alone, "run", built("target")], env=environment(), text=True,
                             capture_output=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (RUN_FAILED, ""))
        self.assertIn("--library", run.stderr)

    def test_library_that_the_loader_refuses(self):
        """The loader only warns and goes on: the program must not start without the library."""
        run = rudp("run", "--library", built("uncovered"), built("target"))
        self.assertEqual((run.returncode, run.stdout), (RUN_REFUSED, ""))
        self.assertIn("does not load " + built("uncovered"), run.stderr)
        self.assertIn("cannot be preloaded", run.stderr)

    def test_unpreloadable_path(self):
        os.mkdir(self.path("a b"))
        library = self.path("a b/librudp_shim.so")
        shutil.copyfile(options.library, library)
        run = rudp("run", "--library", library, built("target"))
        self.assertEqual(run.returncode, RUN_FAILED)
        self.assertIn("cannot be preloaded", run.stderr)

    def test_bad_setting(self):
        run = rudp("run", "--linger=soon", built("target"))
        self.assertEqual((run.returncode, run.stdout), (RUN_FAILED, ""))
        self.assertEqual(run.stderr,
                         'rudp run: RUDP_LINGER="soon": accepted: off or 1us..24h\n')

    def test_usage(self):
        self.assertEqual(rudp("run").returncode, RUN_FAILED)
        self.assertEqual(rudp("run", "--no-such-option", "true").returncode, RUN_FAILED)
        self.assertEqual(rudp().returncode, EX_USAGE)
        self.assertEqual(rudp("walk").returncode, EX_USAGE)

    def test_refused(self):
        for program, word in (("static", "statically linked"), ("go", "Go program")):
            run = rudp("run", built(program))
            self.assertEqual((run.returncode, run.stdout), (RUN_REFUSED, ""))
            self.assertIn(word, run.stderr)
            self.assertEqual(len(run.stderr.splitlines()), 1)

    def test_not_found(self):
        self.assertEqual(rudp("run", "no-such-program").returncode, RUN_NOT_FOUND)
        self.assertEqual(rudp("run", self.path("none")).returncode, RUN_NOT_FOUND)
        self.assertEqual(rudp("run", self.directory).returncode, RUN_REFUSED)

    def test_script(self):
        script = self.script(f"#!{built('target')} exit")
        self.assertEqual(rudp("run", script).returncode, 0)
        script = self.script(f"#!{built('static')} exit")
        self.assertEqual(rudp("run", script).returncode, RUN_REFUSED)


class Doctor(WithDirectory):
    def examine(self, program, *arguments, expect_can=True, **more):
        result = rudp("doctor", "--json", *arguments, program, **more)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["can"], expect_can, answer)
        self.assertEqual(result.returncode, 0 if expect_can else 1)
        return answer

    def problems(self, program, *arguments, **more):
        answer = self.examine(program, *arguments, expect_can=False, **more)
        return [finding["code"] for finding in answer["findings"]
                if finding["severity"] == "problem"]

    def test_good_program(self):
        answer = self.examine(built("target"))
        self.assertEqual(answer, {"can": True, "program": built("target"),
                                  "binary": built("target"), "library": options.library,
                                  "findings": [], "addresses": []})

    def test_found_in_the_search_path(self):
        answer = self.examine("target", settings={"PATH": options.programs})
        self.assertEqual(answer["program"], built("target"))

    def test_kinds(self):
        for program, code in (("static", "static"), ("static_pie", "static-pie"), ("go", "go"),
                              ("no_libc", "no-libc"), ("sanitized", "sanitizer")):
            self.assertEqual(self.problems(built(program)), [code], program)

    def test_real_go_program(self):
        self.assertEqual(self.problems("gosu"), ["go"])

    def test_sanitizer_runtime_first(self):
        needed = subprocess.run(["ldd", built("sanitized")], capture_output=True, text=True,
                                check=True).stdout
        runtime = [line.split()[2] for line in needed.splitlines() if "libasan" in line][0]
        self.examine(built("sanitized"), settings={"LD_PRELOAD": runtime})

    def test_not_there(self):
        self.assertEqual(self.problems("no-such-program"), ["not-found"])
        self.assertEqual(self.problems(self.path("none")), ["not-found"])
        self.assertEqual(self.problems(self.directory), ["not-executable"])
        self.assertEqual(self.problems(self.copy("target", 0o644)), ["not-executable"])

    def test_format(self):
        self.assertEqual(self.problems(self.script("text")), ["format"])
        self.assertEqual(self.problems(self.script("\x7fELF" + "?" * 100)), ["format"])

    def test_scripts(self):
        outer = self.script(f"#!{built('target')} with one argument")
        self.assertEqual(self.examine(outer)["binary"], built("target"))
        nested = self.script(f"#!{outer}", "nested")
        self.assertEqual(self.examine(nested)["binary"], built("target"))
        for line in ("#!/usr/bin/env target", "#! /usr/bin/env -S A=b target -x"):
            by_env = self.script(line, "by_env")
            answer = self.examine(by_env, settings={"PATH": options.programs})
            self.assertEqual((answer["program"], answer["binary"]), (by_env, built("target")))

    def test_script_problems(self):
        self.assertEqual(self.problems(self.script(f"#!{built('static')}")), ["static"])
        self.assertEqual(self.problems(self.script("#!/none/at/all")), ["not-executable"])
        self.assertEqual(self.problems(self.script("#!")), ["not-executable"])
        self.assertEqual(self.problems(self.script(f"#!{self.path('script')}")),
                         ["not-executable"])

    def test_set_user_id(self):
        path = self.copy("target", stat.S_ISUID | 0o755)
        self.assertEqual(self.problems(path, as_nobody=True), ["set-user-id"])
        self.examine(path)  # for root it changes nothing, and the library loads

    def test_set_group_id(self):
        path = self.copy("target", stat.S_ISGID | 0o755)
        self.assertEqual(self.problems(path, as_nobody=True), ["set-group-id"])
        self.examine(self.copy("target", stat.S_ISGID | 0o745), as_nobody=False)

    def test_run_agrees_about_set_user_id(self):
        path = self.copy("target", stat.S_ISUID | 0o755)
        self.assertEqual(rudp("run", path, as_nobody=True).returncode, RUN_REFUSED)
        self.assertEqual(rudp("run", path).returncode, 0)

    def test_capabilities(self):
        path = self.copy("target")
        # Version 2, effective, CAP_NET_RAW permitted: struct vfs_cap_data.
        os.setxattr(path, "security.capability",
                    b"\x01\x00\x00\x02" + (1 << 13).to_bytes(4, "little") + bytes(12))
        self.assertEqual(self.problems(path, as_nobody=True), ["capabilities"])
        self.examine(path)

    def test_unreadable(self):
        self.assertEqual(self.problems(self.copy("target", 0o711), as_nobody=True), ["unreadable"])

    def change(self, offset, data):
        path = self.copy("target")
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)
        return path

    def test_architecture(self):
        """e_machine of the ELF header: LoongArch."""
        self.assertEqual(self.problems(self.change(18, b"\x02\x01")), ["architecture"])

    def test_musl(self):
        with open(built("target"), "rb") as file:
            data = file.read()
        start = data.index(b"/lib64/ld-linux")
        path = self.change(start, b"/lib/ld-musl-x.so\0")
        self.assertEqual(self.problems(path), ["libc"])

    def test_truncated(self):
        """Whatever the header promises, what is not there is not read."""
        path = self.copy("target")
        size = os.path.getsize(path)
        for kept in (4, 16, 63, 64, 200, size // 3, size - 100):
            os.truncate(path, kept)
            result = rudp("doctor", "--json", path)
            self.assertEqual(result.returncode, 1 if kept < size - 100 else result.returncode)
            self.assertIn(result.returncode, (0, 1))
            shutil.copyfile(built("target"), path)

    def test_without_sections(self):
        """The loader does not need them: e_shoff, e_shnum and e_shstrndx are 0."""
        path = self.change(40, bytes(8))
        with open(path, "r+b") as file:
            file.seek(60)
            file.write(bytes(4))
        self.examine(path)

    def test_missing_library(self):
        self.assertEqual(self.problems(built("needs_missing")), ["missing-library"])

    def test_symbols(self):
        answer = self.examine(built("uncovered"))
        self.assertEqual([finding["code"] for finding in answer["findings"]], ["symbol"])
        self.assertEqual(answer["findings"][0]["text"].rsplit(": ", 1)[1], "sendfile, splice")

    def test_io_uring(self):
        answer = self.examine(built("uring"))
        self.assertEqual([finding["code"] for finding in answer["findings"]], ["io-uring"])
        self.assertIn("liburing.so: UDP by io_uring", answer["findings"][0]["text"])

    def test_settings(self):
        self.assertEqual(self.problems(built("target"), settings={"RUDP_LINGR": "1s"}),
                         ["settings"])
        self.assertEqual(self.problems(built("target"), "--linger=soon"), ["settings"])

    def test_addresses(self):
        def ask(*arguments, tag=None):
            settings = {} if tag is None else {"RUDP_TAG": tag}
            result = rudp("doctor", "--json", built("target"), *arguments, settings=settings)
            return [(entry["local"], entry["remote"], entry["verdict"], entry["reason"])
                    for entry in json.loads(result.stdout)["addresses"]]

        self.assertEqual(ask("192.0.2.1:7000", "[2001:db8::1]:53", "224.0.0.1:7"), [
            ("any", "192.0.2.1:7000", "reliable", "RUDP_TAG is not set: every unicast peer"),
            ("any", "[2001:db8::1]:53", "plain",
             "DNS, DHCP and NTP stay plain unless a rule names the port"),
            ("any", "224.0.0.1:7", "plain", "broadcast and multicast are never made reliable")])
        tag = "!10.0.0.0/8,peer:*:7000,bind:*:99"
        self.assertEqual(ask("10.1.1.1:7000", "192.0.2.1:7000", "192.0.2.1:8", tag=tag), [
            ("any", "10.1.1.1:7000", "plain", "rule 1 of RUDP_TAG: !10.0.0.0/8"),
            ("any", "192.0.2.1:7000", "reliable", "rule 2 of RUDP_TAG: peer:*:7000"),
            ("any", "192.0.2.1:8", "plain", "no rule of RUDP_TAG matches")])
        self.assertEqual(ask("--bind", "0.0.0.0:99", tag="bind:*:99"), [
            ("0.0.0.0:99", "any", "reliable", "rule 1 of RUDP_TAG: bind:*:99")])
        self.assertEqual(ask("--bind", "0.0.0.0:99", tag=tag), [
            ("0.0.0.0:99", "any", "depends", "depends on the peer by rule 1: !10.0.0.0/8")])

    def test_bad_addresses(self):
        for address in ("192.0.2.1", "192.0.2.1:65536", "name:7", "::1:7", "[::1]", "192.0.2.1:7x",
                        ":7", ""):
            self.assertEqual(rudp("doctor", built("target"), address).returncode, EX_USAGE, address)
        self.assertEqual(rudp("doctor").returncode, EX_USAGE)

    def test_text(self):
        result = rudp("doctor", built("static"))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines(), [
            f"program  {built('static')}", f"library  {options.library}",
            f"problem  {built('static')} is statically linked: nothing can be preloaded",
            "answer   cannot be made reliable"])


def main():
    parser = argparse.ArgumentParser()
    for name in ("command", "library", "programs"):
        parser.add_argument("--" + name, required=True)
    _, rest = parser.parse_known_args(namespace=options)
    if os.geteuid() != 0:
        print("skipped: being another user needs root")
        sys.exit(1 if os.environ.get("E2E_SKIP_NOTHING") else SKIPPED)
    with tempfile.TemporaryDirectory() as directory:
        # As in a build tree, and where another user may read them, which that need not allow.
        for source, folder in (("command", "tools"), ("library", "shim")):
            path = os.path.join(directory, folder)
            os.mkdir(path)
            setattr(options, source, shutil.copy(getattr(options, source), path))
        os.chmod(directory, 0o755)
        unittest.main(argv=sys.argv[:1] + rest)


if __name__ == "__main__":
    main()
