"""Languages and their runtimes: a few lines in each, by the UDP that it comes with."""
import os

from entry import program
from lab import PIPE, PORT, judge, numbered_lines

PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
LINES = numbered_lines(500)
SENT = f"{len(LINES)} datagrams of a line each, one way"
CORES = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]


def peer(name):
    return os.path.join(PEERS, name)


def lines_through(lab, receive_words, send_words):
    receiver = lab.server.serve(*receive_words)
    sender = lab.client.start(*send_words, stdin=PIPE)
    lab.feed(sender, [f"{line}\n".encode() for line in LINES])
    sender.process.stdin.close()
    data = lab.watch_output(receiver, sum(len(line) + 1 for line in LINES))
    return judge(data.decode("latin-1").splitlines(), LINES)


def both(lab, *words, ending):
    return lines_through(lab, [*words, peer(f"receive.{ending}"), PORT],
                         [*words, peer(f"send.{ending}"), lab.server.address, PORT])


def python(how):
    def run(lab):
        return lines_through(lab, ["/usr/bin/python3", peer("receive.py"), how, PORT],
                             ["/usr/bin/python3", peer("send.py"), how, lab.server.address, PORT])
    return run


program("Python socketserver", "Python", SENT, ["python3"])(python("socketserver"))
program("Python asyncio", "Python", SENT, ["python3"], quick=True)(python("asyncio"))
program("gevent", "Python", SENT, ["python3-gevent"])(python("gevent"))
program("Twisted", "Python", SENT, ["python3-twisted"])(python("twisted"))


@program("Node dgram", "JavaScript", SENT, ["nodejs"])
def node(lab):
    return both(lab, "node", ending="js")


@program("OpenJDK", "Java", SENT, ["openjdk-17-jdk-headless"])
def java(lab):
    return lines_through(lab, ["java", *CORES, peer("Receive.java"), PORT],
                         ["java", *CORES, peer("Send.java"), lab.server.address, PORT])


@program("Mono", "C#", SENT, ["mono-runtime", "mono-mcs"])
def mono(lab):
    for name in ("Receive", "Send"):
        lab.tool("mcs", f"-out:{lab.path(name)}.exe", peer(f"{name}.cs"))
    return lines_through(lab, ["mono", lab.path("Receive.exe"), PORT],
                         ["mono", lab.path("Send.exe"), lab.server.address, PORT])


@program("Ruby", "Ruby", SENT, ["ruby"])
def ruby(lab):
    return both(lab, "ruby", ending="rb")


@program("Perl", "Perl", SENT, ["perl"])
def perl(lab):
    return both(lab, "perl", ending="pl")


@program("PHP", "PHP", SENT, ["php-cli"])
def php(lab):
    return both(lab, "php", ending="php")


@program("Lua socket", "Lua", SENT, ["lua5.4", "lua-socket"])
def lua(lab):
    return both(lab, "lua5.4", ending="lua")


@program("Erlang gen_udp", "Erlang", SENT, ["erlang-base"])
def erlang(lab):
    return both(lab, "escript", ending="escript")


@program("tcludp", "Tcl", SENT, ["tcl", "tcl-udp"])
def tcl(lab):
    return both(lab, "tclsh", ending="tcl")


@program("Guile", "Scheme", SENT, ["guile-3.0"])
def guile(lab):
    return both(lab, "guile", "--no-auto-compile", ending="scm")


@program("SWI-Prolog", "Prolog", SENT, ["swi-prolog-nox"])
def prolog(lab):
    return both(lab, "swipl", ending="prolog")


@program("GNU awk /inet/udp", "awk", SENT, ["gawk"], quick=True)
def gawk(lab):
    return lines_through(
        lab, ["gawk", "-v", f"port={PORT}", "-f", peer("receive.awk")],
        ["gawk", "-v", f"port={PORT}", "-v", f"host={lab.server.address}", "-f", peer("send.awk")])


@program("bash /dev/udp", "Shell", SENT + ", to Node", ["bash", "nodejs"], quick=True)
def bash(lab):
    return lines_through(lab, ["node", peer("receive.js"), PORT],
                         ["bash", peer("send.sh"), lab.server.address, PORT])


@program("Free Pascal", "Pascal", SENT + ", to Node", ["fp-compiler", "fp-units-base", "nodejs"],
         fails="It is linked statically and makes its system calls itself: nothing can be preloaded, "
         "and the receiver's shim takes nothing from a peer without one.")
def pascal(lab):
    lab.tool("fpc", "-v0", f"-o{lab.path('raw')}", f"-FE{lab.directory}", peer("raw.pas"))
    return lines_through(lab, ["node", peer("receive.js"), PORT],
                         [lab.path("raw"), lab.server.address, PORT])
