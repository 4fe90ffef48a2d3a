# SPDX-License-Identifier: Apache-2.0
"""`txpath prove`: prediction and kernel agree, and where they do not, it says so."""
import json
import os
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

import lab
from watching import need_bpf


class Prove(unittest.TestCase):
    def setUp(self):
        lab.make()
        lab.sh("""ip -n near route add 10.9.0.0/16 via 10.77.0.2 mtu 600 &&
            ip -n near route add blackhole 10.10.0.0/16 &&
            ip -n near route add prohibit 10.11.0.0/16""")

    def tearDown(self):
        lab.remove()

    def prove(self, words):
        r = lab.txpath(f"prove {words} -j")
        self.assertEqual(r.err, "", words)
        return r

    def test_they_agree(self):
        for words in ("udp to 10.77.0.2:53", "udp from 10.77.0.1:4000 to 10.77.0.2:53 len 0",
                      "udp to 10.9.1.2:53 len 1500", "udp to 10.77.0.2:53 len 65507",
                      "udp to 10.77.0.2:53 len 65508", "udp to 127.0.0.1:9 len 5000",
                      "udp to 10.77.0.1:9", "udp to 192.0.2.1:9", "udp to 10.10.0.1:9",
                      "udp to 10.11.0.1:9", "udp to 10.77.0.255:9", "udp to 10.77.0.255:9 broadcast",
                      "udp to 10.77.0.99:9", "udp to 10.77.0.2:9 len 4000 gso 1000",
                      "udp to 10.77.0.2:9 tos 0x10 ttl 3 df do mark 5 oif va",
                      "udp to 10.77.0.2:9 len 2000 df do", "udp to 10.77.0.2:9 oif nodev",
                      "udp from 10.1.1.1 to 10.77.0.2:9", "udp to 239.1.1.1:9 oif va"):
            r = self.prove(words)
            self.assertEqual((r.code, r.json["result"]), (0, "agrees"), f"{words}: {r.out}")
            self.assertTrue(r.json["errno"]["agrees"], words)

    def test_rows_hold_both_sides(self):
        r = self.prove("udp to 10.9.1.2:53 len 1500").json
        rows = {s["stage"]: s for s in r["stages"]}
        row = rows["__dev_queue_xmit"]
        self.assertEqual((row["predicted"], row["observed"], row["agrees"]),
                         ("3 packets", "3 packets, dev va", True))
        self.assertTrue(any("10.9.0.0/16 via 10.77.0.2" in by
                            for by in rows["ip_route_output_flow"]["by"]))
        self.assertEqual(rows["ip_route_output_flow"]["observed"], "dev va, table 254")
        self.assertEqual([f["len"] for f in r["frames"]["observed"]], [610, 610, 390])
        self.assertEqual(r["frames"]["observed"], r["frames"]["predicted"])

    def test_qdisc_and_its_drop(self):
        lab.sh("tc -n near qdisc add dev va root pfifo limit 100")
        r = self.prove("udp to 10.77.0.2:53")
        self.assertEqual(r.json["result"], "agrees", r.out)

    def test_unknown_is_unknown_and_shows_what_the_kernel_did(self):
        lab.sh("tc -n near qdisc add dev va root handle 1: htb default 1 && "
               "tc -n near class add dev va parent 1: classid 1:1 htb rate 1mbit && "
               "tc -n near filter add dev va parent 1: protocol ip u32 match u32 0 0 action mirred "
               "egress redirect dev lo")
        r = self.prove("udp to 10.77.0.2:53")
        if r.json["result"] != "unknown":
            self.skipTest("the engine knows this discipline")
        self.assertEqual(r.code, 3)
        self.assertTrue(r.json["unknown"])

    def test_a_scenario_says_what_the_kernel_did_instead(self):
        with tempfile.NamedTemporaryFile("w", suffix=".prove") as f:
            f.write("# what this host must do\n"
                    "must send by va: udp to 10.77.0.2:53\n"
                    "must fail ENETUNREACH: udp to 192.0.2.1:53\n"
                    "must send by lo: udp to 10.77.0.2:53   # it does not\n"
                    "must queue: udp to 10.77.0.98:53\n"
                    "must agree: udp to 10.9.1.2:53 len 1500\n")
            f.flush()
            junit = f.name + ".xml"
            r = lab.txpath(["prove", "--scenario", f.name, "--junit", junit])
            self.assertEqual(r.code, 1, r.out + r.err)
            self.assertIn("4 passed, 1 failed", r.out)
            self.assertIn("1 frames left by va", r.out)
            suite = xml.etree.ElementTree.parse(junit).getroot().find("testsuite")
            os.unlink(junit)
            self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("errors")),
                             ("5", "1", "0"))
            failed = [c.get("name") for c in suite if c.find("failure") is not None]
            self.assertEqual(failed, ["line 4: must send by lo: udp to 10.77.0.2:53"])

    def test_dropped_by_a_rule(self):
        lab.sh("""ip netns exec near nft 'table ip t { chain o { type filter hook output priority 0;
            udp dport 9 drop; }; }'""")
        with tempfile.NamedTemporaryFile("w", suffix=".prove") as f:
            f.write("must drop NETFILTER_DROP at nf_hook(LOCAL_OUT): udp to 10.77.0.2:9\n")
            f.flush()
            r = lab.txpath(["prove", "--scenario", f.name])
        # The kernel drops it, as said; the engine may not know rules.
        self.assertIn(r.code, (0, 3), r.out)
        if r.code == 3:
            self.assertIn("the prediction is unknown", r.out)

    def test_wrong_scenarios_name_their_line(self):
        for text, says in (("", "no line"), ("must fly: udp to 10.0.0.1:1", "line 1"),
                           ("\nmust drop at nowhere: udp to 10.0.0.1:1", "line 2: at nowhere"),
                           ("must send: udp to 10.0.0.1", "port is missing"),
                           ("must send udp to 10.0.0.1:1", "line 1")):
            with tempfile.NamedTemporaryFile("w", suffix=".prove") as f:
                f.write(text)
                f.flush()
                r = lab.txpath(["prove", "--scenario", f.name])
            self.assertEqual((r.code, r.out), (2, ""), text)
            self.assertIn(says, r.err)


if __name__ == "__main__":
    lab.enter()
    need_bpf()
    lab.main()
