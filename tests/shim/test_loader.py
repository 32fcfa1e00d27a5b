#!/usr/bin/env python3
"""The shim beside other preloaded libraries, and programs that send to their very end.

    test_loader.py LIBRARY FOLDER_OF_PROGRAMS [ASAN_RUNTIME]
"""
import os
import resource
import subprocess
import sys
import unittest

LIBRARY = PROGRAMS = ASAN_RUNTIME = None
LIMIT_S = 60
ALLOCATORS = ("libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libmimalloc.so.2.0")


def built(name):
    return os.path.join(PROGRAMS, name)


def environment_with(preload, **settings):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("RUDP_", "LD_"))}
    environment["LD_PRELOAD"] = ":".join(preload)
    environment.update(settings)
    return environment


class Transfer(unittest.TestCase):
    def transfer(self, expected, how="return", preload=None, program="loader_ending", limit=None,
                 receiver=None):
        """The receiver gets what is expected, both with these libraries. What they complained of.
        A program may be one with arguments before those of its transfer."""
        sending, receiving = ([built(words[0]), *words[1:]] for words in
                              ([words] if isinstance(words, str) else words
                               for words in (program, receiver or program)))
        preload = [LIBRARY] if preload is None else preload

        def set_limit():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)

        receiver = subprocess.Popen([*receiving, "receive", str(len(expected))], text=True,
                                    errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    env=environment_with(preload), preexec_fn=set_limit)
        self.addCleanup(receiver.stdout.close)
        self.addCleanup(receiver.stderr.close)
        self.addCleanup(receiver.kill)
        port = receiver.stdout.readline().strip()
        sender = subprocess.run([*sending, "send", port, how], text=True, check=False,
                                capture_output=True, timeout=LIMIT_S, preexec_fn=set_limit,
                                env=environment_with(preload, EARLY_PORT=port))
        self.assertEqual(sender.returncode, 0, sender.stderr)
        output, errors = receiver.communicate(timeout=LIMIT_S)
        self.assertEqual(sorted(output.split()), sorted(expected), sender.stderr + errors)
        self.assertEqual(receiver.returncode, 0)
        return sender.stderr + errors


class Endings(Transfer):
    """Whatever a program sends before its process is gone arrives."""

    def test_return(self):
        self.transfer(["main", "handler", "destructor"])

    def test_exit(self):
        self.transfer(["main", "handler", "destructor"], "exit")

    def test_quick_exit(self):
        self.transfer(["main", "handler"], "quick")

    def test_underscore_exit(self):
        self.transfer(["main"], "hard")

    def test_destructor_of_a_linked_library(self):
        self.transfer(["main", "handler", "destructor", "library"], program="loader_ending_linked")

    def test_destructor_of_a_preloaded_library(self):
        for preload in ([LIBRARY, built("libearly.so")], [built("libearly.so"), LIBRARY]):
            with self.subTest(preload=preload):
                self.transfer(["main", "handler", "destructor", "library"], preload=preload)


class Beside(Transfer):
    def test_allocators(self):
        for allocator in ALLOCATORS:
            for preload in ([allocator, LIBRARY], [LIBRARY, allocator]):
                with self.subTest(preload=preload):
                    errors = self.transfer(["main", "handler", "destructor"], preload=preload)
                    self.assertEqual(errors, "")  # the loader would say that it found none

    def test_another_interposer(self):
        for preload in ([built("libpassing.so"), LIBRARY], [LIBRARY, built("libpassing.so")]):
            with self.subTest(preload=preload):
                errors = self.transfer(["main", "handler", "destructor"], preload=preload)
                self.assertIn("passed some\n", errors)

    def test_address_sanitizer(self):
        """Its runtime must come first; without, it is the one to say so."""
        if ASAN_RUNTIME is None:
            self.skipTest("the compiler has no AddressSanitizer")
        result = subprocess.run([built("loader_ending_sanitized"), "receive", "0"], text=True,
                                env=environment_with([LIBRARY]), capture_output=True, check=False,
                                timeout=LIMIT_S)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("ASan runtime does not come first", result.stderr)
        self.transfer(["main", "handler", "destructor"], preload=[ASAN_RUNTIME, LIBRARY],
                      program="loader_ending_sanitized")


class Plugins(Transfer):
    """Libraries that a program loads while it runs, which use UDP when the program itself does not.
    The other end is a program of the usual kind: plain datagrams would get nowhere."""

    def load(self, mode, library, how="return", expected=("main", "handler", "destructor")):
        host = ["loader_host", mode, library]
        with self.subTest(mode=mode, library=library, how=how, plugin="sends"):
            self.transfer(expected, how, program=host, receiver="loader_ending")
        with self.subTest(mode=mode, library=library, how=how, plugin="receives"):
            self.transfer(expected, how, receiver=host)

    def test_every_way_to_bind(self):
        for library in ("libplugin_lazy.so", "libplugin_now.so", "libplugin_direct.so"):
            for mode in ("now", "lazy", "deep", "deep-lazy"):
                self.load(mode, built(library))

    def test_exit_from_inside(self):
        for mode in ("lazy", "deep"):
            self.load(mode, built("libplugin_now.so"), "exit")
            self.load(mode, built("libplugin_now.so"), "hard", ("main",))

    def test_library_of_a_library(self):
        for mode in ("lazy", "deep"):
            self.load(mode, built("libplugin_outer.so"))

    def test_found_where_its_program_looks(self):
        """By its name alone, along the path of the program that asks."""
        self.load("lazy", "libplugin_near.so")
        deep = subprocess.run([built("loader_host"), "deep", "libplugin_near.so", "receive", "0"],
                              env=environment_with([LIBRARY], RUDP_LOG="warn"), text=True,
                              capture_output=True, check=False, timeout=LIMIT_S)
        self.assertEqual(deep.returncode, 0, deep.stderr)
        self.assertIn("libplugin_near.so: loaded with RTLD_DEEPBIND", deep.stderr)


class Limits(Transfer):
    def test_few_descriptors(self):
        self.transfer(["main", "handler", "destructor"], limit=(64, 64))

    def test_as_many_descriptors_as_allowed(self):
        """What the kernel can do at most, where this process may ask for it."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
            highest = int(file.read())
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, highest))
            hard = highest
        except (ValueError, OSError):
            pass
        self.transfer(["main", "handler", "destructor"], limit=(hard, hard))


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    PROGRAMS = sys.argv.pop(1)
    ASAN_RUNTIME = sys.argv.pop(1) if len(sys.argv) > 1 and sys.argv[1].startswith("/") else None
    unittest.main()
