# SPDX-License-Identifier: Apache-2.0
"""`txpath explain`: its contract, and its frames and errnos against those of the real kernel."""
import errno
import json
import os
import socket
import struct
import tempfile
import unittest

import lab

DF = {"dont": 0, "want": 1, "do": 2, "probe": 3}


def kernel_send(words):
    """Does with the kernel what the words ask. Answers the errno's name, or None."""
    w = words.split()
    value = lambda name: w[w.index(name) + 1] if name in w else None
    number = lambda name: int(value(name), 0)
    split = lambda a: (a.split(":")[0], int(a.split(":")[1]) if ":" in a else 0)

    def run():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                if "oif" in w:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, value("oif").encode())
                if "mark" in w:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, number("mark"))
                if "broadcast" in w:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if "tos" in w:
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, number("tos"))
                if "ttl" in w:
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, number("ttl"))
                    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, number("ttl"))
                if "df" in w:
                    s.setsockopt(socket.IPPROTO_IP, 10, DF[value("df")])  # IP_MTU_DISCOVER
                if "gso" in w:
                    s.setsockopt(socket.IPPROTO_UDP, 103, number("gso"))  # UDP_SEGMENT
                if "uid" in w:
                    os.fchown(s.fileno(), number("uid"), -1)
                if "from" in w:
                    s.bind(split(value("from")))
                s.sendto(bytes(number("len")) if "len" in w else bytes(100), split(value("to")))
            except OSError as e:
                return errno.errorcode[e.errno]
            return None

    return lab.in_netns("near", run)


class Explain(unittest.TestCase):
    def setUp(self):
        self.mac = lab.make()
        self.sniffer = lab.sniffer()
        self.dir = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.sniffer.close()
        self.dir.cleanup()
        lab.remove()

    def explain(self, words, code=0):
        r = lab.txpath(f"explain udp {words} -j")
        self.assertEqual(r.code, code, r.err + r.out)
        self.assertEqual(r.err, "")
        self.assertEqual(r.out.count("\n"), 1)
        return r.json

    def same(self, words, verdict="sent"):
        """The engine's frames and errno are the kernel's."""
        lab.frames(self.sniffer, 0.02)
        j = self.explain(words, {"sent": 0, "queued": 0}.get(verdict, 1))
        self.assertEqual(j["verdict"], verdict, j)
        error = kernel_send(words)
        self.assertEqual(j["errno"], error, j)
        seen = [lab.masked(lab.complete(f), j["masked"]).hex() for f in lab.frames(self.sniffer)]
        self.assertEqual(seen, [f["hex"] for f in j["frames"]], words)
        return j

    def test_the_change_it_names_lets_the_datagram_pass(self):
        for setup in ("ip -n near route add prohibit 10.50.0.0/16",
                      "ip -n near route add unreachable 10.50.0.0/16 table 7;"
                      "ip -n near rule add to 10.50.0.0/16 lookup 7",
                      "ip -n near rule add to 10.50.0.0/16 prohibit priority 90",
                      "ip -n near route add blackhole 10.50.0.0/16"):
            lab.sh(f"{setup}; ip -n near route replace default via {lab.FAR}")
            stopped = lab.txpath("explain udp to 10.50.0.1:53 -j").json
            self.assertEqual(stopped["verdict"], "error", setup)
            lab.sh("ip netns exec near " + stopped["change"])
            self.assertEqual(lab.txpath("explain udp to 10.50.0.1:53 -j").json["verdict"], "sent", setup)
        for ruleset in ("chain output { type filter hook output priority 0; udp dport 123 drop; udp dport 53 drop; }",
                        "chain output { type filter hook output priority 0; policy drop; udp dport 123 accept; }",
                        "chain leave { type filter hook postrouting priority 0; ip daddr 10.50.0.0/16 drop; }"):
            lab.sh(f"ip netns exec near nft 'table inet filter {{ {ruleset}; }}'")
            stopped = lab.txpath("explain udp to 10.50.0.1:53 -j").json
            self.assertIn(stopped["verdict"], ("error", "dropped"), ruleset)
            lab.sh("ip netns exec near " + stopped["change"])
            self.assertEqual(lab.txpath("explain udp to 10.50.0.1:53 -j").json["verdict"], "sent", ruleset)
            lab.sh("ip netns exec near nft flush ruleset")
        lab.sh(f"ip -n near route del default; ip -n near link set va mtu 1000")
        change = lab.txpath(f"explain udp to {lab.FAR}:53 df do len 1200 -j").json["change"]
        self.assertIn("at most 972 bytes", change)
        self.assertEqual(lab.txpath(f"explain udp to {lab.FAR}:53 df do len 972 -j").json["verdict"], "sent")
        self.assertIn("SO_BROADCAST", lab.txpath("explain udp to 10.77.0.255:53").out)

    def test_over_ipv6_the_frames_are_the_kernels(self):
        lab.sh("""ip netns exec near sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.auto_flowlabels=0 &&
            ip -n near addr add 2001:db8:77::1/64 dev va nodad &&
            ip -n near -6 route add 2001:db8:9::/48 via 2001:db8:77::2 mtu 1300 &&
            ip -n near -6 route add prohibit 2001:db8:66::/48""")
        lab.sh(f"ip -n near neigh replace 2001:db8:77::2 lladdr {self.mac} dev va nud permanent")

        def kernel(to, size):
            def run():
                with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
                    try:
                        s.bind(("2001:db8:77::1", 4000))
                        s.sendto(bytes(size), (to, 53))
                    except OSError as e:
                        return errno.errorcode[e.errno]
            return lab.in_netns("near", run)

        for to, size in (("2001:db8:77::2", 100), ("2001:db8:77::2", 0), ("2001:db8:9::1", 1252),
                         ("2001:db8:66::1", 100), ("2001:db8:99::1", 100)):
            lab.frames6(self.sniffer, 0.02)
            words = f"from [2001:db8:77::1]:4000 to [{to}]:53 len {size}"
            code = 0 if to.split(":")[2] in ("77", "9") else 1
            j = self.explain(words, code)
            self.assertEqual(j["errno"], kernel(to, size), words)
            self.assertEqual([f["hex"] for f in j["frames"]],
                             [lab.complete6(f).hex() for f in lab.frames6(self.sniffer)], words)
        self.assertEqual(j["errno"], "ENETUNREACH")
        j = self.explain("to [2001:db8:9::1]:53")
        self.assertEqual(j["flow"]["src"], "2001:db8:77::1")
        route = next(s for s in j["stages"] if s["stage"] == "ip6_dst_lookup_flow")
        self.assertEqual(route["out"], {"dev": "va", "gateway": "2001:db8:77::2",
                                        "src": "2001:db8:77::1", "mtu": 1300})
        self.assertIn("IPv4 only", lab.txpath("explain tcp to [2001:db8:9::1]:80").err)

    def test_keys_are_the_contracts(self):
        j = self.explain(f"to {lab.FAR}:53 len 100")
        self.assertEqual(list(j), ["flow", "stages", "verdict", "frames", "errno", "reason",
                                   "dropped_at", "unknown", "masked", "change"])
        self.assertEqual(j["flow"], {"proto": "udp", "src": lab.NEAR, "sport": None,
                                     "dst": lab.FAR, "dport": 53, "len": 100})
        self.assertEqual((j["verdict"], j["errno"], j["reason"], j["dropped_at"], j["unknown"]),
                         ("sent", None, None, None, []))
        self.assertEqual(j["masked"], ["udp.sport", "ip.id"])
        self.assertEqual([f["dev"] for f in j["frames"]], ["va"])
        self.assertEqual(j["frames"][0]["len"], 142)
        self.assertEqual(len(j["frames"][0]["hex"]), 284)
        route = next(s for s in j["stages"] if s["stage"] == "ip_route_output_flow")
        self.assertEqual(route["result"], "ok")
        self.assertEqual(route["out"], {"dev": "va", "gateway": None, "src": lab.NEAR, "mtu": 1500})
        # What a script picks out: the last rule and the route that decided.
        rule = [o for o in route["by"] if o["kind"] == "rule"][-1]
        self.assertEqual(rule, {"kind": "rule", "priority": 32766, "text": "from all lookup main"})
        table = [o for o in route["by"] if o["kind"] == "route"][-1]
        self.assertEqual(table, {"kind": "route", "table": 254, "text":
                                 "10.77.0.0/24 dev va proto kernel scope link src 10.77.0.1"})

    def test_stages_come_in_the_paths_order(self):
        names = [s["stage"] for s in self.explain(f"to {lab.FAR}:53")["stages"]]
        self.assertEqual(names[:5], ["sock_sendmsg", "inet_sendmsg", "inet_autobind",
                                     "udp_sendmsg", "ip_route_output_flow"])
        self.assertEqual(names[-1], "ndo_start_xmit")

    def test_frames_and_errnos_are_the_kernels(self):
        self.same(f"to {lab.FAR}:53 len 100")
        self.same(f"to {lab.FAR}:53 len 0")
        self.same(f"from {lab.NEAR}:1000 to {lab.FAR}:53 len 33 tos 0x10 ttl 7 df dont")
        self.same(f"from 0.0.0.0:1001 to {lab.FAR}:53 len 1472 df do")
        self.same(f"from {lab.NEAR}:1000 to {lab.FAR}:53 len 4000")
        self.same(f"from {lab.NEAR}:1000 to {lab.FAR}:53 len 1473 df do", "error")
        self.same(f"to {lab.FAR}:53 len 65508", "error")
        self.same(f"to 239.1.1.1:9 len 10 oif va")
        self.same("to 10.77.0.255:9", "error")
        self.same("to 10.77.0.255:9 broadcast len 3")
        self.same("to 255.255.255.255:9 broadcast oif va len 3")
        self.same("to 127.255.255.255:9 oif va broadcast")  # lo's, and yet no ARP for it on va
        self.same("to 10.99.0.1:9", "error")
        self.same(f"to {lab.FAR}:0", "error")
        self.same(f"to {lab.FAR}:9 oif nosuch", "error")
        self.same(f"from 10.1.2.3:9 to {lab.FAR}:9", "error")
        self.same(f"to {lab.FAR}:9 ttl 0", "error")
        self.same("to 224.0.0.1:9 len 10 oif va ttl 5")
        self.same("from 10.77.0.255:9 to 10.77.0.2:9")
        self.same(f"from 127.0.0.1:9 to {lab.FAR}:9", "error")
        self.same("to 127.0.0.1:9 oif va len 3", "queued")

    def test_route_types_give_their_errnos(self):
        for kind, error in (("blackhole", "EINVAL"), ("unreachable", "EHOSTUNREACH"),
                            ("prohibit", "EACCES")):
            lab.sh(f"ip -n near route add {kind} 10.50.0.0/16")
            j = self.same("to 10.50.0.1:9", "error")
            self.assertEqual(j["errno"], error)
            lab.sh(f"ip -n near route del {kind} 10.50.0.0/16")

    def test_segmentation_is_the_kernels(self):
        lab.sh("ip netns exec near ethtool -K va tx-udp-segmentation off")
        j = self.same(f"from {lab.NEAR}:1000 to {lab.FAR}:9 len 1000 gso 300")
        self.assertEqual([f["len"] for f in j["frames"]], [342, 342, 342, 142])
        self.same(f"to {lab.FAR}:9 len 1000 gso 300")
        self.same(f"to {lab.FAR}:9 len 3000 gso 1473", "error")
        lab.sh("ip netns exec near ethtool -K va tx-udp-segmentation on")
        j = self.explain(f"from {lab.NEAR}:1000 to {lab.FAR}:9 len 1000 gso 300")
        self.assertEqual([f["len"] for f in j["frames"]], [342, 342, 342, 142])

    def test_gateways_and_next_hops(self):
        lab.sh(f"""ip -n near route add 10.61.0.0/16 via {lab.FAR} &&
               ip -n near route add 10.62.0.0/16 dev va &&
               ip -n near route add 10.63.0.0/16 via 10.88.0.1 dev va onlink mtu lock 900 &&
               ip -n near neigh add 10.88.0.1 lladdr 02:00:00:00:00:99 dev va nud permanent &&
               ip -n near neigh add 10.62.0.1 lladdr 02:00:00:00:00:62 dev va nud permanent""")
        self.same("to 10.61.0.1:9")
        self.same("to 10.62.0.1:9")
        self.same("from 0.0.0.0:1000 to 10.63.0.1:9 len 1200")
        self.same("to 10.63.0.1:9 len 1200 df do", "error")

    def test_this_host_itself(self):
        self.sniffer.close()
        self.sniffer = lab.sniffer("near", "lo")
        for words in (f"to {lab.NEAR}:9 len 5", "to 0.0.0.0:9", "to 0.0.0.0:9 oif va",
                      f"from {lab.NEAR}:7 to 127.1.2.3:9"):
            j = self.explain(words)
            self.assertEqual((j["verdict"], [f["dev"] for f in j["frames"]]), ("sent", ["lo"]))
            self.assertIsNone(kernel_send(words))
            seen = lab.frames(self.sniffer)[0]  # and once more as it comes in
            self.assertEqual(lab.masked(lab.complete(seen), j["masked"]).hex(),
                             j["frames"][0]["hex"], words)

    def test_a_device_that_is_down(self):
        lab.sh("ip -n near link set va down")
        self.same(f"to {lab.FAR}:9", "error")
        lab.sh("ip -n near link set lo down")
        self.same("to 127.0.0.1:9", "dropped")

    def test_a_tunnels_outer_frame_is_the_kernels_and_the_inner_walk_is_told(self):
        lab.sh(f"""ip -n near link add vx0 type vxlan id 7 remote {lab.FAR} dstport 4789 srcport 5000 5001 &&
               ip -n near addr add 10.90.0.1/24 dev vx0 && ip -n near link set vx0 up &&
               ip -n near neigh add 10.90.0.2 lladdr 02:00:00:00:00:90 dev vx0 nud permanent""")
        lab.frames(self.sniffer, 0.02)
        j = self.explain("from 10.90.0.1:4000 to 10.90.0.2:9 len 33 df do")
        self.assertEqual(j["masked"], ["outer.ip.id"])
        self.assertEqual([f["dev"] for f in j["inner_frames"]], ["vx0"])
        self.assertEqual([(s["layer"], o["dev"]) for s in j["stages"] for o in s["by"]
                          if o["kind"] in ("fdb", "link")], [(0, "vx0"), (0, "vx0"), (1, "va")])
        kernel_send("from 10.90.0.1:4000 to 10.90.0.2:9 len 33 df do")
        inner = 50  # bytes of headers before the frame inside, whose checksum is the device's too
        seen = [lab.masked(lab.complete(f[:inner] + lab.complete(f[inner:])), ["ip.id"]).hex()
                for f in lab.frames(self.sniffer)]
        self.assertEqual(seen, [f["hex"] for f in j["frames"]])
        self.assertTrue(seen[0].endswith(j["inner_frames"][0]["hex"]))

    def test_a_tunnel_that_takes_its_remote_from_elsewhere_is_unknown(self):
        lab.sh("""ip -n near link add vx0 type vxlan external dstport 4789 &&
               ip -n near addr add 10.90.0.1/24 dev vx0 && ip -n near link set vx0 up &&
               ip -n near neigh add 10.90.0.2 lladdr 02:00:00:00:00:90 dev vx0 nud permanent""")
        r = lab.txpath("explain udp to 10.90.0.2:9 -j")
        self.assertEqual((r.code, r.json["verdict"]), (3, "unknown"))
        self.assertIn("vx0 (external)", r.json["unknown"][0]["text"])

    def test_policy_decides(self):
        lab.sh(f"""ip -n near route add 10.60.0.0/16 via {lab.FAR} src {lab.NEAR} table 100 &&
               ip -n near rule add fwmark 0x10 lookup 100 priority 100""")
        self.same("to 10.60.0.1:9", "error")
        j = self.same("to 10.60.0.1:9 mark 0x10")
        kinds = [(o["kind"], o.get("priority", o.get("table"))) for s in j["stages"]
                 for o in s["by"] if o["kind"] in ("rule", "route")]
        self.assertIn(("rule", 100), kinds)
        self.assertIn(("route", 100), kinds)
        if lab.has_users():
            lab.sh("ip -n near rule add uidrange 1000-1000 prohibit priority 90")
            j = self.same("to 10.60.0.1:9 mark 0x10 uid 1000", "error")
            self.assertEqual(j["errno"], "EACCES")

    def test_an_unresolved_neighbour_queues_and_nobody_is_asked(self):
        j = self.explain("to 10.77.0.9:9")
        self.assertEqual(j["verdict"], "queued")
        self.assertEqual(j["frames"], [])
        self.assertEqual(lab.frames(self.sniffer, 0.1), [])
        neigh = lab.subprocess.check_output("ip -n near neigh show 10.77.0.9", shell=True)
        self.assertEqual(neigh, b"")

    def test_a_filter_that_is_not_implemented_is_unknown(self):
        lab.sh("tc -n near qdisc add dev va root handle 8001: htb; tc -n near filter add dev va "
               "parent 8001: protocol ip prio 7 bpf bytecode '1,6 0 0 0,' flowid 8001:1")
        r = lab.txpath(f"explain udp to {lab.FAR}:9 -j")
        self.assertEqual(r.code, 3)
        j = r.json
        self.assertEqual((j["verdict"], j["frames"], j["errno"]), ("unknown", [], None))
        self.assertEqual(j["unknown"][0]["kind"], "filter")
        self.assertIn("pref 7 bpf", j["unknown"][0]["text"])
        self.assertIn("pref 7 bpf", lab.txpath(f"explain udp to {lab.FAR}:9").out)

    def test_a_shaper_sends_what_its_tokens_pay_for(self):
        lab.sh("tc -n near qdisc add dev va root handle 8001: tbf rate 8kbit burst 3100 latency 9s")
        self.assertEqual(self.explain(f"to {lab.FAR}:9 len 1000")["verdict"], "sent")
        j = self.explain(f"to {lab.FAR}:9 len 6000")
        self.assertEqual((j["verdict"], len(j["frames"])), ("queued", 2))
        self.assertIn("queued: it waits at qdisc_enqueue",
                      lab.txpath(f"explain udp to {lab.FAR}:9 len 6000").out)
        lab.sh("tc -n near qdisc replace dev va root handle 8001: tbf rate 8kbit burst 300 latency 1s")
        j = self.explain(f"to {lab.FAR}:9 len 1000", 1)
        self.assertEqual((j["verdict"], j["reason"]), ("dropped", "QDISC_DROP"))

    def test_the_class_and_the_filter_are_named(self):
        lab.sh("""tc -n near qdisc add dev va root handle 1: htb default 20
                  tc -n near class add dev va parent 1: classid 1:10 htb rate 1mbit
                  tc -n near class add dev va parent 1: classid 1:20 htb rate 1mbit
                  tc -n near filter add dev va parent 1: protocol ip prio 1 u32 \\
                    match ip dport 53 0xffff flowid 1:10""")
        words = [o["text"] for s in self.explain(f"to {lab.FAR}:53")["stages"] for o in s["by"]]
        self.assertTrue(any(w.startswith("class htb 1:10 dev va root") for w in words), words)
        self.assertTrue(any("flowid 1:10" in w for w in words), words)
        words = [o["text"] for s in self.explain(f"to {lab.FAR}:54")["stages"] for o in s["by"]]
        self.assertTrue(any(w.startswith("class htb 1:20 dev va root") for w in words), words)

    def ruleset(self, text):
        lab.sh(f"ip netns exec near nft -f - <<'END'\n{text}\nEND")

    def hook(self, answer, name="nf_hook(LOCAL_OUT)"):
        return next(s for s in answer["stages"] if s["stage"] == name)

    def test_every_rule_is_told_with_handle_and_words(self):
        self.ruleset("""table inet filter {
              chain output { type filter hook output priority 0; policy drop;
                udp dport 123 counter drop
                udp dport 9 counter accept
              }
            }""")
        r = lab.txpath(f"explain udp to {lab.FAR}:9 -j --ct new")
        self.assertEqual(r.code, 0, r.err)
        hook = self.hook(r.json)
        self.assertEqual(hook["result"], "accept")
        rule = hook["by"][0]
        self.assertEqual((rule["kind"], rule["family"], rule["table"], rule["chain"], rule["text"]),
                         ("nft-rule", "inet", "filter", "output", "udp dport 9 counter accept"))
        self.assertGreater(rule["handle"], 0)
        self.assertTrue(any("cmp" in e for e in rule["expressions"]), rule)
        other = hook["also"][0]
        self.assertEqual((other["text"], other["matched"]), ("udp dport 123 counter drop", False))

        r = lab.txpath(f"explain udp to {lab.FAR}:10 -j")
        self.assertEqual(r.code, 1, r.err)
        self.assertEqual((r.json["verdict"], r.json["errno"], r.json["reason"]),
                         ("error", "EPERM", "NETFILTER_DROP"))
        policy = self.hook(r.json)["by"][0]
        self.assertEqual(policy["kind"], "nft-chain")
        self.assertIn("policy drop", policy["text"])

    def test_a_rule_that_cannot_be_evaluated_is_unknown_and_named(self):
        self.ruleset("""table inet filter {
              chain output { type filter hook output priority 0;
                udp dport 9 counter meta mark set jhash ip saddr mod 4
              }
            }""")
        r = lab.txpath(f"explain udp to {lab.FAR}:9 -j")
        self.assertEqual(r.code, 3, r.err)
        what = r.json["unknown"][0]
        self.assertEqual((what["kind"], what["family"], what["table"], what["chain"]),
                         ("nft-rule", "inet", "filter", "output"))
        self.assertIn("jhash", what["text"])
        self.assertEqual(lab.txpath(f"explain udp to {lab.FAR}:10 -j").code, 0)

    def test_payload_comes_from_a_file(self):
        path = os.path.join(self.dir.name, "data")
        with open(path, "wb") as f:
            f.write(bytes(range(200)))
        j = self.explain(f"to {lab.FAR}:9 data {path}")
        self.assertEqual(j["flow"]["len"], 200)
        self.assertTrue(j["frames"][0]["hex"].endswith(bytes(range(200)).hex()))

    def test_a_snapshot_answers_as_the_namespace(self):
        path = os.path.join(self.dir.name, "near.jsonl")
        self.assertEqual(lab.txpath(f"snapshot {path}").code, 0)
        with open(path) as f:
            self.assertTrue(all(json.loads(line) for line in f))
        live = self.explain(f"to {lab.FAR}:53")
        saved = lab.txpath(f"explain --snapshot {path} udp to {lab.FAR}:53 -j", netns=None)
        self.assertEqual(saved.code, 0, saved.err)
        self.assertEqual(saved.json, live)

    def test_files_appear_whole_or_not_at_all(self):
        html, pcap = (os.path.join(self.dir.name, n) for n in ("x.html", "x.pcapng"))
        r = lab.txpath(f"explain udp to {lab.FAR}:53 len 3000 --html {html} --pcap {pcap}")
        self.assertEqual(r.code, 0, r.err)
        with open(html) as f:
            page = f.read()
        self.assertTrue(page.startswith("<!doctype html>"))
        self.assertTrue(page.endswith("</html>\n"))
        self.assertIn("ip_finish_output2", page)
        with open(pcap, "rb") as f:
            self.assertEqual(struct.unpack("<I", f.read(4))[0], 0x0A0D0D0A)
        self.assertEqual(sorted(os.listdir(self.dir.name)), ["x.html", "x.pcapng"])
        for option in ("--html", "--pcap"):
            r = lab.txpath(f"explain udp to {lab.FAR}:53 {option} {self.dir.name}/no/x")
            self.assertEqual(r.code, 2)
            self.assertEqual(r.out, "")
            self.assertEqual(r.err.count("\n"), 1)

    def test_text_is_as_long_as_asked(self):
        sizes = [len(lab.txpath(f"explain udp to {lab.FAR}:53 {o}").out)
                 for o in ("--minimal", "--summary", "", "--detailed")]
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertEqual(lab.txpath(f"explain udp to {lab.FAR}:53 --minimal").out,
                         "sent: 1 frame leaves on va, 142 bytes\n")


if __name__ == "__main__":
    lab.enter()
    lab.main()
