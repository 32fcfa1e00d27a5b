"""Video, telephony, games: streams in real time, and calls."""
import glob

from entry import program
from lab import PORT, Result, judge, read_file
from measuring import number

FRAMES = 75
SIZE = "320x240"
SILENCE_US = 2000000


@program("ffmpeg", "C", f"{FRAMES} video frames, MPEG-TS over UDP, each compared by its MD5",
         ["ffmpeg"])
def ffmpeg(lab):
    source, target = lab.path("source.ts"), lab.path("target.ts")
    lab.tool("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={SIZE}:rate=25",
             "-frames:v", FRAMES, "-c:v", "mpeg2video", "-g", 5, "-b:v", "1M", "-f", "mpegts", source)
    lab.server.serve("ffmpeg", "-v", "error", "-analyzeduration", 200000, "-i",
                     f"udp://{lab.server.address}:{PORT}?timeout={SILENCE_US}", "-map", 0, "-c",
                     "copy", "-flush_packets", 1, "-f", "mpegts", target)
    lab.client.run("ffmpeg", "-v", "error", "-re", "-i", source, "-c", "copy", "-f", "mpegts",
                   f"udp://{lab.server.address}:{PORT}?pkt_size=1316")
    lab.programs[0].wait(lab.remaining_s())  # it ends by itself when nothing comes any more
    return judge(frames(lab, target), frames(lab, source))


def frames(lab, path):
    text = lab.tool("ffmpeg", "-v", "quiet", "-i", path, "-map", "0:v", "-f", "framemd5", "-",
                    may_fail=True)  # what was lost may be more than it can read
    return [line.rpartition(",")[2].strip() for line in text.splitlines()
            if line and not line.startswith("#")]


@program("GStreamer", "C", f"{FRAMES} video frames, JPEG over RTP, compared byte for byte",
         ["gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"])
def gstreamer(lab):
    source = ["videotestsrc", f"num-buffers={FRAMES}", "pattern=ball", "!",
              "video/x-raw,format=I420,width=320,height=240,framerate=25/1", "!", "jpegenc", "!"]
    lab.tool("gst-launch-1.0", "-q", *source, "rtpjpegpay", "!", "rtpjpegdepay", "!", "multifilesink",
             f"location={lab.directory}/sent%04d.jpg")
    lab.server.serve("gst-launch-1.0", "-q", "udpsrc", f"port={PORT}",
                     "caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=JPEG,payload=26",
                     "!", "rtpjpegdepay", "!", "multifilesink",
                     f"location={lab.directory}/got%04d.jpg")
    lab.client.run("gst-launch-1.0", "-q", *source, "rtpjpegpay", "!", "udpsink",
                   f"host={lab.server.address}", f"port={PORT}")
    lab.watch(lambda: len(glob.glob(f"{lab.directory}/got*.jpg")), FRAMES)
    return judge(*([read_file(path) for path in sorted(glob.glob(f"{lab.directory}/{name}*.jpg"))]
                   for name in ("got", "sent")))


CALLS = 50
SIP_PORT = 5060


@program("SIPp", "C++", f"{CALLS} calls: INVITE, 200, ACK, BYE, without retransmission of its own",
         ["sip-tester"])
def sipp(lab):
    lab.server.serve("sipp", "-sn", "uas", "-i", lab.server.address, "-p", SIP_PORT, "-nostdin",
                     "-nr", port=SIP_PORT)
    client = lab.client.run("sipp", "-sn", "uac", "-i", lab.client.address, "-p", SIP_PORT, "-m",
                            CALLS, "-r", 20, "-nostdin", "-nr", "-timeout", 12, "-timeout_error",
                            f"{lab.server.address}:{SIP_PORT}")
    text = client.read().decode(errors="replace")
    arrived = number(r"Successful call *\|[^|]*\| *(\d+)", text)
    return Result(arrived, CALLS, arrived == CALLS)


@program("Kamailio, sipsak", "C", "40 OPTIONS to Kamailio, answered by one of its processes each",
         ["kamailio", "sipsak"])
def kamailio(lab):
    config = lab.path("kamailio.cfg", f'''#!KAMAILIO
debug=0
log_stderror=yes
children=3
listen=udp:{lab.server.address}:{SIP_PORT}
auto_aliases=no
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
request_route {{
    sl_send_reply("200", "OK");
}}
''')
    lab.server.serve("kamailio", "-DD", "-E", "-f", config, "-P", lab.path("pid"), "-Y",
                     lab.directory, "-m", 32, "-M", 4, port=SIP_PORT)
    arrived = 0
    for _ in range(40):
        client = lab.client.run("sipsak", "-s", f"sip:someone@{lab.server.address}:{SIP_PORT}",
                                limit_s=4)
        arrived += client.process.returncode == 0
    return Result(arrived, 40, arrived == 40)


QUERIES = 10


def quakestat(lab, kind):
    arrived = 0
    for _ in range(QUERIES):
        client = lab.client.run("quakestat", "-retry", 1, "-interval", 2, "-raw", ",", kind,
                                f"{lab.server.address}:{PORT}")
        arrived += b",DOWN" not in client.read() and b"under test" in client.read()
    return Result(arrived, QUERIES, arrived == QUERIES)


@program("OpenArena", "C", f"{QUERIES} status queries by qstat to the game server, one try each",
         ["openarena-server", "qstat"])
def openarena(lab):
    lab.server.serve("/usr/games/openarena-server", "+set", "dedicated", 1, "+set", "net_ip",
                     lab.server.address, "+set", "net_port", PORT, "+set", "sv_hostname",
                     "under test", "+set", "fs_homepath", lab.directory, "+map", "oa_dm1")
    lab.wait_for(lambda: "AAS initialized" in lab.programs[0].read_errors(), "the map is loaded")
    return quakestat(lab, "-q3s")


@program("coturn", "C", "200 messages through a TURN relay, by turnutils_uclient", ["coturn"])
def coturn(lab):
    lab.server.serve("turnserver", "-n", "--log-file=stdout", "--simple-log", "-a", "-u", "me:word",
                     "-r", "lab.test", "-L", lab.server.address, "-E", lab.server.address, "-p", 3478,
                     "--no-tls", "--no-dtls", "--no-cli", f"--pidfile={lab.path('pid')}",
                     f"--userdb={lab.path('db')}", "--allow-loopback-peers", port=3478)
    peer = lab.server.serve("turnutils_peer", "-L", lab.server.address, "-p", 3480, port=3480)
    client = lab.client.run("turnutils_uclient", "-u", "me", "-w", "word", "-n", 200, "-m", 1, "-l",
                            170, "-e", lab.server.address, "-r", 3480, "-X", "-c", lab.server.address)
    text = client.read().decode()
    arrived = number(r"tot_recv_msgs=(\d+)", text)
    return Result(arrived, 200, arrived == 200 and peer.is_running())
