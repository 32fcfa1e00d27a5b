"""Packages of npm, and a Go program."""
import os
import re

from entry import program
from files import ONE_FILE, WANTED, atftp_server
from lab import PORT, Result, judge, judge_blocks, read_file
from languages import peer
from network import DNS_PORT, LOCATION, SNMP_GETS, TAGGED, snmpd_server

REQUESTS = 60
HITS = 500


def node(lab, side, script, *words, **arguments):
    return side("node", peer(script), *words,
                env={"NODE_PATH": os.path.join(lab.npm_directory, "node_modules")}, **arguments)


@program("coap", "JavaScript", f"{REQUESTS} CoAP requests and answers", ["nodejs"],
         npm=["coap@1.5.0"], remark="CoAP sends again by itself, after 2 s and more.")
def coap(lab):
    node(lab, lab.server.serve, "coap_server.js", PORT, lab.server.address)
    client = node(lab, lab.client.run, "coap_client.js", lab.server.address, PORT, REQUESTS)
    return judge(client.read().decode().split(), [f"/item/{n}" for n in range(REQUESTS)])


@program("StatsD, hot-shots", "JavaScript", f"{HITS} counts, a datagram each", ["nodejs"],
         npm=["statsd@0.9.0", "hot-shots@17.1.1"])
def statsd(lab):
    config = lab.path("config.js", f"{{ port: {PORT}, address: '{lab.server.address}', "
                      "mgmt_port: 7001, flushInterval: 200, backends: ['./backends/console'] }")
    server = lab.server.serve("node", os.path.join(lab.npm_directory, "node_modules/statsd/stats.js"),
                              config)
    node(lab, lab.client.run, "statsd_client.js", lab.server.address, PORT, HITS)

    def counted():
        return sum(int(number) for number in re.findall(r"\bhits: (\d+)", server.read().decode())[::2])
    arrived = lab.watch(counted, HITS)
    return Result(arrived, HITS, arrived == HITS)


@program("net-snmp", "JavaScript", f"{SNMP_GETS} requests to snmpd, without retries",
         ["nodejs", "snmpd"], npm=["net-snmp@3.29.2"])
def net_snmp(lab):
    snmpd_server(lab)
    client = node(lab, lab.client.run, "snmp_client.js", lab.server.address, PORT, LOCATION, SNMP_GETS)
    arrived = client.read().decode().splitlines().count("under test")
    return Result(arrived, SNMP_GETS, arrived == SNMP_GETS)


@program("tftp", "JavaScript", ONE_FILE + ", from atftpd", ["nodejs", "atftpd"], npm=["tftp@0.1.2"])
def tftp(lab):
    atftp_server(lab)
    node(lab, lab.client.run, "tftp_client.js", lab.server.address, "file", lab.path("got"))
    return judge_blocks(read_file(lab.path("got")), WANTED)


GO_NAMES = [(f"name{n}", f"10.9.1.{n}") for n in range(10)]


@program("dnss", "Go", f"{len(GO_NAMES)} names, asked by dig without retries",
         ["dnss", "dnsmasq-base", "bind9-dnsutils"], tag=f"*:{DNS_PORT}",
         fails="A Go program makes its system calls itself: nothing can be preloaded, and the shim of "
         "dig gets no answer from a peer without one. `rudp doctor` says so.", remark=TAGGED)
def dnss(lab):
    hosts = lab.path("hosts", "".join(f"{address} {name}\n" for name, address in GO_NAMES))
    lab.server.serve("dnsmasq", "-d", "-C", "/dev/null", "--no-resolv", "--no-hosts", "-p", PORT,
                     f"--addn-hosts={hosts}", "--user=root", "--bind-interfaces", "--pid-file=",
                     "--listen-address=127.0.0.1", plain=True)
    lab.server.serve("dnss", "-enable_dns_to_https", "-dns_listen_addr",
                     f"{lab.server.address}:{DNS_PORT}", "-dns_unqualified_upstream",
                     f"127.0.0.1:{PORT}", "-https_upstream", "https://127.0.0.1/", port=DNS_PORT)
    queries = lab.path("queries", "".join(f"{name} A\n" for name, _ in GO_NAMES))
    client = lab.client.run("dig", f"@{lab.server.address}", "+short", "+tries=1", "+time=3", "-f",
                            queries)
    got = [line for line in client.read().decode().splitlines() if not line.startswith(";")]
    return judge(got, [address for _, address in GO_NAMES])
