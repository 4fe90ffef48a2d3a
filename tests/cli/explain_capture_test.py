# SPDX-License-Identifier: Apache-2.0
"""`txpath explain --pcap IN`: every packet of a capture; `txpath diff`: two snapshots."""
import json
import os
import struct
import tempfile
import unittest

import lab


def pcap(path, frames, link_type=1):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type))
        for frame in frames:
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


class Captures(unittest.TestCase):
    def setUp(self):
        lab.make()
        self.dir = tempfile.TemporaryDirectory()
        self.capture = os.path.join(self.dir.name, "in.pcap")

    def tearDown(self):
        self.dir.cleanup()
        lab.remove()

    def explain(self, options="-j", code=0):
        r = lab.txpath(f"explain --pcap {self.capture} {options}")
        self.assertEqual(r.code, code, r.err + r.out)
        return r

    def test_what_the_kernel_sent_is_explained_as_it_was_sent(self):
        sniffer = lab.sniffer()
        payloads = [b"", b"a", bytes(range(256)), bytes(1472)]
        s = lab.udp_socket("near", (lab.NEAR, 4000))
        for p in payloads:
            s.sendto(p, (lab.FAR, 53))
        frames = lab.frames(sniffer)
        sniffer.close()
        s.close()
        self.assertEqual(len(frames), len(payloads))
        pcap(self.capture, frames)
        answers = [json.loads(line) for line in self.explain().out.splitlines()]
        self.assertEqual([a["verdict"] for a in answers], ["sent"] * len(frames))
        self.assertEqual([a["frames"][0]["hex"] for a in answers],
                         [lab.masked(lab.complete(f), ["ip.id"]).hex() for f in frames])
        text = self.explain("").out.splitlines()
        self.assertEqual(text[0], "udp 10.77.0.1:4000 > 10.77.0.2:53, 0 bytes: "
                                  "sent: 1 frame leaves on va, 42 bytes")

    def test_the_worst_answer_is_the_exit_status(self):
        r = lab.txpath(f"explain udp from {lab.NEAR}:7 to {lab.FAR}:9 -j").json
        ours = bytes.fromhex(r["frames"][0]["hex"])
        foreign = bytearray(ours)
        foreign[26:30] = bytes([10, 1, 2, 3])
        pcap(self.capture, [ours, bytes(foreign)])
        answers = [json.loads(line) for line in self.explain(code=1).out.splitlines()]
        self.assertEqual([(a["verdict"], a["errno"]) for a in answers],
                         [("sent", None), ("error", "EADDRNOTAVAIL")])
        syn = bytes.fromhex(lab.txpath(f"explain tcp from {lab.NEAR}:7 to {lab.FAR}:9 -j")
                            .json["frames"][0]["hex"])
        ack = bytearray(syn)
        ack[47] |= 0x10
        pcap(self.capture, [syn, bytes(ack), ours])
        answers = [json.loads(line) for line in self.explain(code=3).out.splitlines()]
        self.assertEqual([a["verdict"] for a in answers], ["sent", "unknown", "sent"])
        self.assertEqual(answers[0]["frames"][0]["hex"], syn.hex())
        self.assertIn("not the first SYN", answers[1]["unknown"][0]["text"])

    def test_what_is_passed_over_is_said(self):
        arp = bytes(12) + b"\x08\x06" + bytes(28)
        pcap(self.capture, [arp, arp])
        r = lab.subprocess.run([lab.TXPATH, "--netns", "near", "explain", "--pcap", self.capture],
                               capture_output=True, text=True)
        self.assertEqual((r.returncode, r.stdout), (0, ""))
        self.assertIn("2 packets not explained: not IPv4\n", r.stderr)

    def test_a_bad_capture_is_one_error(self):
        for content in (b"", b"no capture at all", b"\xd4\xc3\xb2\xa1" + bytes(10)):
            with open(self.capture, "wb") as f:
                f.write(content)
            r = self.explain(code=2)
            self.assertEqual((r.out, r.err.count("\n")), ("", 1))
        pcap(self.capture, [], link_type=147)
        self.assertIn("link layer", self.explain(code=2).err)

    def test_diff_tells_what_changes_for_a_packet(self):
        old, new = (os.path.join(self.dir.name, n) for n in ("old.jsonl", "new.jsonl"))
        lab.sh(f"ip -n near route add 10.9.0.0/16 via {lab.FAR}")
        self.assertEqual(lab.txpath(f"snapshot {old}").code, 0)
        lab.sh("ip -n near route replace prohibit 10.9.0.0/16")
        self.assertEqual(lab.txpath(f"snapshot {new}").code, 0)
        r = lab.txpath(f"diff {old} {new} udp to {lab.FAR}:53 -j", netns=None)
        self.assertEqual((r.code, r.json["same"], r.json["changes"]), (0, True, []))
        r = lab.txpath(f"diff {old} {new} udp to 10.9.1.1:53 -j", netns=None)
        self.assertEqual((r.code, r.json["same"]), (1, False))
        self.assertEqual(r.json["verdict"], {"before": "sent", "after": "error"})
        route = [c for c in r.json["changes"] if c["where"] == "ip_route_output_flow"]
        self.assertIn("prohibit 10.9.0.0/16", json.dumps(route))
        text = lab.txpath(f"diff {old} {new} udp to 10.9.1.1:53", netns=None).out
        self.assertIn("    + error: the send call fails with EACCES", text)
        self.assertEqual(lab.txpath(f"diff {old} /nonexistent udp to 10.9.1.1:53").code, 2)


if __name__ == "__main__":
    lab.enter()
    lab.main()
