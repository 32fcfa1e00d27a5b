"""Programs that transfer files."""
import os

from entry import program
from lab import PORT, block, judge_blocks, read_file

FILE = b"".join(block(index, 512).encode() for index in range(96))
WANTED = [FILE[at:at + 512] for at in range(0, len(FILE), 512)]
ONE_FILE = f"a file of {len(FILE) // 1024} KiB in blocks of 512 bytes"
TFTP_PORT = 69
UFTP_PORT = 1044


def tftp_server(lab):
    root = os.path.join(lab.directory, "root")
    os.mkdir(root)
    os.chmod(root, 0o777)
    with open(os.path.join(root, "file"), "wb") as file:
        file.write(FILE)
    os.chmod(os.path.join(root, "file"), 0o666)
    return root


@program("tftp-hpa", "C", ONE_FILE, ["tftp-hpa"], unpacked=["tftpd-hpa"], libraries=["libwrap0"])
def tftp_hpa(lab):
    root = tftp_server(lab)
    server = os.path.join(lab.unpacked("tftpd-hpa"), "usr/sbin/in.tftpd")
    lab.server.serve(server, "-L", "-4", "-s", "-u", "root", "-a",
                     f"{lab.server.address}:{TFTP_PORT}", root, port=TFTP_PORT)
    lab.client.run("tftp", "-4", "-m", "octet", lab.server.address, "-c", "get", "file",
                   cwd=lab.directory)
    return judge_blocks(read_file(lab.path("file")), WANTED)


def atftp_server(lab):
    lab.server.serve("atftpd", "--daemon", "--no-fork", "--user", "root", "--group", "root",
                     "--logfile", "-", "--bind-address", lab.server.address, tftp_server(lab),
                     port=TFTP_PORT)


@program("atftp", "C", ONE_FILE, ["atftpd", "atftp"])
def atftp(lab):
    atftp_server(lab)
    lab.client.run("atftp", "--get", "-r", "file", "-l", lab.path("got"), lab.server.address,
                   TFTP_PORT)
    return judge_blocks(read_file(lab.path("got")), WANTED)


@program("curl", "C", ONE_FILE + ", by TFTP from atftpd", ["atftpd", "curl"])
def curl(lab):
    atftp_server(lab)
    lab.client.run("curl", "-s", "-o", lab.path("got"), f"tftp://{lab.server.address}/file")
    return judge_blocks(read_file(lab.path("got")), WANTED)


@program("UFTP", "C", "a file of 200 KiB to one receiver", ["uftp"],
         remark="It asks for missing parts by itself after each pass.")
def uftp(lab):
    data = "".join(block(index, 1024) for index in range(200)).encode()
    source = lab.path("source", data)
    target = os.path.join(lab.directory, "received")
    os.mkdir(target)
    lab.server.serve("uftpd", "-d", "-D", target, "-I", lab.server.address, "-M",
                     lab.server.address, "-p", UFTP_PORT, "-P", lab.path("pid"), "-L", lab.path("log"),
                     port=UFTP_PORT)
    lab.client.run("uftp", "-M", lab.server.address, "-P", lab.server.address, "-p", UFTP_PORT,
                   "-I", lab.client.address, "-R", 8000, source)
    return judge_blocks(read_file(os.path.join(target, "source")),
                        [data[at:at + 1024] for at in range(0, len(data), 1024)])


@program("SRT", "C++", "a file of 200 KiB by srt-file-transmit", ["srt-tools"],
         remark="It sends again by itself.")
def srt(lab):
    data = "".join(block(index, 1024) for index in range(200)).encode()
    got = os.path.join(lab.directory, "got")
    os.mkdir(got)
    lab.server.serve("srt-file-transmit", f"srt://{lab.server.address}:{PORT}?mode=listener",
                     f"file://{got}/")
    lab.client.run("srt-file-transmit", f"file://{lab.path('source', data)}",
                   f"srt://{lab.server.address}:{PORT}/source")
    received = lab.watch_file(os.path.join(got, "source"), len(data))
    return judge_blocks(received, [data[at:at + 1024] for at in range(0, len(data), 1024)])
