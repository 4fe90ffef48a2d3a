# SPDX-License-Identifier: Apache-2.0
"""`txpath send`: what arrives at an ordinary kernel socket, and what it reports."""
import hashlib
import os
import signal
import subprocess
import tempfile
import time
import unittest

import lab

PORT = 4000


class Send(unittest.TestCase):
    def setUp(self):
        lab.make()
        self.receiver = lab.Receiver("far", (lab.FAR, PORT))
        self.sniffer = lab.sniffer()
        self.dir = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.receiver.close()
        self.sniffer.close()
        self.dir.cleanup()
        lab.remove()

    def received(self):
        return self.receiver.payloads()

    def send(self, words, code=0, **kwargs):
        r = lab.txpath(f"send to {lab.FAR}:{PORT} {words}", **kwargs)
        self.assertEqual(r.code, code, r.err + r.out)
        return r

    def conserved(self, j):
        c = j["conservation"]
        self.assertEqual(c["sent"], c["delivered"] + c["dropped"] + c["queued"])
        return c

    def test_generated_datagrams_are_numbered(self):
        j = self.send("--count 20 --len 50 -j").json
        got = self.received()
        self.assertEqual(len(got), 20)
        self.assertEqual([int.from_bytes(g[:8], "big") for g in got], list(range(20)))
        self.assertTrue(all(g[8:] == bytes(range(8, 50)) for g in got))
        for key in ("stages", "snmp", "devices", "fallback", "plans", "conservation"):
            self.assertIn(key, j)
        self.assertEqual(self.conserved(j), {"sent": 20, "delivered": 20, "dropped": 0, "queued": 0})
        self.assertEqual(j["stages"]["ndo_start_xmit"]["packets"], 20)
        self.assertEqual(j["stages"]["ip_output"]["bytes"], 20 * 78)
        self.assertEqual(j["stages"]["ip_route_output_flow"]["packets"], 20)
        self.assertEqual(j["snmp"]["Udp"]["OutDatagrams"], 20)
        self.assertEqual(j["devices"]["va"]["tx_packets"], 20)

    def test_a_file_arrives_whole_and_in_order(self):
        data = os.urandom(100_003)  # fits into a receive buffer
        path = os.path.join(self.dir.name, "data")
        with open(path, "wb") as f:
            f.write(data)
        r = self.send(f"--input {path} --rate 20000")
        got = self.received()
        self.assertEqual([len(g) for g in got], [1400] * (len(data) // 1400) + [len(data) % 1400])
        self.assertEqual(hashlib.sha256(b"".join(got)).digest(), hashlib.sha256(data).digest())
        self.assertIn("conservation: 72 sent = 72 delivered + 0 dropped + 0 queued", r.out)
        self.assertRegex(r.out, r"\nip_finish_output2 +72 +")

    def test_standard_input_is_cut_into_whole_datagrams(self):
        with subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "to", f"{lab.FAR}:{PORT}",
                               "--input", "-", "--len", "10"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as p:
            for piece in (b"abc", b"defghijklm", b"n"):
                p.stdin.write(piece)
                p.stdin.flush()
                time.sleep(0.05)
            p.stdin.close()
            self.assertEqual(p.wait(20), 0)
        self.assertEqual(self.received(), [b"abcdefghij", b"klmn"])

    def test_an_unresolved_neighbour_is_asked_for_through_the_kernel(self):
        lab.sh(f"ip -n near neigh del {lab.FAR} dev va")
        self.send("--count 80 --len 1000")
        self.assertEqual(len(self.received()), 80)

    def test_a_neighbour_that_is_not_there_is_said(self):
        r = lab.txpath("send to 10.77.0.9:9 --count 2 -j")
        self.assertEqual(r.code, 1, r.err)
        self.assertEqual(self.conserved(r.json)["dropped"], 2)  # the ICMP errors arrive, on lo
        drops = [s["drops"] for s in r.json["stages"].values() if s["drops"]]
        self.assertEqual(drops, [{"NEIGH_FAILED": 2}])
        self.assertEqual(lab.frames(self.sniffer, 0.05), [])

    def test_the_rate_is_kept(self):
        started = time.monotonic()
        self.send("--count 200 --rate 400")
        self.assertGreater(time.monotonic() - started, 0.49)
        self.assertEqual(len(self.received()), 200)

    def test_a_capture_has_every_frame(self):
        path = os.path.join(self.dir.name, "x.pcapng")
        self.send(f"--count 7 --pcap {path}")
        with open(path, "rb") as f:
            capture = f.read()
        for datagram in self.received():
            self.assertIn(datagram, capture)
        self.assertEqual(os.listdir(self.dir.name), ["x.pcapng"])

    def test_trace_lines_name_the_stages(self):
        out = self.send("--count 3 --trace 2").out
        for n in (1, 2):
            self.assertRegex(out, rf"(?m)^#{n} +0\.0 us  sock_sendmsg +100 B  ok$")
            self.assertRegex(out, rf"(?m)^#{n} +\S+ us  ndo_start_xmit +142 B  ok$")
        self.assertNotIn("#3 ", out)

    def test_errors_are_the_kernels(self):
        r = lab.txpath("send to 10.99.0.1:9")
        self.assertEqual(r.code, 1)
        self.assertIn("ENETUNREACH", r.err)
        r = lab.txpath(f"send from 10.1.2.3 to {lab.FAR}:9")
        self.assertEqual(r.code, 2)
        self.assertIn("EADDRNOTAVAIL", r.err)
        r = lab.txpath(f"send to {lab.NEAR}:9")
        self.assertEqual(r.code, 2)
        self.assertIn("this host itself", r.err)
        lab.sh("tc -n near qdisc add dev va root handle 8001: tbf rate 1mbit burst 10kb latency 1s")
        r = lab.txpath(f"send to {lab.FAR}:9")
        self.assertEqual(r.code, 3, r.err)
        self.assertIn("tbf", r.err)

    def test_the_local_port_is_kept_in_the_kernel(self):
        p = subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "from", f"{lab.NEAR}:555", "to",
                              f"{lab.FAR}:{PORT}", "--count", "100", "--rate", "50"],
                             stdout=subprocess.DEVNULL)
        try:
            _, sender = self.receiver.first()
            self.assertEqual(sender, (lab.NEAR, 555))
            with self.assertRaises(OSError):
                lab.udp_socket("near", (lab.NEAR, 555))
            # A reply is no reason for "port unreachable".
            other = lab.udp_socket("far", (lab.FAR, PORT + 1))
            other.connect(sender)
            other.send(b"reply")
            time.sleep(0.1)
            other.send(b"reply")  # ECONNREFUSED otherwise
            other.close()
        finally:
            p.terminate()
            p.wait(20)

    def test_an_interrupt_ends_with_the_table(self):
        p = subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "to", f"{lab.FAR}:{PORT}",
                              "--count", "100000", "--rate", "100"], stdout=subprocess.PIPE, text=True)
        self.receiver.first()
        p.send_signal(signal.SIGINT)
        out, _ = p.communicate(timeout=20)
        self.assertEqual(p.returncode, 1)
        self.assertIn("interrupted", out)
        self.assertRegex(out, r"conservation: \d+ sent = ")

    def test_stat_shows_a_running_send(self):
        p = subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "to", f"{lab.FAR}:{PORT}",
                              "--count", "100000", "--rate", "100"], stdout=subprocess.DEVNULL)
        try:
            self.receiver.first()
            time.sleep(1.5)
            j = lab.txpath("stat -j").json
            self.assertEqual((j["source"], j["pids"]), ("txpath", [p.pid]))
            self.assertGreater(j["stages"]["udp_sendmsg"]["packets"], 50)
            self.assertEqual(lab.txpath("stat -j", netns="far").json["source"], "kernel")
        finally:
            p.terminate()
            p.wait(20)
        self.assertEqual(lab.txpath("stat -j").json["source"], "kernel")
        self.assertFalse(os.path.exists("/run/txpath"))


if __name__ == "__main__":
    lab.enter()
    lab.main()
