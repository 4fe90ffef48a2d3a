# SPDX-License-Identifier: Apache-2.0
"""Wrong usage: one line on standard error, `txpath: WHAT: WHY`, exit status 2, nothing printed."""
import os
import tempfile
import unittest

import lab


class Usage(unittest.TestCase):
    def refused(self, words, *says, **kwargs):
        r = lab.txpath(words, netns=None, **kwargs)
        self.assertEqual((r.code, r.out), (2, ""), words)
        self.assertRegex(r.err, r"\Atxpath: [^:\n]+: [^\n]+\n\Z")
        for s in says:
            self.assertIn(s, r.err)

    def test_wrong_words_are_named(self):
        self.refused([], "verb")
        self.refused("fly", "fly", "--help")
        self.refused("--colour explain", "--colour")
        self.refused("--netns", "--netns NAME")
        self.refused("--netns no-such-netns stat", "no-such-netns", "No such file")
        self.refused("explain", "udp")
        self.refused("explain to 10.0.0.1:5", "first word must be udp")
        self.refused("explain udp", "to ADDR:PORT")
        self.refused("explain udp to 10.0.0.1", "port is missing")
        self.refused("explain udp to 10.0.0.1:5 tos 256", "tos 256", "0 to 255")
        self.refused("explain udp to 10.0.0.1:5 colour red", "colour")
        self.refused("explain udp to 10.0.0.1:5 --colour", "--colour")
        self.refused("explain udp to 10.0.0.1:5 --ct old", "--ct")
        self.refused("explain udp to 10.0.0.1:5 --minimal --detailed")
        self.refused("explain udp to 10.0.0.1:5 data /no/such/file", "/no/such/file", "No such file")
        self.refused("explain udp to 10.0.0.1:5 --snapshot /no/such/file", "/no/such/file")
        self.refused("explain tcp to 10.0.0.1:5 len 3", "len", "known with tcp")
        self.refused("explain --pcap /no/such/file", "/no/such/file", "No such file")
        self.refused("diff a", "NEW.jsonl")
        self.refused("diff a b udp", "to ADDR:PORT")
        self.refused("diff /no/such/file b udp to 10.0.0.1:5", "/no/such/file")
        self.refused("send", "to ADDR:PORT")
        self.refused("send to 10.0.0.1:5 len 3", "len")
        self.refused("send to 10.0.0.1:5 --count x", "--count x")
        self.refused("send to 10.0.0.1:5 --rate 0", "--rate 0")
        self.refused("send to 10.0.0.1:5 --device va", "DEV=KIND")
        self.refused("send to 10.0.0.1:5 --input /no/such/file", "/no/such/file")
        self.refused("send to 10.0.0.1:5 --input / ", "directory")
        self.refused("send to 10.0.0.1:5 --trace 0", "--trace 0")
        self.refused("send to 10.0.0.1:5 --drop-only", "--trace N")
        self.refused("send to 10.0.0.1:5 --trace-to x", "--trace N")
        self.refused("snapshot", "OUT.jsonl")
        self.refused("snapshot /no/such/dir/x", "/no/such/dir/x")
        self.refused("stat --format yaml", "--format")
        self.refused("stat -j --format tc")
        self.refused("run", "PROGRAM")
        self.refused("run --doorbell x -- true", "--doorbell")
        self.refused("run --device va= -- true", "--device")
        self.refused("prove", "--scenario FILE")
        self.refused("prove tcp to 10.0.0.1:5", "must be udp")
        self.refused("prove udp to 10.0.0.1", "port is missing")
        self.refused("prove --scenario /no/such/file", "/no/such/file", "No such file")
        self.refused("prove udp to 10.0.0.1:5 --junit x.xml", "--scenario")
        self.refused("watch --stage ip_fly", "ip_fly", "docs/stages.md")
        self.refused("watch --dev no-such-dev", "no-such-dev")
        self.refused("watch --mark red", "--mark red")
        self.refused("watch --netns no-such-netns", "no-such-netns")
        self.refused("watch --seconds -1", "--seconds")
        self.refused("top --seconds 0", "--seconds 0")
        self.refused("serve --listen 9188", "ADDR:PORT")
        self.refused("serve --listen localhost:9188", "ADDR:PORT")
        self.refused("serve --listen 127.0.0.1:99999", "ADDR:PORT")
        self.refused("serve --listen 192.0.2.1:9188", "--token-file")
        self.refused("serve --token-file /no/such/file", "/no/such/file", "No such file")

    def test_a_bad_snapshot_is_one_error(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "bad")
            for content in (b"", b"{}\n", b"\x00\xff\xfe", b'{"type":"txpath-snapshot"'):
                with open(path, "wb") as f:
                    f.write(content)
                self.refused(f"explain udp to 10.0.0.1:5 --snapshot {path}", path)

    def test_help_and_version(self):
        for words in ("--help", "explain --help", "send --help", "snapshot --help", "stat -h",
                      "watch --help", "serve --help", "top --help"):
            r = lab.txpath(words, netns=None)
            self.assertEqual((r.code, r.err), (0, ""), words)
            self.assertGreater(r.out.count("\n"), 3)
        self.assertRegex(lab.txpath("--version", netns=None).out, r"\Atxpath \d+\.\d+\.\d+\n\Z")

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "w") as full:
            done = lab.subprocess.run([lab.TXPATH, "--help"], stdout=full,
                                      stderr=lab.subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("standard output: No space left", done.stderr)


if __name__ == "__main__":
    lab.enter()
    lab.main()
