# SPDX-License-Identifier: Apache-2.0
"""Records: what `send` and `run` keep, what `query` answers, and what stands in the way."""
import json
import os
import sqlite3
import tempfile
import unittest

import lab


def lines(result):
    return [json.loads(line) for line in result.out.splitlines()]


class Records(unittest.TestCase):
    def setUp(self):
        lab.make()
        self.folder = tempfile.TemporaryDirectory()
        self.store = os.path.join(self.folder.name, "r.db")

    def tearDown(self):
        self.folder.cleanup()
        lab.remove()

    def query(self, words):
        return lab.txpath(["query", self.store] + words.split(), netns=None)

    def rows(self, words=""):
        return lines(self.query(words + " -j"))

    def test_drops_are_those_that_were_counted(self):
        done = lab.txpath(f"send to {lab.FAR}:9 --count 50 --device va=fault(drop=0.5)/null -j --record {self.store}")
        counted = done.json["conservation"]["dropped"]
        self.assertGreater(counted, 0)
        row, = self.rows("by stage,reason")
        self.assertEqual(row, {"stage": "ndo_start_xmit", "reason": "TXPATH_FAULT_INJECTED",
                               "count": counted, "records": row["records"]})
        drop = self.rows("drop limit 1")[0]
        self.assertEqual((drop["source"], drop["dst"], drop["dport"], drop["command"]),
                         ("txpath", lab.FAR, 9, "txpath"))

    def test_a_failed_call_has_its_cause_and_its_story(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f o { type filter hook output "
               "priority 0; }; add rule inet f o udp dport 53 drop'")
        lab.txpath(f"send to {lab.FAR}:53 --trace 1 --record {self.store}")
        lab.txpath(f"send to 10.99.0.1:53 --record {self.store}")
        failure, other = self.rows("failure")
        self.assertEqual((failure["stage"], failure["reason"], failure["errno"], failure["src"]),
                         ("nf_hook(LOCAL_OUT)", "NETFILTER_DROP", "EPERM", lab.NEAR))
        self.assertEqual(failure["object"], "nft-rule inet f o handle 2: udp dport 53 drop")
        self.assertEqual(failure["change"], "nft delete rule inet f o handle 2")
        self.assertEqual((other["stage"], other["errno"]), ("ip_route_output_flow", "ENETUNREACH"))
        trace, = self.rows("trace")
        self.assertEqual([s["stage"] for s in trace["trace"]][:2], ["sock_sendmsg", "inet_sendmsg"])
        self.assertEqual(trace["trace"][-1]["reason"], "NETFILTER_DROP")
        story = self.query(f"id {trace['id']}").out
        self.assertRegex(story, r"(?m)^  to pass +nft delete rule inet f o handle 2$")
        self.assertRegex(story, r"(?m)^ +\d+\.\d us  nf_hook\(LOCAL_OUT\) +128 B  drop NETFILTER_DROP  \[nft-rule")
        self.assertEqual(self.query("errno EPERM by errno").out.split(), ["count", "records", "errno", "1", "1", "EPERM"])

    def test_a_programs_failed_calls_have_their_cause(self):
        lab.sh("ip netns exec near nft 'add table inet f; add chain inet f o { type filter hook output "
               "priority 0; }; add rule inet f o udp dport 53 drop'")
        program = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                   "for i in range(3):\n  try: s.sendto(b'x', ('%s', 53))\n  except OSError: pass" % lab.FAR)
        done = lab.txpath(["run", "--why", "--record", self.store, "--", "python3", "-c", program])
        if "unaccelerated" in done.err or "libtxpath-preload.so is not" in done.err:
            self.skipTest(done.err)
        self.assertRegex(done.err, r"(?m)^failed: udp .* > 10\.77\.0\.2:53, 1 bytes, 3 times: EPERM at "
                                   r"nf_hook\(LOCAL_OUT\).*; to let it pass: nft delete rule inet f o handle 2$")
        failures = self.rows("failure")
        self.assertEqual({(f["command"], f["errno"], f["change"]) for f in failures},
                         {("python3", "EPERM", "nft delete rule inet f o handle 2")})
        self.assertEqual(sum(f["count"] for f in failures), 3)

    def test_what_is_no_store_is_told_in_one_line(self):
        def refused(words, why):
            done = lab.txpath(words.split(), netns=None)
            self.assertEqual((done.code, done.out), (2, ""), words)
            self.assertRegex(done.err, rf"\Atxpath: [^\n]*{why}[^\n]*\n\Z")
        refused(f"query {self.store}", "there is no such store")
        refused("query", "the store is missing")
        with open(self.store, "wb") as f:
            f.write(b"x" * 9000)
        refused(f"query {self.store}", "it is not a store of records")
        refused(f"forward {self.store} http://127.0.0.1:1/", "it is not a store of records")
        refused(f"forward {self.store} 127.0.0.1", "is wanted")
        refused(f"forward {self.store} http://u:p@h/", "--password-file")
        refused(f"--netns near send to {lab.FAR}:9 --record {self.store}", "it is not a store of records")
        os.remove(self.store)
        lab.txpath(f"send to 10.99.0.1:53 --record {self.store}")
        refused(f"query {self.store} stag x", "stag: unknown word")
        refused(f"query {self.store} since never", "a time is wanted")
        done = self.query("id 77")
        self.assertEqual((done.code, done.err), (1, f"txpath: query: {self.store} holds no such record 77\n"))

    def test_a_store_that_another_holds_is_waited_for(self):
        lab.txpath(f"send to 10.99.0.1:53 --record {self.store}")
        holder = sqlite3.connect(self.store, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        self.assertEqual(len(self.rows()), 1)  # who reads does not wait
        import threading
        let_go = threading.Timer(1, lambda: holder.execute("COMMIT"))
        let_go.start()
        done = lab.txpath(f"send to 10.99.0.1:53 --record {self.store}")
        let_go.join()
        self.assertNotIn("store", done.err)
        self.assertEqual(len(self.rows()), 2)
        holder.close()


if __name__ == "__main__":
    lab.enter()
    lab.main()
