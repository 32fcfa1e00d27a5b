"""Programs that carry other traffic: a VPN, a remote shell, encryption."""
from entry import program
from lab import PIPE, PORT, block, judge, judge_blocks, numbered_lines, read_file

BLOCKS = [block(index, 1024).encode() for index in range(500)]


@program("OpenVPN", "C", f"{len(BLOCKS)} plain UDP datagrams of 1 KiB inside the tunnel",
         ["openvpn", "socat"],
         remark="What travels inside is unchanged UDP of a program that is not preloaded.")
def openvpn(lab):
    key = lab.path("key")
    lab.tool("openvpn", "--genkey", "secret", key)
    common = ["--dev", "tun7", "--proto", "udp", "--port", PORT, "--secret", key, "--cipher",
              "AES-256-CBC", "--verb", 3]
    server = lab.server.serve("openvpn", *common, "--ifconfig", "10.84.0.2", "10.84.0.1", "--remote",
                              lab.client.address)
    client = lab.client.start("openvpn", *common, "--ifconfig", "10.84.0.1", "10.84.0.2", "--remote",
                              lab.server.address)
    lab.wait_for(lambda: all(b"Initialization Sequence Completed" in each.read()
                             for each in (server, client)), "the tunnel is up")
    receiver = lab.server.serve("socat", "-u", "UDP-RECV:7100", "STDOUT", port=7100, plain=True)
    lab.begin()
    sender = lab.client.start("socat", "-u", "-b", 1024, "STDIN", "UDP-SENDTO:10.84.0.2:7100",
                              stdin=PIPE, plain=True)
    lab.feed(sender, BLOCKS)
    sender.process.stdin.close()
    return judge_blocks(lab.watch_output(receiver, sum(map(len, BLOCKS))), BLOCKS)


KEYS = "".join(f"line {n:04}\n" for n in range(200))


@program("mosh", "C++", "200 lines typed into a remote program",
         ["mosh", "util-linux"],
         remark="It sends again by itself, so nothing is missing plainly.")
def mosh(lab):
    target = lab.path("typed", "")
    server = lab.server.run("mosh-server", "new", "-i", lab.server.address, "-p", PORT, "-l",
                            "LC_ALL=C.UTF-8", "--", "sh", "-c", f"stty -echo; cat >{target}",
                            env={"LC_ALL": "C.UTF-8"})
    words = server.read().decode().split("MOSH CONNECT ")[1].split()
    client = lab.client.start("script", "-qec", "stty rows 24 cols 80; "
                              f"mosh-client {lab.server.address} {words[0]}", "/dev/null", stdin=PIPE,
                              env={"MOSH_KEY": words[1], "LC_ALL": "C.UTF-8", "TERM": "xterm"})
    lab.begin()
    lab.feed(client, [line.encode() for line in KEYS.splitlines(keepends=True)])
    lab.watch_file(target, len(KEYS))
    return judge(read_file(target).decode().splitlines(), KEYS.splitlines())


LINES = numbered_lines(300, 60)
DTLS = "a DTLS session and then {} lines, one way"


def certificate(lab):
    key, cert = lab.path("key.pem"), lab.path("cert.pem")
    lab.tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=lab", "-days", 2)
    return key, cert


def send_lines(lab, server, client, is_up):
    lab.wait_for(lambda: is_up(client) or not client.is_running(), "the DTLS session is up")
    lab.feed(client, [f"{line}\n".encode() for line in LINES])
    lab.watch(lambda: sum(line.encode() in server.read() for line in LINES), len(LINES))
    known = set(LINES)
    return judge([line for line in server.read().decode(errors="replace").splitlines()
                  if line in known], LINES)


@program("OpenSSL DTLS", "C", DTLS.format(len(LINES)), ["openssl"], quick=True)
def openssl(lab):
    key, cert = certificate(lab)
    server = lab.server.serve("openssl", "s_server", "-dtls", "-quiet", "-accept", PORT, "-key", key,
                              "-cert", cert, stdin=PIPE)
    client = lab.client.start("openssl", "s_client", "-dtls", "-connect",
                              f"{lab.server.address}:{PORT}", stdin=PIPE)
    return send_lines(lab, server, client, lambda each: b"Verify return code" in each.read())


@program("GnuTLS DTLS", "C", DTLS.format(len(LINES)), ["gnutls-bin", "openssl"])
def gnutls(lab):
    key, cert = certificate(lab)
    lab.server.serve("gnutls-serv", "--udp", "--echo", "-p", PORT, f"--x509keyfile={key}",
                     f"--x509certfile={cert}")
    client = lab.client.start("gnutls-cli", "--udp", "--insecure", "-p", PORT, lab.server.address,
                              stdin=PIPE)
    return send_lines(lab, client, client, lambda each: b"Handshake was completed" in each.read())
