"""Runs a Python test in a machine of its own, under Debian's kernel: for programs that the kernel at
hand does not run. The machine is emulated and has no disk; all that the test needs is in its memory.
./dev fetches the kernel."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

KERNEL = pathlib.Path(__file__).resolve().parents[2] / "build/other-kernel/vmlinuz"
EMULATOR = "qemu-system-x86_64"
LIMIT_S = 900
STATUS = re.compile(r"^the test's status: (\d+)\r?$", re.MULTILINE)
LIBRARIES_32 = ("/lib/ld-linux.so.2", "/lib32")
UNNEEDED = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "test", "idlelib",
                                  "tkinter", "ensurepip", "lib2to3", "*.a")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox ip link set lo up
cd /
{command}
echo "the test's status: $?"
/bin/busybox poweroff -f
"""


def is_there():
    return KERNEL.exists() and shutil.which(EMULATOR) and shutil.which("busybox")


def libraries_of(program):
    listed = subprocess.run(["ldd", program], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def add(root, path):
    """A file or folder, at the same place; what it needs, if it is a program or library."""
    place = root / str(path).lstrip("/")
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(path):
        shutil.copytree(path, place, ignore=UNNEEDED)
    else:
        shutil.copy(path, place)
    for file in [place] if place.is_file() else place.rglob("*.so*"):
        for library in libraries_of(file):
            add(root, library)


def write_image(root, image):
    with open(image, "wb") as output:
        names = subprocess.run(["find", ".", "-print0"], cwd=root, check=True,
                               stdout=subprocess.PIPE).stdout
        subprocess.run(["cpio", "--null", "--create", "--format=newc", "--quiet"], cwd=root,
                       input=names, stdout=output, check=True)


def fill(root, arguments, paths):
    for folder in ("proc", "sys", "dev", "tmp"):
        (root / folder).mkdir()
    for path in (sys.executable, sysconfig.get_path("stdlib"), *LIBRARIES_32, *paths):
        add(root, path)
    add(root, pathlib.Path(__file__).parent)
    (root / "bin").mkdir(exist_ok=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    init = root / "init"
    command = " ".join(f"'{word}'" for word in (sys.executable, "-B", *arguments))
    init.write_text(INIT.format(command=command), encoding="utf-8")
    init.chmod(0o755)


def run(arguments, paths):
    """The exit status of the test with its arguments; paths are all the files that it uses."""
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory, "root")
        root.mkdir()
        fill(root, arguments, paths)
        image = os.path.join(directory, "image")
        write_image(root, image)
        output = subprocess.run(
            [EMULATOR, "-kernel", str(KERNEL), "-initrd", image, "-m", "1536", "-smp", "2",
             "-append", "console=ttyS0 quiet panic=-1", "-no-reboot", "-display", "none",
             "-monitor", "none", "-serial", "stdio"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
            timeout=LIMIT_S, check=True).stdout
    print(output)
    return int(STATUS.findall(output)[-1])
