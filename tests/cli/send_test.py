# SPDX-License-Identifier: Apache-2.0
"""`txpath send`: what arrives at an ordinary kernel socket, and what it reports."""
import hashlib
import json
import os
import shutil
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

    def test_traces_are_a_line_an_event_of_one_datagram_in_n(self):
        out = self.send("--count 5 --trace 2").out
        flow = rf"{lab.NEAR}:\d+ > {lab.FAR}:{PORT} udp"
        for n in (1, 2, 3):
            self.assertRegex(out, rf"(?m)^\d\d:\d\d:\d\d\.\d{{9}} #{n} +0\.0 us  sock_sendmsg +{flow} +100 B  ok$")
            self.assertRegex(out, rf"(?m)^\S+ #{n} +\S+ us  ndo_start_xmit +{flow} +142 B  ok$")
        self.assertNotIn("#4 ", out)

    def trace(self, words, name, code=0):
        path = os.path.join(self.dir.name, name)
        r = lab.txpath(f"send {words} --trace-to {path}")
        self.assertEqual(r.code, code, r.err)
        self.assertNotIn("#1 ", r.out)
        with open(path, "rb") as f:
            return f.read(), path

    def test_traces_as_json_lines(self):
        lines, _ = self.trace(f"to {lab.FAR}:{PORT} --count 2 --trace 1", "t.jsonl")
        events = [json.loads(l) for l in lines.splitlines()]
        first = [e for e in events if e["packet"] == 1]
        self.assertEqual([e["stage"] for e in first][:3], ["sock_sendmsg", "inet_sendmsg", "udp_sendmsg"])
        self.assertEqual(first[-1]["stage"], "ndo_start_xmit")
        self.assertEqual([e["since_ns"] for e in first], sorted(e["since_ns"] for e in first))
        self.assertAlmostEqual(first[0]["t"] / 1e9, time.time(), delta=60)
        self.assertEqual((first[0]["flow"]["dst"], first[0]["flow"]["dport"]), (lab.FAR, PORT))
        self.assertEqual({e["packet"] for e in events}, {1, 2})

    def test_traces_for_perfetto(self):
        trace, _ = self.trace(f"to {lab.FAR}:{PORT} --count 2 --trace 1", "t.json")
        events = json.loads(trace)["traceEvents"]
        slices = [e for e in events if e["ph"] == "X"]
        self.assertEqual({e["tid"] for e in slices}, {1, 2})
        self.assertTrue(all(e["dur"] > 0 and e["ts"] > 0 for e in slices))
        self.assertIn("ip_output", {e["name"] for e in slices})

    @unittest.skipIf(shutil.which("tshark") is None, "no tshark")
    def test_traces_for_wireshark(self):
        _, path = self.trace(f"to {lab.FAR}:{PORT} --count 2 --len 3000 --trace 1", "t.pcapng")
        done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.interface_name",
                               "-e", "frame.packet_id", "-e", "frame.comment", "-e", "ip.dst",
                               "-e", "_ws.malformed"], capture_output=True, text=True)
        self.assertEqual([l for l in done.stderr.splitlines() if "root" not in l], [])
        rows = [l.split("\t") for l in done.stdout.splitlines()]
        self.assertIn(["ip_output", "1", "packet 1, ip_output: ok; dev va", lab.FAR, ""], rows)
        self.assertEqual(sum(r[:2] == ["ndo_start_xmit", "2"] for r in rows), 3)  # its fragments
        self.assertTrue(all(r[3] == lab.FAR and r[4] == "" for r in rows))

    @unittest.skipIf(shutil.which("tshark") is None, "no tshark")
    def test_the_dissector_makes_fields_of_the_comments(self):
        _, path = self.trace(f"to {lab.FAR}:{PORT} --count 20 --trace 1 --device va=fault(drop=0.5,seed=1)/null",
                             "t.pcapng", code=1)
        lua = os.path.join(os.path.dirname(__file__), "../../packaging/txpath.lua")
        show = lambda *w: subprocess.run(["tshark", "-X", f"lua_script:{lua}", "-r", path, *w],
                                         capture_output=True, text=True).stdout
        rows = show("-Y", "txpath.reason", "-T", "fields", "-e", "txpath.stage", "-e", "txpath.result",
                    "-e", "txpath.reason").splitlines()
        self.assertTrue(2 < len(rows) < 18, rows)
        self.assertEqual(set(rows), {"ndo_start_xmit\tdrop\tTXPATH_FAULT_INJECTED"})
        self.assertEqual(show("-Y", "txpath.packet == 2 && txpath.stage == \"ip_output\"", "-T", "fields",
                              "-e", "txpath.by"), "dev va\n")

    def test_traces_are_chosen_by_filter_and_by_drops(self):
        to = f"to {lab.FAR}:{PORT} --count 40"
        lines, _ = self.trace(f"{to} --trace 1 --drop-only --device va=fault(drop=0.5,seed=1)/null",
                              "d.jsonl", code=1)
        events = [json.loads(l) for l in lines.splitlines()]
        lost = {e["packet"] for e in events if e["reason"] == "TXPATH_FAULT_INJECTED"}
        self.assertEqual({e["packet"] for e in events}, lost)
        self.assertTrue(5 < len(lost) < 35)
        for expression, matches in ((f"udp port {PORT}", 40), ("udp port 9", 0), (f"dst host {lab.FAR}", 40),
                                    ("greater 143", 0), ("less 142", 40), ("tcp", 0)):
            path = os.path.join(self.dir.name, "f.jsonl")
            r = lab.txpath(["send", *to.split(), "--trace", "1", "--trace-filter", expression,
                            "--trace-to", path])
            self.assertEqual(r.code, 0, r.err)
            with open(path) as f:
                self.assertEqual(len({json.loads(l)["packet"] for l in f}), matches, expression)
        r = lab.txpath([*f"send {to} --trace 1 --trace-filter".split(), "udp prot 9"])
        self.assertEqual((r.code, r.out), (2, ""))
        self.assertIn("--trace-filter udp prot 9: ", r.err)

    def test_latency_is_measured_when_asked_for(self):
        j = self.send("--count 50 -j").json
        self.assertIsNone(j["ns"]["p50"])
        j = self.send("--count 50 --latency call -j").json
        self.assertEqual(j["ns"]["count"], 50)
        self.assertTrue(100 < j["ns"]["p50"] <= j["ns"]["p99"] < 1e9)
        self.assertIsNone(j["stages"]["ip_output"]["ns"]["p50"])
        j = self.send("--count 50 --latency stage -j").json
        self.assertEqual(j["stages"]["ip_output"]["ns"]["count"], 50)
        stages = sum(s["ns"].get("sum", 0) for s in j["stages"].values())
        self.assertLess(j["ns"]["sum"], stages * 1.5)

    def test_a_failure_names_its_cause_and_what_would_let_it_pass(self):
        lab.sh("ip -n near route add prohibit 10.50.0.0/16")
        r = lab.txpath("send to 10.50.0.1:9 -j")
        self.assertEqual(r.code, 1)
        self.assertIn("at ip_route_output_flow; to let it pass: ip route del prohibit", r.err)
        f, = r.json["failures"]
        self.assertEqual((f["errno"], f["stage"], f["times"]), ("EACCES", "ip_route_output_flow", 1))
        self.assertIn("route prohibit 10.50.0.0/16", f["object"])
        f, = lab.txpath("send to 10.77.0.9:9 --count 3 -j").json["failures"]
        self.assertEqual((f["errno"], f["reason"], f["times"]), (None, "NEIGH_FAILED", 3))
        self.assertIn("10.77.0.9 must answer ARP on va", f["change"])

    def test_a_trace_goes_on_when_the_neighbour_answers(self):
        lab.sh(f"ip -n near neigh del {lab.FAR} dev va")
        out = self.send("--trace 1").out
        self.assertRegex(out, r"(?m)neigh_resolve_output .* queued")
        self.assertRegex(out, r"(?m)#1 .* ndo_start_xmit ")
        r = lab.txpath("send to 10.77.0.9:9 --trace 1")
        self.assertRegex(r.out, r"(?m)#1 .* neigh_resolve_output .* drop NEIGH_FAILED")

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
        lab.sh("tc -n near qdisc add dev va root handle 8001: htb; tc -n near filter add dev va "
               "parent 8001: protocol ip prio 7 bpf bytecode '1,6 0 0 0,' flowid 8001:1")
        r = lab.txpath(f"send to {lab.FAR}:9")
        self.assertEqual(r.code, 3, r.err)
        self.assertIn("bpf", r.err)

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
