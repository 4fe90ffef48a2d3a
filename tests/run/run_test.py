# SPDX-License-Identifier: Apache-2.0
"""`txpath run`: what arrives from a program under it, what it reports, what it leaves to the
kernel."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import lab

PORT = 4000
PROBE = PROBE_STATIC = ""


class Run(unittest.TestCase):
    doorbell = "sync"

    def setUp(self):
        lab.make()
        self.receiver = lab.Receiver("far", (lab.FAR, PORT))
        self.dir = tempfile.TemporaryDirectory()
        self.stat = os.path.join(self.dir.name, "stat.json")

    def tearDown(self):
        self.receiver.close()
        self.dir.cleanup()
        lab.remove()

    def command(self, words, options=""):
        return ["ip", "netns", "exec", "near", lab.TXPATH, "run", "--doorbell", self.doorbell,
                "--stat", self.stat, *options.split(), "--", *words]

    def run_it(self, words, options="", code=0, **kwargs):
        done = subprocess.run(self.command(words, options), capture_output=True, text=True,
                              timeout=60, **kwargs)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        self.err, self.out = done.stderr, done.stdout
        with open(self.stat) as f:
            self.report = json.load(f)
        c = self.report.get("conservation")
        if c:
            self.assertEqual(c["sent"], c["delivered"] + c["dropped"] + c["queued"], c)
        return self.report

    def probe(self, what, options="--strict", **kwargs):
        return self.run_it([PROBE, lab.FAR, str(PORT), *what.split()], options, **kwargs)

    def engine(self):
        return sum(p["engine"] for p in self.report["run"])

    def kernel(self):
        return sum(p["kernel"] for p in self.report["run"])

    def texts(self):
        return [p.decode() for p in self.receiver.payloads()]

    def test_every_send_call_is_taken_over(self):
        self.probe("calls")
        self.assertEqual(self.texts(), list("0123456789"))
        self.assertEqual((self.engine(), self.kernel()), (10, 0), self.report["run"])

    def test_options_count_whoever_sets_them(self):
        sniffer = lab.sniffer()
        self.probe("options")
        got = [f for f in lab.frames(sniffer)]
        sniffer.close()
        byte = {}
        for f in got:
            byte[f[42:].rstrip(b"\0").decode()] = (f[15], f[22], f[20] >> 6 & 1)
        self.assertEqual(byte["plain"], (0, 64, 1))
        self.assertEqual(byte["tos"], (0x48, 64, 1))
        self.assertEqual(byte["ttl"], (0x48, 9, 1))
        self.assertEqual(byte["df"], (0x48, 9, 0))
        self.assertEqual(byte["new"], (0, 64, 1))
        self.assertEqual(self.texts()[-1], "dup2")

    def test_replies_reach_the_descriptor(self):
        self.receiver.reply = b"answer"
        self.probe("reply")

    def test_errors_are_the_kernels(self):
        self.probe("errors", "")
        self.probe("refused", "")

    def test_segments(self):
        self.probe("segment")
        self.assertEqual([len(t) for t in self.texts()], [100, 100, 50])

    def test_a_corked_datagram_is_the_kernels_and_stays_in_order(self):
        self.probe("cork", "")
        self.assertEqual(self.texts(), ["ab", "c"])
        self.assertEqual(self.report["fallback"].get("CORK"), 2)

    def ordered(self, texts, threads, count):
        for t in threads:
            mine = [int(x.split()[1]) for x in texts if x.split()[0] == str(t)]
            self.assertEqual(mine, list(range(count)), f"thread {t}")

    def test_threads_on_one_socket(self):
        self.probe("threads")
        self.ordered(self.texts(), range(4), 500)

    def test_children_begin_anew(self):
        self.probe("forks")
        self.ordered(self.texts(), [0, 1, 2, 3, 11, 12, 13, 20], 100)
        self.assertEqual(len(self.report["run"]), 4)
        self.assertEqual(self.engine(), 800)

    def test_a_handler_may_send(self):
        self.probe("signals", "")
        self.assertGreater(self.engine(), 100)

    def test_closing_everything_does_not_hurt(self):
        self.probe("close_all")
        self.assertEqual(self.texts(), ["before", "after"])

    def test_many_sockets(self):
        self.probe("sockets 900")
        self.assertEqual(self.texts(), [str(i) for i in range(900)])

    def test_a_killed_program_leaves_nothing_and_loses_nothing(self):
        p = subprocess.Popen(self.command([PROBE, lab.FAR, str(PORT), "flood", "64", "20"]),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.receiver.first()
        time.sleep(0.3)
        os.kill(p.pid, signal.SIGKILL)
        p.wait()
        time.sleep(0.3)
        left = subprocess.run(["pgrep", "-f", PROBE + " " + lab.FAR], capture_output=True)
        self.assertEqual(left.stdout, b"")
        self.probe("one")  # the queue is free again
        self.assertEqual(self.engine(), 1)

    def test_a_path_mtu_that_the_kernel_learns_counts(self):
        lab.sh(f"""ip netns add beyond && ip link add vc netns far type veth peer name vd netns beyond &&
            ip -n far addr add 10.78.0.1/24 dev vc && ip -n beyond addr add 10.78.0.2/24 dev vd &&
            ip -n far link set vc mtu 1400 up && ip -n beyond link set vd mtu 1400 up &&
            ip netns exec far sysctl -qw net.ipv4.ip_forward=1 &&
            ip -n beyond route add default via 10.78.0.1 &&
            ip -n near route add 10.78.0.0/24 via {lab.FAR}""")
        beyond = lab.Receiver("beyond", ("10.78.0.2", PORT))
        try:
            self.run_it([PROBE, "10.78.0.2", str(PORT), "path_mtu"], "--strict")
            self.assertEqual(beyond.payloads(), [b"2" * 1450])
        finally:
            beyond.close()
            lab.sh("ip netns del beyond")

    def test_the_exit_status_is_the_programs(self):
        for words, code in ((["sh", "-c", "exit 7"], 7), (["sh", "-c", "kill -TERM $$"], -15)):
            done = subprocess.run([lab.TXPATH, "run", "--", *words], timeout=20)
            self.assertEqual(done.returncode, code)
        done = subprocess.run([lab.TXPATH, "run", "--", "no-such-program"], capture_output=True)
        self.assertEqual(done.returncode, 127)

    def test_the_capture_and_the_trace(self):
        path = os.path.join(self.dir.name, "x.pcapng")
        self.probe("one", f"--trace 1 --pcap {path}")
        self.assertRegex(self.err, r"(?m)^#1 +0\.0 us  sock_sendmsg +3 B  ok$")
        self.assertRegex(self.err, r"(?m)^#1 +\S+ us  ndo_start_xmit +45 B  ok$")
        with open(path, "rb") as f:
            self.assertIn(b"one", f.read())
        self.assertEqual(sorted(os.listdir(self.dir.name)), ["stat.json", "x.pcapng"])


class Fallbacks(Run):
    """Each case that is the kernel's: the datagram arrives, and the reason is told."""

    def fallback(self, reason, words, what="one", lasting=True):
        self.probe(what, "--why")
        self.assertEqual(self.texts(), ["one"])
        self.assertEqual(self.report["fallback"], {reason: 1}, self.err)
        self.assertIn("not accelerated, 0 by the engine, 1 by the kernel", self.err)
        self.assertIn(words, self.err)
        if not lasting:
            return
        done = subprocess.run(self.command([PROBE, lab.FAR, str(PORT), what], "--strict"),
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("Operation not supported", done.stderr)

    def test_shaper(self):
        lab.sh("tc -n near qdisc add dev va root handle 8001: tbf rate 10mbit burst 10kb latency 1s")
        self.fallback("SHAPER", "qdisc tbf 8001: dev va root")

    def test_conntrack_by_a_rule_for_what_comes_in(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f in { type filter hook "
               "input priority 0; }; add rule inet f in ct state established accept'")
        self.fallback("CONNTRACK", "connection tracking is on")

    def test_a_rule_that_counts_on_the_way_out(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f out { type filter hook "
               "output priority 0; }; add rule inet f out udp dport 4000 counter accept'")
        self.fallback("RULE_STATE", "a firewall rule counts, limits or logs")
        rules = subprocess.check_output("ip netns exec near nft list table inet f", shell=True)
        self.assertIn(b"packets 1 ", rules)

    def test_rules_that_only_judge_are_evaluated(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f out { type filter hook "
               "output priority 0; }; add rule inet f out udp dport 4001 drop'")
        self.probe("one")
        self.assertEqual((self.engine(), self.kernel()), (1, 0))
        self.run_it([PROBE, lab.FAR, "4001", "one"], code=1)
        self.assertIn("Operation not permitted", self.err)

    def test_an_egress_program_or_filter(self):
        lab.sh("tc -n near qdisc add dev va clsact && tc -n near filter add dev va egress protocol "
               "ip u32 match ip dport 1 0xffff flowid 1:1")
        self.fallback("EGRESS_FILTER", "filter dev va egress protocol ip")

    def test_device_left_to_the_kernel(self):
        self.probe("one", "--why --device va=kernel")
        self.assertEqual(self.report["fallback"], {"DEVICE": 1})

    def test_neighbour(self):
        lab.sh(f"ip -n near neigh del {lab.FAR} dev va")
        self.fallback("NEIGHBOUR", f"the next hop is not resolved: {lab.FAR} dev va", lasting=False)

    def test_a_static_program_is_told_of(self):
        r = self.run_it([PROBE_STATIC, lab.FAR, str(PORT), "one"])
        self.assertIn("runs unaccelerated: it is statically linked", self.err)
        self.assertEqual(self.texts(), ["one"])
        self.assertEqual(r["run"], [])

    @unittest.skipUnless(lab.has_users(), "no other users here")
    def test_without_privileges_the_kernel_sends_and_one_line_says_how_to_have_them(self):
        nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all"]
        if subprocess.run([*nobody, "test", "-x", lab.TXPATH]).returncode != 0:
            self.skipTest("other users may not enter the build folder")
        done = subprocess.run(
            ["ip", "netns", "exec", "near", *nobody, lab.TXPATH, "run", "--why", "--", PROBE, lab.FAR, str(PORT), "one"],
            capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.texts(), ["one"])
        self.assertIn("runs unaccelerated: a capability is missing: CAP_NET_RAW; `setcap",
                      done.stderr)
        self.assertIn("a privilege is missing: CAP_NET_RAW", done.stderr)

    def test_this_host(self):
        here = lab.Receiver("near", (lab.NEAR, PORT))
        try:
            self.run_it([PROBE, lab.NEAR, str(PORT), "one"])
            self.assertEqual(self.report["fallback"], {"LOCAL": 1})
            self.assertEqual(here.payloads(), [b"one"])
        finally:
            here.close()

    def test_this_host_through_lo_where_a_test_namespace_allows_it(self):
        for name in ("route_localnet", "accept_local"):
            lab.sh(f"ip netns exec near sysctl -qw net.ipv4.conf.all.{name}=1")
        for address in (lab.NEAR, "127.0.0.1"):
            here = lab.Receiver("near", (address, PORT))
            try:
                self.run_it([PROBE, address, str(PORT), "one"], "--strict")
                self.assertEqual((self.engine(), self.kernel()), (1, 0))
                self.assertEqual(here.payloads(), [b"one"])
            finally:
                here.close()


for name in [n for n in dir(Run) if n.startswith("test_")]:
    setattr(Fallbacks, name, None)


class Async(Run):
    doorbell = "async"

    def test_bulk_frames_are_the_frames_without(self):
        """Cut apart by the kernel (the device's offload is off) they are the same, but for ids."""
        lab.sh("ip netns exec near ethtool -K va tx-udp-segmentation off")
        sniffer = lab.sniffer()
        seen = []
        for options in ("--strict", "--strict --no-bulk"):
            self.probe("same 300", options)
            frames = [bytearray(lab.complete(f)) for f in lab.frames(sniffer)]
            for f in frames:
                f[18:20] = f[24:26] = f[34:36] = f[40:42] = b"\0\0"  # id, its checksum, the port
            seen.append((frames, self.report["devices"]["va"]["driver"]))
        sniffer.close()
        self.assertEqual(len(seen[0][0]), 300)
        self.assertEqual(seen[0][0], seen[1][0])
        self.assertLess(seen[0][1]["af_packet_frames"], 250)
        self.assertEqual(seen[1][1].get("af_packet_frames", 300), 300)

    def test_the_devices_offload_gives_the_receiver_the_same(self):
        self.probe("same 300")
        got = self.receiver.payloads()
        self.assertEqual([int(g[:6]) for g in got], list(range(300)))
        self.assertEqual([len(g) for g in got], [100] * 299 + [50])


if __name__ == "__main__":
    lab.enter()
    PROBE_STATIC = os.path.abspath(sys.argv.pop(3))
    PROBE = os.path.abspath(sys.argv.pop(2))
    lab.main()
