# SPDX-License-Identifier: Apache-2.0
"""`txpath explain tcp`: the SYN of a connection, and connect()'s errno, against the real kernel's."""
import errno
import socket
import struct
import unittest

import lab

DF = {"dont": 0, "want": 1, "do": 2, "probe": 3}
OPTIONS = {"oif": (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, str.encode),
           "mark": (socket.SOL_SOCKET, socket.SO_MARK, lambda v: int(v, 0)),
           "tos": (socket.IPPROTO_IP, socket.IP_TOS, lambda v: int(v, 0)),
           "ttl": (socket.IPPROTO_IP, socket.IP_TTL, lambda v: int(v, 0)),
           "df": (socket.IPPROTO_IP, 10, DF.get)}  # IP_MTU_DISCOVER


def address(text):
    host, _, port = text.partition(":")
    return host, int(port or 0)


def kernel_connect(words):
    """Does with the kernel what the words ask. Answers the errno's name, or None."""
    given = dict(zip(words.split()[::2], words.split()[1::2]))

    def run():
        with socket.socket() as s:
            s.setblocking(False)
            try:
                for word, (level, option, value) in OPTIONS.items():
                    if word in given:
                        s.setsockopt(level, option, value(given[word]))
                if "from" in given:
                    s.bind(address(given["from"]))
                s.connect(address(given["to"]))
            except BlockingIOError:
                pass
            except OSError as e:
                return errno.errorcode[e.errno]
            return None

    return lab.in_netns("near", run)


def masked(frame, fields):
    """The SYN with its random fields zero and the checksums of what is left."""
    f = bytearray(frame)
    tcp = 14 + (f[14] & 15) * 4
    if "ip.id" in fields:
        f[18:20] = b"\0\0"
    if "tcp.sport" in fields:
        f[tcp:tcp + 2] = b"\0\0"
    f[tcp + 4:tcp + 8] = bytes(4)
    at, end = tcp + 20, tcp + (f[tcp + 12] >> 4) * 4
    while at < end:
        if f[at] == 1:
            at += 1
            continue
        if f[at] == 8:
            f[at + 2:at + 6] = bytes(4)
        at += f[at + 1]
    f[24:26] = b"\0\0"
    f[24:26] = struct.pack("!H", ~lab.internet_sum(bytes(f[14:tcp])) & 0xFFFF)
    f[tcp + 16:tcp + 18] = b"\0\0"
    pseudo = bytes(f[26:34]) + struct.pack("!HH", 6, len(f) - tcp)
    check = ~lab.internet_sum(pseudo + bytes(f[tcp:])) & 0xFFFF
    f[tcp + 16:tcp + 18] = struct.pack("!H", check or 0xFFFF)
    return bytes(f)


class ExplainTcp(unittest.TestCase):
    def setUp(self):
        lab.make()
        self.sniffer = lab.sniffer()

    def tearDown(self):
        self.sniffer.close()
        lab.remove()

    def same(self, words, verdict="sent"):
        lab.frames(self.sniffer, 0.02)
        r = lab.txpath(f"explain tcp {words} -j")
        self.assertEqual((r.code, r.err), ({"sent": 0}.get(verdict, 1), ""))
        j = r.json
        self.assertEqual((j["verdict"], j["errno"]), (verdict, kernel_connect(words)), words)
        self.assertEqual(j["flow"]["proto"], "tcp")
        syns = [f for f in lab.frames(self.sniffer, protocol=socket.IPPROTO_TCP)
                if f[14 + (f[14] & 15) * 4 + 13] & 0x16 == 0x02]  # and not the far side's resets
        seen = [masked(f, j["masked"]).hex() for f in syns]
        self.assertEqual(seen, [f["hex"] for f in j["frames"]], words)
        return j

    def sysctl(self, line):
        lab.sh(f"ip netns exec near sysctl -qw {line}")

    def test_the_syn_is_the_kernels(self):
        j = self.same(f"to {lab.FAR}:80")
        self.assertEqual(j["masked"], ["tcp.sport", "tcp.seq", "tcp.options.timestamp.tsval", "ip.id"])
        self.assertEqual([s["stage"] for s in j["stages"]][:5],
                         ["tcp_v4_connect", "ip_route_output_flow", "__tcp_transmit_skb",
                          "__ip_queue_xmit", "__ip_local_out"])
        self.same(f"from {lab.NEAR}:1234 to {lab.FAR}:80 tos 0x13 ttl 9 df dont")
        self.same(f"to {lab.FAR}:1 mark 4 oif va")
        self.same(f"to {lab.FAR}:0")

    def test_failures_of_connect_are_the_kernels(self):
        lab.sh("ip -n near route add prohibit 10.60.0.0/16")
        for words in ("to 10.77.0.255:80", "to 224.0.0.1:8", "to 10.99.0.1:5",
                      f"from 10.1.2.3:5 to {lab.FAR}:6", "to 10.60.0.1:80"):
            self.same(words, "error")

    def test_a_routes_metrics_are_in_the_offer(self):
        lab.sh(f"ip -n near route add 10.50.0.0/16 via {lab.FAR} advmss 900 initrwnd 3 window 5000 "
               "mtu 1400 features ecn")
        self.same("to 10.50.0.1:80")
        lab.sh(f"ip -n near route add 10.51.0.0/16 via {lab.FAR} mtu 600")
        self.same("to 10.51.0.1:80")

    def test_sysctls_are_in_the_offer(self):
        for line in ("net.ipv4.tcp_timestamps=0", "net.ipv4.tcp_sack=0 net.ipv4.tcp_ecn=1",
                     "net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_timestamps=1",
                     "net.ipv4.tcp_rmem='4096 20000 900000' net.ipv4.tcp_window_scaling=1",
                     "net.ipv4.tcp_workaround_signed_windows=1 net.ipv4.tcp_rmem='4096 131072 900000'",
                     "net.ipv4.ip_no_pmtu_disc=1 net.ipv4.ip_default_ttl=33"):
            self.sysctl(line)
            self.same(f"to {lab.FAR}:80")

    def test_a_datagrams_words_are_refused(self):
        for word in ("len 5", "gso 100", "broadcast", "data x"):
            r = lab.txpath(f"explain tcp to {lab.FAR}:80 {word}")
            self.assertEqual((r.code, r.out), (2, ""))
            self.assertIn("unknown word, known with tcp are", r.err)


if __name__ == "__main__":
    lab.enter()
    lab.main()
