# SPDX-License-Identifier: Apache-2.0
"""Real programs under `txpath run`, against real ones in another namespace, compared with a run
without txpath. A program that is not installed is skipped."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import lab

PORT = 4000


def needs(*programs):
    missing = [p for p in programs if shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin") is None]
    return unittest.skipIf(missing, f"not installed: {' '.join(missing)}")


class Programs(unittest.TestCase):
    doorbell = "sync"

    def setUp(self):
        lab.make()
        lab.sh("ip netns exec far sysctl -qw net.ipv4.icmp_ratelimit=0")
        self.dir = tempfile.TemporaryDirectory()
        os.chmod(self.dir.name, 0o755)
        self.servers = []
        self.stat = os.path.join(self.dir.name, "stat.json")

    def tearDown(self):
        for s in self.servers:
            s.terminate()
            try:
                s.wait(5)
            except subprocess.TimeoutExpired:
                s.kill()
                s.wait()
        self.dir.cleanup()
        lab.remove()

    def inside(self, netns, words):
        return ["ip", "netns", "exec", netns, *(words.split() if isinstance(words, str) else words)]

    def under(self, words, options=""):
        words = words.split() if isinstance(words, str) else words
        return self.inside("near", [lab.TXPATH, "run", "--doorbell", self.doorbell, "--stat",
                                    self.stat, "--why", *options.split(), "--", *words])

    def serve(self, netns, port, command):
        """Starts a server, and waits until somebody listens to UDP (iperf3: TCP) on `port`."""
        p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             cwd=self.dir.name)
        self.servers.append(p)
        deadline = time.monotonic() + 20
        while not subprocess.check_output(self.inside(netns, f"ss -Htuln sport = :{port}")):
            self.assertIsNone(p.poll(), command)
            self.assertLess(time.monotonic(), deadline, command)
            time.sleep(0.05)
        return p

    def run_it(self, command, **kwargs):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              cwd=self.dir.name, **kwargs)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def both(self, words, **kwargs):
        """The output without and with txpath; the second sent by the engine."""
        plain = self.run_it(self.inside("near", words), **kwargs)
        taken = self.run_it(self.under(words), **kwargs)
        self.assertGreater(self.told()[0], 0)
        return plain, taken

    def told(self):
        """Datagrams by the engine, by the kernel."""
        with open(self.stat) as f:
            self.report = json.load(f)
        c = self.report["conservation"]
        self.assertEqual(c["sent"], c["delivered"] + c["dropped"] + c["queued"])
        return (sum(p["engine"] for p in self.report["run"]),
                sum(p["kernel"] for p in self.report["run"]))

    def file(self, name, text):
        path = os.path.join(self.dir.name, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    # What knotd serves, at `address`.
    def knot(self, address):
        self.file("example.zone", "$ORIGIN example.\n$TTL 60\n@ SOA ns h 1 60 60 60 60\n@ NS ns\n"
                  "ns A 192.0.2.1\nwww A 192.0.2.2\nbig TXT " + " ".join(['"' + "x" * 200 + '"'] * 4)
                  + "\n")
        return self.file("knot.conf", f"""
server:
    listen: {address}@53
    rundir: "{self.dir.name}"
    user: root
    udp-workers: 1
database:
    storage: "{self.dir.name}"
zone:
  - domain: example
    file: "{self.dir.name}/example.zone"
    semantic-checks: off
""")

    def test_python(self):
        script = ("import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                  f"for i in range(100): s.sendto(b'%d'%i,('{lab.FAR}',{PORT}))\n")
        receiver = lab.Receiver("far", (lab.FAR, PORT))
        try:
            self.both(["python3", "-c", script])
            self.assertEqual([int(p) for p in receiver.payloads()], list(range(100)) * 2)
            self.assertEqual(self.told(), (100, 0))
        finally:
            receiver.close()

    @needs("socat")
    def test_socat(self):
        receiver = lab.Receiver("far", (lab.FAR, PORT))
        try:
            self.both(f"socat -u - UDP:{lab.FAR}:{PORT}", input="hello\n")
            self.assertEqual(receiver.payloads(), [b"hello\n"] * 2)
        finally:
            receiver.close()

    @needs("dig", "knotd")
    def test_dig_and_kdig(self):
        self.serve("far", 53, self.inside("far", ["knotd", "-c", self.knot(lab.FAR)]))
        time.sleep(1)  # its zone
        self.assertEqual(*self.both(f"dig @{lab.FAR} +short www.example"))
        self.assertEqual(*self.both(f"dig @{lab.FAR} +short TXT big.example"))
        if shutil.which("kdig"):
            self.assertEqual(*self.both(f"kdig @{lab.FAR} +short www.example"))

    @needs("knotd", "dnsperf")
    def test_a_dns_server_under_load(self):
        self.serve("near", 53, self.under(["knotd", "-c", self.knot(lab.NEAR)]))
        time.sleep(1)  # its zone
        queries = self.file("queries", "www.example A\nbig.example TXT\n")
        out = self.run_it(self.inside("far", f"dnsperf -s {lab.NEAR} -d {queries} -l 2 -c 4 -Q 2000"))
        lost = int(re.search(r"Queries lost: +(\d+)", out)[1])
        done = int(re.search(r"Queries completed: +(\d+)", out)[1])
        self.assertEqual(lost, 0, out)
        self.servers.pop().terminate()
        time.sleep(2)
        engine, kernel = self.told()
        self.assertGreaterEqual(engine + kernel, done)
        self.assertGreater(engine, done * 0.9, self.report["fallback"])

    @needs("iperf3")
    def test_iperf3(self):
        self.serve("far", 5201, self.inside("far", "iperf3 -s"))
        out = json.loads(self.run_it(self.under(f"iperf3 -c {lab.FAR} -u -b 4M -l 1000 -t 2 -J")))
        end = out["end"]["sum"]
        self.assertLess(end["lost_percent"], 5)  # a receiver that got no processor time
        self.assertGreater(self.told()[0], 0.9 * end["packets"])

    @needs("sockperf")
    def test_sockperf(self):
        self.serve("far", PORT, self.inside("far", f"sockperf server -i {lab.FAR} -p {PORT}"))
        out = self.run_it(self.under(f"sockperf ping-pong -i {lab.FAR} -p {PORT} -t 1"))
        self.assertIn("# dropped messages = 0", out)
        self.assertGreater(self.told()[0], 100)

    @needs("traceroute")
    def test_traceroute_reads_the_error_queue(self):
        plain, taken = self.both(f"traceroute -n -m 3 -q 2 {lab.FAR}")
        hops = [re.findall(r"\d+\.\d+\.\d+\.\d+", line) for line in plain.splitlines()]
        self.assertEqual([re.findall(r"\d+\.\d+\.\d+\.\d+", t) for t in taken.splitlines()], hops)

    @needs("tracepath")
    def test_tracepath(self):
        plain, taken = self.both(f"tracepath -n {lab.FAR}")
        words = lambda text: re.sub(r"\d+\.\d+ms", "", text).split()
        self.assertEqual(words(plain), words(taken))

    @needs("chronyd")
    def test_chrony(self):
        conf = self.file("server.conf", f"local stratum 3\nallow\npidfile {self.dir.name}/pid\n"
                         f"bindcmdaddress /\ncmdport 0\n")
        self.serve("far", 123, self.inside("far", ["chronyd", "-x", "-d", "-u", "root", "-f", conf]))
        out = subprocess.run(self.under(["chronyd", "-x", "-Q", "-t", "20", "-u", "root",
                                         f"server {lab.FAR} iburst maxsamples 1",
                                         f"pidfile {self.dir.name}/pid2", "cmdport 0"]),
                             capture_output=True, text=True, timeout=60)
        self.assertIn("System clock wrong by", out.stderr)
        # It asks for stamps of what it sends, which only the kernel gives.
        self.assertEqual(self.told()[0], 0)
        self.assertEqual(list(self.report["fallback"]), ["SOCKET_OPTION"])

    @needs("gtlsserver", "gtlsclient", "openssl")
    def test_quic_both_ways(self):
        sh = lambda line: self.run_it(["sh", "-c", line])
        sh("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key "
           "-out cert -subj /CN=x -days 2 2>/dev/null && mkdir -p www && "
           "head -c 300000 /dev/urandom > www/data && mkdir -p got")
        self.serve("near", 4433, self.under(f"gtlsserver -q -d www {lab.NEAR} 4433 key cert"))
        client = f"gtlsclient -q --exit-on-all-streams-close --download got"
        self.run_it(self.inside("far", f"{client} {lab.NEAR} 4433 https://x/data"))
        sh("cmp www/data got/data && rm got/data")
        self.serve("far", 4433, self.inside("far", f"gtlsserver -q -d www {lab.FAR} 4433 key cert"))
        self.run_it(self.under(f"{client} {lab.FAR} 4433 https://x/data"))
        sh("cmp www/data got/data")
        self.assertGreater(self.told()[0], 0)

    @needs("node")
    def test_node(self):
        script = self.file("send.js", f"""
const s = require('dgram').createSocket('udp4');
let n = 0;
const next = () => n == 50 ? s.close() : s.send(String(n++), {PORT}, '{lab.FAR}', next);
next();""")
        receiver = lab.Receiver("far", (lab.FAR, PORT))
        try:
            self.both(["node", script])
            self.assertEqual([int(p) for p in receiver.payloads()], list(range(50)) * 2)
        finally:
            receiver.close()

    def test_an_edge_triggered_server(self):
        script = self.file("echo.py", f"""
import select, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setblocking(False)
s.bind(('{lab.NEAR}', {PORT}))
e = select.epoll()
e.register(s, select.EPOLLIN | select.EPOLLET | select.EPOLLOUT)
while True:
    e.poll()
    try:
        while True:
            data, peer = s.recvfrom(2000)
            s.sendto(data, peer)
    except BlockingIOError:
        pass
""")
        self.serve("near", PORT, self.under(["python3", script]))
        s = lab.udp_socket("far")
        s.settimeout(2)
        for i in range(200):
            s.sendto(b"%d" % i, (lab.NEAR, PORT))
            self.assertEqual(s.recv(100), b"%d" % i)
        s.close()


class AsyncPrograms(Programs):
    doorbell = "async"


if __name__ == "__main__":
    lab.enter()
    del sys.argv[2:4]
    lab.main()
