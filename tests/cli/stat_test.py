# SPDX-License-Identifier: Apache-2.0
"""`txpath stat`: the kernel's counters in the report's form and in the forms of known tools."""
import re
import unittest

import lab


class Stat(unittest.TestCase):
    def setUp(self):
        lab.make()
        s = lab.udp_socket("near", (lab.NEAR, 777))
        for _ in range(5):
            s.sendto(b"x" * 100, (lab.FAR, 9))
        self.socket = s

    def tearDown(self):
        self.socket.close()
        lab.remove()

    def test_json_has_the_reports_keys(self):
        j = lab.txpath("stat -j").json
        for key in ("source", "stages", "snmp", "devices", "fallback", "plans", "conservation"):
            self.assertIn(key, j)
        self.assertEqual(j["source"], "kernel")
        self.assertGreaterEqual(j["snmp"]["Udp"]["OutDatagrams"], 5)
        self.assertGreaterEqual(j["devices"]["va"]["tx_packets"], 5)
        self.assertEqual(j["devices"]["va"]["qdiscs"][0]["kind"], "noqueue")

    def test_formats_are_those_of_the_tools(self):
        show = lambda f: lab.txpath(f"stat --format {f}").out
        self.assertRegex(show("nstat"), r"\A#kernel\n")
        self.assertRegex(show("nstat"), r"(?m)^UdpOutDatagrams +[5-9] +0\.0$")
        lab.sh("tc -n near qdisc add dev va root handle 5: pfifo limit 10")
        self.assertRegex(show("tc"), r"(?m)^qdisc pfifo 5: dev va root\n Sent \d+ bytes \d+ pkt "
                                     r"\(dropped 0, overlimits 0 requeues 0\) \n backlog 0b 0p requeues 0$")
        self.assertRegex(show("ss"), r"(?m)^UNCONN +0 +0 +10\.77\.0\.1:777 +0\.0\.0\.0:\*$")
        self.assertRegex(show("ethtool"), r"(?m)^     tx_packets: \d+$")

    def test_prometheus_text_is_well_formed(self):
        name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
        line = re.compile(rf'(# (HELP|TYPE) {name} .+|{name}(\{{({name}="[^"]*",?)*\}})? \d+)')
        text = lab.txpath("stat --format prometheus").out
        for l in text.splitlines():
            self.assertTrue(line.fullmatch(l), l)
        self.assertIn('node_netstat_Udp_OutDatagrams{source="kernel"}', text)


if __name__ == "__main__":
    lab.enter()
    lab.main()
