"""The examples print what they promise: as built here, and built against an installed copy.

    test_examples.py run DIRECTORY                     the examples in DIRECTORY
    test_examples.py installed SOURCE BUILD CC CMAKE   install BUILD to a temporary directory, build
                                                       SOURCE/examples against it with pkg-config and
                                                       with find_package, run both
    test_examples.py symbols LIBRARY HEADER NM         LIBRARY exports what HEADER declares, no more
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

PATIENCE_S = 60
EXAMPLES = ("server", "client", "multi_client")


def free_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]


def expect(what, printed, expected):
    if printed != expected:
        sys.exit(f"{what} printed {printed!r}, not {expected!r}")


def run_examples(directory, environment=None):
    directory = pathlib.Path(directory)
    port = str(free_port())
    server = subprocess.Popen([directory / "server", port, "2"], stdout=subprocess.PIPE, text=True,
                              env=environment)
    # The client needs no sign that the server is up: connecting waits for it.
    for host in ("127.0.0.1", "localhost"):
        client = subprocess.run([directory / "client", host, port], stdout=subprocess.PIPE,
                                text=True, timeout=PATIENCE_S, check=True, env=environment)
        expect("client", client.stdout, "session started\nmessage received\n")
    printed, _ = server.communicate(timeout=PATIENCE_S)
    session = "new session started\nnew message from client\n"
    expect("server", printed, "listening...\n" + 2 * session)
    expect("server's exit status", server.returncode, 0)

    many = subprocess.run([directory / "multi_client", "20", "50"], stdout=subprocess.PIPE,
                          text=True, timeout=PATIENCE_S, check=True, env=environment)
    expect("multi_client", many.stdout,
           "20 clients, 50 messages each: 1000 of 1000 echoed unaltered\n")


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE,
                          text=True, **options).stdout


def build_with_pkg_config(source, prefix, out, compiler):
    found = [path.parent for path in prefix.rglob("rudp.pc")]
    environment = dict(os.environ, PKG_CONFIG_PATH=str(found[0]))
    flags = run("pkg-config", "--cflags", "--libs", "rudp", env=environment).split()
    out.mkdir()
    for example in EXAMPLES:
        run(*compiler, "-o", out / example, source / "examples" / f"{example}.c", *flags,
            "-pthread")


def build_with_cmake(source, prefix, out, compiler, cmake):
    run(cmake, "-S", source / "examples", "-B", out, f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_C_COMPILER={compiler[0]}", f"-DCMAKE_C_FLAGS={' '.join(compiler[1:])}")
    run(cmake, "--build", out)


def run_installed(source, build, compiler, cmake):
    source = pathlib.Path(source)
    compiler = compiler.split()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        prefix = directory / "prefix"
        run(cmake, "--install", build, "--prefix", prefix, "--component", "library")
        library = next(prefix.rglob("librudp.so.0")).parent
        environment = dict(os.environ, LD_LIBRARY_PATH=str(library))
        build_with_pkg_config(source, prefix, directory / "pkg-config", compiler)
        run_examples(directory / "pkg-config", environment)
        build_with_cmake(source, prefix, directory / "cmake", compiler, cmake)
        run_examples(directory / "cmake", environment)


def check_symbols(library, header, nm):
    text = pathlib.Path(header).read_text(encoding="utf-8")
    declared = set(re.findall(r"^RUDP_API [^(]*?\**(\w+)\(", text, re.MULTILINE))
    lines = run(nm, "-D", "--defined-only", library).splitlines()
    exported = {line.split()[-1] for line in lines}
    if not declared or exported != declared:
        sys.exit(f"exported, not declared: {sorted(exported - declared)}; "
                 f"declared, not exported: {sorted(declared - exported)}")


if __name__ == "__main__":
    ACTIONS = {"run": run_examples, "installed": run_installed, "symbols": check_symbols}
    ACTIONS[sys.argv[1]](*sys.argv[2:])
