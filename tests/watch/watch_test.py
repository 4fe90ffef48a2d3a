# SPDX-License-Identifier: Apache-2.0
"""`txpath watch` against real traffic: what happens is seen at its stage, with its reason, and the
totals are the kernel's own."""
import errno
import json
import os
import socket
import subprocess
import tempfile
import unittest

import lab
from watching import Watching, need_bpf

N = 20


def tx_packets():
    stats = json.loads(subprocess.check_output("ip -n near -s -j link show va", shell=True))[0]
    return stats["stats64"]["tx"]["packets"], stats["stats64"]["tx"]["bytes"]


class Watch(unittest.TestCase):
    def setUp(self):
        lab.make()
        mac = json.loads(subprocess.check_output("ip -n near -j link show va", shell=True))[0]["address"]
        lab.sh(f"ip -n far neigh replace {lab.NEAR} lladdr {mac} dev vb nud permanent")  # no ARP
        self.socket = lab.udp_socket("near")

    def tearDown(self):
        self.socket.close()
        lab.remove()

    def send(self, n=N, to=(lab.FAR, 9), payload=b"x" * 100):
        for _ in range(n):
            self.socket.sendto(payload, to)

    def test_counts_are_the_devices_own(self):
        with Watching("--count -j --interval 99") as w:
            before = tx_packets()
            self.send()
            self.send(2, payload=b"y" * 4000)
            gained = [b - a for a, b in zip(before, tx_packets())]
        t = w.last
        self.assertEqual((w.code, w.err, t["source"], t["lost"]), (0, "", "kernel", 0))
        self.assertEqual([t["devices"]["va"][k] for k in ("tx_packets", "tx_bytes")], gained)
        self.assertEqual(t["stages"]["ndo_start_xmit"]["packets"], N + 2 * 3)
        self.assertEqual(t["stages"]["__dev_queue_xmit"]["packets"], N + 2 * 3)
        self.assertEqual(t["stages"]["dev_hard_start_xmit"]["packets"], N + 2 * 3)
        self.assertEqual(t["stages"]["sock_sendmsg"], {
            "packets": N + 2, "bytes": N * 100 + 2 * 4000, "drops": {}, "errors": {}, "events": {},
            "ns": {"p50": None, "p99": None}})
        self.assertEqual(t["stages"]["ip_route_output_flow"]["packets"], N + 2)
        self.assertIn("udp_send_skb", t["unseen"] + list(t["stages"]))

    def test_files_and_records_tell_what_lines_tell(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f o { type filter hook output "
               "priority 0; }; add rule inet f o udp dport 53 drop'")
        with tempfile.TemporaryDirectory() as folder:
            names = {end: os.path.join(folder, "w." + end) for end in ("json", "jsonl", "pcapng", "db")}
            with Watching(f"--pid {os.getpid()} --trace-to {names['json']} --trace-to {names['jsonl']} "
                          f"--trace-to {names['pcapng']} --record {names['db']}") as w:
                self.send(1, payload=b"z" * 3000)
                with self.assertRaises(PermissionError):
                    self.send(1, to=(lab.FAR, 53))
            self.assertEqual((w.code, w.out, w.err), (0, "", ""))
            with open(names["jsonl"]) as f:
                lines = [json.loads(line) for line in f]
            xmit = [o for o in lines if o["event"] == "net:net_dev_xmit"]
            self.assertEqual(len({o["packet"] for o in xmit}), 1)  # three fragments of one datagram
            self.assertEqual(len(xmit), 3)
            with open(names["json"]) as f:
                chrome = json.load(f)["traceEvents"]
            self.assertEqual(len([e for e in chrome if e["name"] == "ndo_start_xmit" and e["ph"] == "i"]), 3)
            self.assertEqual([e["args"]["reason"] for e in chrome if e.get("cat") == "drop"], ["NETFILTER_DROP"])
            with open(names["pcapng"], "rb") as f:
                self.assertIn(b"nf_hook(LOCAL_OUT): drop NETFILTER_DROP", f.read())
            found = lab.txpath(["query", names["db"], "-j"], netns=None).out.splitlines()
            drop, failure = [json.loads(line) for line in found]
            self.assertEqual((drop["source"], drop["stage"], drop["reason"], drop["dport"]),
                             ("kernel", "nf_hook(LOCAL_OUT)", "NETFILTER_DROP", 53))
            self.assertEqual(drop["trace"][-1]["reason"], "NETFILTER_DROP")
            self.assertEqual((failure["kind"], failure["errno"]), ("failure", "EPERM"))

    def test_other_namespaces_do_not_count(self):
        with Watching("--count -j --interval 99") as w:
            far = lab.udp_socket("far")
            far.sendto(b"x", (lab.NEAR, 9))
            far.close()
        self.assertEqual(w.last["stages"]["sock_sendmsg"]["packets"], 0)

    def test_lines_follow_a_datagram_through_its_fragments(self):
        with Watching(f"-j --pid {os.getpid()}") as w:
            self.send(1, payload=b"z" * 3000)
        lines = [o for o in w.objects if o["flow"] and o["flow"]["dst"] == lab.FAR]
        xmit = [o for o in lines if o["event"] == "net:net_dev_xmit"]
        self.assertEqual([o["len"] for o in xmit], [1514, 1514, 82])
        self.assertEqual(len({o["packet"] for o in lines}), 1)
        self.assertEqual({o["comm"] for o in xmit}, {"python3"})
        self.assertEqual(xmit[0]["flow"]["dport"], 9)
        self.assertTrue(all(o["since_ns"] > 0 for o in xmit))
        order = [o["stage"] for o in lines if o["stage"]]
        self.assertEqual(order[:4], ["ip_route_output_flow", "__dev_queue_xmit",
                                     "dev_hard_start_xmit", "ndo_start_xmit"])
        last = [o for o in w.objects if o["event"] == "sock:sock_send_length"]
        self.assertEqual((last[0]["len"], last[0]["packet"]), (3000, lines[0]["packet"]))

    def test_segments_belong_to_their_packet(self):
        lab.sh("ip netns exec near ethtool -K va tx-udp-segmentation off")
        self.socket.setsockopt(socket.SOL_UDP, 103, 500)  # UDP_SEGMENT
        with Watching(f"-j --pid {os.getpid()}") as w:
            self.send(1, payload=b"s" * 1800)
        xmit = [o for o in w.objects if o["event"] == "net:net_dev_xmit"]
        self.assertEqual([o["len"] for o in xmit], [542, 542, 542, 342])
        queued = [o for o in w.objects if o["event"] == "net:net_dev_queue"]
        self.assertEqual(len(queued), 1)
        self.assertEqual({o["packet"] for o in xmit}, {queued[0]["packet"]})

    def test_filter_sees_only_its_packets(self):
        with Watching("--count -j --interval 99 udp and dst port 53") as w:
            self.send(5)
            self.send(7, to=(lab.FAR, 53))
            self.send(1, to=(lab.FAR, 53), payload=b"f" * 3000)  # later fragments have no port
        s = w.last["stages"]
        self.assertEqual(s["__dev_queue_xmit"]["packets"], 7 + 3)
        self.assertEqual(s["ndo_start_xmit"]["packets"], 7 + 3)
        self.assertEqual(s["sock_sendmsg"]["packets"], 7 + 1)
        self.assertEqual(s["ip_route_output_flow"]["packets"], 7 + 1)

    def test_mark_device_and_process_filters(self):
        marked = lab.udp_socket("near")
        marked.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        with Watching("--count -j --interval 99 --mark 7") as w:
            self.send(3)
            marked.sendto(b"m", (lab.FAR, 9))
        marked.close()
        self.assertEqual(w.last["stages"]["ndo_start_xmit"]["packets"], 1)
        self.assertEqual(w.last["stages"]["sock_sendmsg"]["packets"], 1)
        with Watching("--count -j --interval 99 --dev lo") as w:
            self.send(3)
            self.send(2, to=("127.0.0.1", 9))
        self.assertEqual(list(w.last["devices"]), ["lo"])
        with Watching(f"--count -j --interval 99 --pid {os.getpid()}") as w:
            self.send(3)
            subprocess.run(["ip", "netns", "exec", "near", "bash", "-c",
                            f"echo x >/dev/udp/{lab.FAR}/9"], check=True)
        self.assertEqual(w.last["stages"]["ndo_start_xmit"]["packets"], 3)

    def test_stage_filter(self):
        with Watching("-j --stage dev_queue_xmit --stage ndo_start_xmit") as w:
            self.send(1)
        self.assertEqual(w.stages(), [("__dev_queue_xmit", "net:net_dev_queue"),
                                      ("ndo_start_xmit", "net:net_dev_xmit")])

    def dropped(self, w):
        return {(d["stage"], d["reason"]): d["packets"] for d in w.last["drops"]}

    def test_dropped_by_a_rule(self):
        lab.sh("""ip netns exec near nft 'table ip t { chain o { type filter hook output priority 0;
            udp dport 9 counter drop; }; chain p { type filter hook postrouting priority 0;
            udp dport 10 counter drop; }; }'""")
        with Watching("--drops -j --interval 99") as w:
            for port in (9, 10):
                for _ in range(N):
                    try:
                        self.socket.sendto(b"x", (lab.FAR, port))
                    except PermissionError:
                        pass
        self.assertEqual(self.dropped(w), {("nf_hook(LOCAL_OUT)", "NETFILTER_DROP"): N,
                                           ("nf_hook(POST_ROUTING)", "NETFILTER_DROP"): N})
        counter = subprocess.check_output("ip netns exec near nft list ruleset", shell=True, text=True)
        self.assertEqual(counter.count(f"packets {N} "), 2)
        self.assertRegex(w.last["drops"][0]["location"], r"\A[a-z_]+\+0x")

    def test_full_qdisc(self):
        lab.sh("tc -n near qdisc add dev va root handle 7: tbf rate 8kbit burst 1600 limit 2000")
        with Watching("--count -j --interval 99") as w:
            self.send(60)
        q = json.loads(subprocess.check_output("tc -n near -s -j qdisc show dev va", shell=True))[0]
        self.assertEqual(self.dropped(w).get(("qdisc_enqueue", "QDISC_DROP"), 0) +
                         self.dropped(w).get(("qdisc_enqueue", "QDISC_OVERLIMIT"), 0), q["drops"])
        self.assertGreater(q["drops"], 0)
        seen = w.last["devices"]["va"]["qdiscs"][0]
        self.assertEqual(seen["handle"], "7:")
        self.assertEqual(seen["enqueued"], 60 - q["drops"])
        self.assertGreater(seen["max_backlog_packets"], 0)

    def test_unresolvable_neighbour(self):
        lab.sh("ip netns exec near sysctl -qw net.ipv4.neigh.va.retrans_time_ms=20")
        with Watching("--count -j --interval 99") as w:
            self.send(3, to=("10.77.0.99", 9))
            lab.time.sleep(0.5)
        self.assertEqual(self.dropped(w), {("neigh_resolve_output", "NEIGH_FAILED"): 3})
        self.assertEqual(w.last["stages"]["ip_finish_output2"]["events"]["neigh:neigh_create"] > 0, True)

    def test_device_that_is_down(self):
        lab.sh("ip -n near link set va down")
        with Watching("--count -j --interval 99") as w:
            with self.assertRaises(OSError) as e:
                self.send(1)
        self.assertEqual(e.exception.errno, errno.ENETUNREACH)
        self.assertEqual(w.last["stages"]["ip_route_output_flow"]["errors"], {"ENETUNREACH": 1})

    def test_full_send_buffer(self):
        lab.sh("tc -n near qdisc add dev va root tbf rate 8kbit burst 1600 limit 1000000")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        self.socket.setblocking(False)
        refused = 0
        with Watching("--count -j --interval 99") as w:
            for _ in range(30):
                try:
                    self.socket.sendto(b"x" * 1000, (lab.FAR, 9))
                except BlockingIOError:
                    refused += 1
        self.assertGreater(refused, 0)
        self.assertEqual(w.last["stages"]["ip_make_skb"]["errors"], {"EAGAIN": refused})

    def test_latency(self):
        with Watching("--latency -j --interval 99") as w:
            self.send(50)
        of = {(h["from"], h["to"]): h for h in w.last["latency"]}
        for pair in (("call", "__dev_queue_xmit"), ("dev_hard_start_xmit", "ndo_start_xmit"),
                     ("call", "ndo_start_xmit")):
            h = of[pair]
            self.assertEqual(h["count"], 50, pair)
            self.assertTrue(0 < h["p50"] <= h["p90"] <= h["p99"] <= h["max"], h)
        self.assertEqual(of["call", "freed"]["count"], 50)

    def test_pcap_has_what_the_driver_got(self):
        path = os.path.join("/run", "watch.pcapng")
        with Watching(f"--pcap {path} udp port 9") as w:
            self.send(2, payload=b"PAYLOAD" * 20)
        self.assertEqual((w.code, w.err), (0, ""))
        with open(path, "rb") as f:
            self.assertEqual(f.read().count(b"PAYLOAD" * 20), 2)

    def test_json_line_has_the_contracts_keys(self):
        with Watching("-j") as w:
            self.send(1)
        for o in w.objects:
            self.assertEqual([k for k in ("t", "stage", "event", "skb", "pid", "comm", "netns", "dev",
                                          "queue", "len", "flow", "reason", "location", "since_ns")
                              if k not in o], [])

    def test_ends_by_itself_and_leaves_nothing(self):
        done = lab.txpath("watch --count --seconds 0.3")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertIn("stage", done.out)

    def test_without_privilege_one_line_names_the_capability(self):
        done = subprocess.run(["setpriv", "--inh-caps=-all", "--bounding-set=-all", lab.TXPATH, "watch"],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\Atxpath: watch: CAP_[A-Z_]+ is missing[^\n]*\n\Z")


if __name__ == "__main__":
    lab.enter()
    need_bpf()
    lab.main()
