"""Services of a network: logs, monitoring, names, time, authentication."""
import glob
import os
import re
import shutil
import socket
import tempfile

import harness
from entry import program
from lab import PORT, Result, block, judge, numbered_lines, read_file
from measuring import number

DNS_PORT = 53
RADIUS_PORT = 1812

LOG_LINES = numbered_lines(300)


def rsyslog_server(lab):
    target = lab.path("log", "")
    lab.server.serve("rsyslogd", "-n", "-i", lab.path("pid"), "-f", lab.path("to.conf", f'''
module(load="imudp")
input(type="imudp" port="{PORT}")
template(name="bare" type="string" string="%msg%\\n")
action(type="omfile" file="{target}" template="bare")
'''))
    return target


def judge_log(lab, target):
    lab.watch(lambda: read_file(target).count(b"\n"), len(LOG_LINES))
    return judge([line.strip() for line in read_file(target).decode().splitlines()], LOG_LINES)


@program("logger", "C", f"{len(LOG_LINES)} log lines to rsyslog", ["bsdutils", "rsyslog"])
def logger(lab):
    target = lab.path("log", "")
    config = lab.path("rsyslog.conf", f'''
module(load="imudp")
input(type="imudp" port="{PORT}")
template(name="bare" type="string" string="%msg%\\n")
action(type="omfile" file="{target}" template="bare")
''')
    lab.server.serve("rsyslogd", "-n", "-f", config, "-i", lab.path("pid"))
    lab.client.run("logger", "-d", "-n", lab.server.address, "-P", PORT, "--rfc3164", "-t", "test",
                   data="".join(f"{line}\n" for line in LOG_LINES).encode())
    return judge_log(lab, target)


@program("rsyslog", "C", f"{len(LOG_LINES)} log lines, omfwd to imudp", ["rsyslog"])
def rsyslog(lab):
    target = lab.path("log", "")
    source = lab.path("source", "")
    lab.server.serve("rsyslogd", "-n", "-i", lab.path("pid"), "-f", lab.path("to.conf", f'''
module(load="imudp")
input(type="imudp" port="{PORT}")
template(name="bare" type="string" string="%msg%\\n")
action(type="omfile" file="{target}" template="bare")
'''))
    lab.client.start("rsyslogd", "-n", "-i", lab.path("pid2"), "-f", lab.path("from.conf", f'''
global(workDirectory="{lab.directory}")
module(load="imfile")
input(type="imfile" file="{source}" tag="test")
action(type="omfwd" target="{lab.server.address}" port="{PORT}" protocol="udp")
'''))
    with open(source, "w", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in LOG_LINES))
    return judge_log(lab, target)


@program("syslog-ng", "C", f"{len(LOG_LINES)} log lines, network() to network()",
         unpacked=["syslog-ng-core"], libraries=["libivykis0", "libnet1", "libjson-c5"])
def syslog_ng(lab):
    target = lab.path("log", "")
    source = lab.path("source", "")
    start_syslog_ng(lab, lab.server, f'''
source from {{ network(transport("udp") port({PORT}) flags(no-parse)); }};
destination to {{ file("{target}" template("$MSG\\n")); }};''')
    lab.server.wait_bound(PORT, lab.programs[-1])
    start_syslog_ng(lab, lab.client, f'''
source from {{ file("{source}" flags(no-parse) follow-freq(0.2)); }};
destination to {{ network("{lab.server.address}" transport("udp") port({PORT})
                          template("$MSG\\n")); }};''')
    with open(source, "w", encoding="ascii") as file:
        file.write("".join(f"{line}\n" for line in LOG_LINES))
    return judge_log(lab, target)


def start_syslog_ng(lab, side, statements):
    root = lab.unpacked("syslog-ng-core")
    home = tempfile.mkdtemp(dir=lab.directory)
    modules = glob.glob(f"{root}/usr/lib/syslog-ng/[0-9]*")[0]
    config = lab.path(os.path.basename(home) + ".conf", "@version: 3.38\n" + statements +
                      "log { source(from); destination(to); };\n")
    return side.start(f"{root}/usr/sbin/syslog-ng", "-F", "--no-caps", "-f", config,
                      f"--persist-file={home}/persist", f"--pidfile={home}/pid",
                      f"--control={home}/control", f"--module-path={modules}",
                      env={"LD_LIBRARY_PATH": f"{root}/usr/lib/syslog-ng"})


SNMP_GETS = 40
LOCATION = "1.3.6.1.2.1.1.6.0"


def snmpd_server(lab):
    config = lab.path("snmpd.conf", f"agentaddress udp:{lab.server.address}:{PORT}\n"
                      "rocommunity public\nsysLocation under test\nsysServices 72\n")
    lab.server.serve("snmpd", "-f", "-Lo", "-C", "-c", config, "-p", lab.path("pid"),
                     env={"SNMP_PERSISTENT_DIR": lab.directory})


@program("snmpget", "C", f"{SNMP_GETS} requests to snmpd, a process each", ["snmpd", "snmp"],
         remark="Without retries of its own (-r 0), to show the link. By default it asks again "
         "every second, five times; with the shim it need not.")
def snmpget(lab):
    snmpd_server(lab)
    arrived = 0
    for _ in range(SNMP_GETS):
        client = lab.client.run("snmpget", "-v2c", "-c", "public", "-r", 0, "-t", 3, "-Oqv",
                                f"{lab.server.address}:{PORT}", LOCATION)
        arrived += client.read().strip() == b'"under test"'
    return Result(arrived, SNMP_GETS, arrived == SNMP_GETS)


@program("snmptrap", "C", f"{SNMP_GETS} traps to snmptrapd, a process each", ["snmptrapd", "snmp"])
def snmptrap(lab):
    target = lab.path("traps", "")
    lab.server.serve("snmptrapd", "-f", "-C", "-n", "-Lf", target, "-p", lab.path("pid"),
                     "--disableAuthorization=yes", "-Oqv", "-F", "%v\\n",
                     f"udp:{lab.server.address}:{PORT}",
                     env={"SNMP_PERSISTENT_DIR": lab.directory})
    for index in range(SNMP_GETS):
        lab.client.run("snmptrap", "-v2c", "-c", "public", f"{lab.server.address}:{PORT}", 1,
                       "1.3.6.1.4.1.8072.9999.1", LOCATION, "s", f"trap{index:04}")
    lab.watch(lambda: len(re.findall(rb"trap\d{4}", read_file(target))), SNMP_GETS)
    got = re.findall(r"trap\d{4}", read_file(target).decode())
    return judge(got, [f"trap{index:04}" for index in range(SNMP_GETS)])


NAMES = 60
ADDRESSES = [f"10.9.{n // 250}.{n % 250}" for n in range(NAMES)]
RECORDS = [(f"name{n}.test", address) for n, address in enumerate(ADDRESSES)]
ASKED = f"{NAMES} names, asked one after another by dig without retries"
DNS_TAG = f"*:{DNS_PORT}"
TAGGED = "DNS is left plain unless a rule names its port: RUDP_TAG='*:53'."


def dig(lab):
    queries = lab.path("queries", "".join(f"{name} A\n" for name, _ in RECORDS))
    client = lab.client.run("dig", f"@{lab.server.address}", "+short", "+tries=1", "+time=3", "-f",
                            queries)
    got = [line for line in client.read().decode().splitlines() if not line.startswith(";")]
    return judge(got, ADDRESSES)


def zone_file(lab):
    return lab.path("zone", "$ORIGIN test.\n$TTL 60\n@ SOA ns. admin. 1 60 60 60 60\n@ NS ns.\n" +
                    "".join(f"{name}. A {address}\n" for name, address in RECORDS))


@program("dnsmasq", "C", ASKED, ["dnsmasq-base", "bind9-dnsutils"], tag=DNS_TAG, remark=TAGGED,
         quick=True)
def dnsmasq(lab):
    hosts = lab.path("hosts", "".join(f"{address} {name}\n" for name, address in RECORDS))
    lab.server.serve("dnsmasq", "-d", "-C", "/dev/null", "--no-resolv", "--no-hosts",
                     f"--addn-hosts={hosts}", "--user=root", "--bind-interfaces", "--pid-file=",
                     f"--listen-address={lab.server.address}", port=DNS_PORT)
    return dig(lab)


@program("unbound", "C", ASKED, ["unbound", "bind9-dnsutils"], tag=DNS_TAG, remark=TAGGED)
def unbound(lab):
    data = "".join(f'  local-data: "{name}. A {address}"\n' for name, address in RECORDS)
    config = lab.path("unbound.conf", f'''server:
  interface: {lab.server.address}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  local-zone: test. static
{data}remote-control:
  control-enable: no
''')
    lab.server.serve("unbound", "-d", "-c", config, port=DNS_PORT)
    return dig(lab)


@program("BIND", "C", ASKED, ["bind9", "bind9-dnsutils"], tag=DNS_TAG, remark=TAGGED)
def bind9(lab):
    config = lab.path("named.conf", f'''
options {{ directory "{lab.directory}"; listen-on {{ {lab.server.address}; }}; listen-on-v6 {{ none; }};
          pid-file none; session-keyfile none; recursion no; notify no; }};
controls {{ }};
zone "test" {{ type primary; file "{zone_file(lab)}"; }};
''')
    lab.server.serve("named", "-g", "-n", 1, "-c", config, port=DNS_PORT)
    return dig(lab)


@program("NSD, dnsperf", "C", "500 queries, 20 at a time", ["nsd", "dnsperf"], tag=DNS_TAG,
         remark=TAGGED)
def nsd(lab):
    config = lab.path("nsd.conf", f'''server:
  ip-address: {lab.server.address}
  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  zonesdir: {lab.directory}
  xfrdfile: {lab.directory}/xfrd
  zonelistfile: {lab.directory}/zones
  xfrdir: {lab.directory}
remote-control:
  control-enable: no
zone:
  name: test
  zonefile: {zone_file(lab)}
''')
    lab.server.serve("nsd", "-d", "-c", config, port=DNS_PORT)
    queries = lab.path("queries", "".join(f"{RECORDS[n % NAMES][0]} A\n" for n in range(500)))
    client = lab.client.run("dnsperf", "-s", lab.server.address, "-d", queries, "-q", 20, "-t", 3,
                            "-n", 1)
    found = re.search(r"Queries completed: +(\d+)", client.read().decode())
    arrived = int(found[1]) if found else 0
    return Result(arrived, 500, arrived == 500)


@program("chrony", "C", "the time, by chronyd -Q", ["chrony"], tag="*:123",
         remark="NTP is left plain unless a rule names its port. A request that was sent again "
         "makes its round trip look longer: better left plain.")
def chrony(lab):
    config = lab.path("server.conf", "local stratum 5\nallow\n" + quiet_chrony(lab, "server"))
    lab.server.serve("chronyd", "-d", "-x", "-u", "root", "-f", config, port=123)
    client = lab.client.run("chronyd", "-Q", "-x", "-u", "root", "-t", 25,
                            f"server {lab.server.address} iburst maxsamples 4",
                            *quiet_chrony(lab, "client").splitlines())
    offset = re.findall(r"System clock wrong by (-?[\d.]+)", client.read_errors() +
                        client.read().decode())
    return Result(len(offset), 1, len(offset) == 1 and abs(float(offset[0])) < 1)


def quiet_chrony(lab, name):
    return f"cmdport 0\npidfile {lab.directory}/{name}.pid\nbindcmdaddress /\n"


RADIUS_REQUESTS = 40


@program("FreeRADIUS", "C", f"{RADIUS_REQUESTS} logins by radclient, without retries",
         ["freeradius", "freeradius-utils"])
def freeradius(lab):
    home = os.path.join(lab.directory, "raddb")
    shutil.copytree("/etc/freeradius/3.0", home, symlinks=True)
    edit(f"{home}/radiusd.conf", r"^\s*(user|group) = freerad$", "")
    edit(f"{home}/radiusd.conf", r"^localstatedir = .*$", f"localstatedir = {lab.directory}")
    edit(f"{home}/radiusd.conf", r"^run_dir = .*$", f"run_dir = {lab.directory}")
    edit(f"{home}/clients.conf", r"\A", f"client lab {{\n ipaddr = {lab.client.address}\n"
         " secret = between-us\n}\n")
    users = "".join(f'user{n} Cleartext-Password := "word{n}"\n' for n in range(RADIUS_REQUESTS))
    with open(os.path.realpath(f"{home}/users"), "r", encoding="utf-8") as file:
        users += file.read()
    os.unlink(f"{home}/users")
    with open(f"{home}/users", "w", encoding="utf-8") as file:
        file.write(users)
    edit(f"{home}/mods-enabled/files", r"filename = .*authorize", f"filename = {home}/users")
    lab.server.serve("freeradius", "-f", "-l", "stdout", "-d", home, port=RADIUS_PORT)
    requests = lab.path("requests", "\n".join(
        f'User-Name = "user{n}"\nUser-Password = "word{n}"\n' for n in range(RADIUS_REQUESTS)))
    client = lab.client.run("radclient", "-s", "-r", 1, "-t", 2, "-p", 10, "-f", requests,
                            f"{lab.server.address}:{RADIUS_PORT}", "auth", "between-us")
    found = re.search(r"Accepted +: (\d+)", client.read().decode())
    arrived = int(found[1]) if found else 0
    return Result(arrived, RADIUS_REQUESTS, arrived == RADIUS_REQUESTS)


def edit(path, pattern, replacement):
    path = os.path.realpath(path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(pattern, lambda _: replacement, text, flags=re.MULTILINE))


VALUES = 2000


@program("collectd", "C", f"{VALUES} values, network plugin to network plugin", ["collectd-core"],
         remark="With one WriteThread: several overtake each other, and late values are dropped.")
def collectd(lab):
    directory = os.path.join(lab.directory, "csv")
    start_collectd(lab, lab.server, f'''LoadPlugin network
LoadPlugin csv
<Plugin network>
  Listen "{lab.server.address}" "{PORT}"
</Plugin>
<Plugin csv>
  DataDir "{directory}"
</Plugin>
''')
    lab.server.wait_bound(PORT, lab.programs[-1])
    control = lab.path("control")
    client = start_collectd(lab, lab.client, f'''LoadPlugin network
LoadPlugin unixsock
<Plugin network>
  Server "{lab.server.address}" "{PORT}"
</Plugin>
<Plugin unixsock>
  SocketFile "{control}"
</Plugin>
''')
    put_values(lab, client, control)

    def stored():
        flush(control)  # again and again: values that a thread of the client still held back
        return sum(read_file(path).count(b"\n") - 1
                   for path in glob.glob(f"{directory}/lab/test/gauge-*"))
    arrived = lab.watch(stored, VALUES)
    return Result(arrived, VALUES, arrived == VALUES)


def start_collectd(lab, side, plugins):
    home = tempfile.mkdtemp(dir=lab.directory)
    config = lab.path(os.path.basename(home) + ".conf", f'''Hostname "lab"
BaseDir "{home}"
PIDFile "{home}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
WriteThreads 1
''' + plugins)
    return side.start("collectd", "-f", "-C", config)


def put_values(lab, client, control):
    harness.poll_until(lambda: listens(control) or not client.is_running(), "collectd is up",
                       lab.remaining_s())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(control)
        with connection.makefile("rw") as stream:
            for index in range(VALUES):
                print(f"PUTVAL lab/test/gauge-{index % 20} interval=1 {1000000000 + index}:{index}",
                      file=stream, flush=True)
                stream.readline()


def listens(control):
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(control) == 0


def flush(control):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(control)
        with connection.makefile("rw") as stream:
            print("FLUSH plugin=network", file=stream, flush=True)
            stream.readline()


@program("memcached", "C", "200 values set by memccp over UDP, read back over TCP",
         ["memcached", "libmemcached-tools"])
def memcached(lab):
    lab.server.serve("memcached", "-u", "root", "-U", PORT, "-p", PORT, "-l", lab.server.address)
    files = [lab.path(f"value{n:04}", block(n, 500)) for n in range(200)]
    lab.client.run("memccp", "--udp", f"--servers={lab.server.address}:{PORT}", *files)

    def stored():
        text = lab.client.run("nc.openbsd", "-q", 1, "-N", lab.server.address, PORT,
                              data=b"stats\r\nquit\r\n", plain=True).read().decode()
        return number(r"STAT curr_items (\d+)", text)
    arrived = lab.watch(stored, 200)
    return Result(arrived, 200, arrived == 200)


@program("libcoap", "C", "a PUT and a GET of 16 KiB, in blocks of 512 bytes", ["libcoap3-bin"],
         remark="CoAP sends again by itself, after 2 s and more.", quick=True)
def libcoap(lab):
    data = "".join(block(n, 512) for n in range(32))
    lab.server.serve("coap-server-notls", "-A", lab.server.address, "-p", PORT, "-d", 10)
    uri = f"coap://{lab.server.address}:{PORT}/stored"
    lab.client.run("coap-client-notls", "-m", "put", "-b", 512, "-B", 30, "-f",
                   lab.path("put", data), uri)
    client = lab.client.run("coap-client-notls", "-m", "get", "-b", 512, "-B", 30, "-o",
                            lab.path("got"), uri)
    got = read_file(lab.path("got")).decode()
    return judge([got[at:at + 512] for at in range(0, len(got), 512)],
                 [block(n, 512) for n in range(32)])


@program("oscsend", "C", "60 OSC messages to oscdump, a process each", ["liblo-tools"])
def osc(lab):
    server = lab.server.serve("stdbuf", "-oL", "oscdump", PORT)
    for index in range(60):
        lab.client.run("oscsend", lab.server.address, PORT, "/lab/value", "i", index)
    lab.watch(lambda: server.read().count(b"/lab/value"), 60)
    got = re.findall(r"/lab/value i (\d+)", server.read().decode())
    return judge(got, [str(index) for index in range(60)])
