# SPDX-License-Identifier: Apache-2.0
"""`txpath serve`: the page, metrics and JSON over HTTP, and who is refused."""
import base64
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

import lab

TOKEN = "0123456789abcdef0123"


class Server:
    def __init__(self, words="", listen="127.0.0.1:0", netns="near", **env):
        self.process = subprocess.Popen(
            [lab.TXPATH, "--netns", netns, "serve", "--listen", listen, *words.split()],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
        line = self.process.stdout.readline()
        self.host, self.port = re.fullmatch(r"listening on http://([0-9.]+):(\d+)/\n", line).groups()

    def ask(self, path, method="GET", headers={}, body=None):
        c = http.client.HTTPConnection(self.host, int(self.port), timeout=20)
        c.request(method, path, body=body, headers=headers)
        r = c.getresponse()
        content = r.read().decode()
        c.close()
        return r.status, content, r.headers

    def get(self, path, status=200, **kwargs):
        got, content, headers = self.ask(path, **kwargs)
        assert got == status, (path, got, content)
        return json.loads(content) if headers["Content-Type"] == "application/json" else content

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


class Serve(unittest.TestCase):
    def setUp(self):
        lab.make()
        self.server = Server()

    def tearDown(self):
        self.assertEqual(self.server.close(), 0)
        lab.remove()

    def test_the_page_is_one_file_that_needs_nothing_else(self):
        status, page, headers = self.server.ask("/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(page.startswith("<!doctype html>"))
        self.assertTrue(page.endswith("</html>\n"))
        self.assertIn("Content-Security-Policy", page)
        self.assertNotRegex(page, r'(src|href)="(?!#)')
        self.assertEqual(self.server.ask("/", method="HEAD")[:2], (200, ""))

    def test_the_path_is_the_stage_table(self):
        path = self.server.get("/api/path")
        names = [s["stage"] for s in path]
        self.assertEqual((names[0], len(names)), ("sock_sendmsg", len(set(names))))
        with open(os.path.join(os.path.dirname(__file__), "../../docs/stages.md")) as f:
            stages = f.read()
        for name in names:
            self.assertIn(f"`{name}`", stages)

    def test_stat_is_the_commands(self):
        over_http = self.server.get("/api/stat")
        self.assertGreater(over_http.pop("at"), 1_600_000_000_000)
        self.assertEqual(over_http.keys(), lab.txpath("stat -j").json.keys())
        self.assertEqual(over_http["source"], "kernel")
        self.assertIn("va", over_http["devices"])
        self.assertIn("no txpath runs", self.server.get("/api/stat?source=txpath", 404)["error"])
        self.assertIn("source", self.server.get("/api/stat?source=moon", 400)["error"])

    def test_a_running_send_is_shown(self):
        p = subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "to", f"{lab.FAR}:4000",
                              "--count", "100000", "--rate", "500"], stdout=subprocess.DEVNULL)
        try:
            deadline = lab.time.monotonic() + 20
            while self.server.get("/api/stat")["source"] != "txpath":
                self.assertLess(lab.time.monotonic(), deadline)
            j = self.server.get("/api/stat?source=txpath")
            self.assertEqual(j["pids"], [p.pid])
            self.assertIn('txpath_stage_packets_total{source="txpath",stage="ip_output"}',
                          self.server.get("/metrics"))
        finally:
            p.terminate()
            p.wait(20)

    def test_metrics_have_the_names_of_node_exporter(self):
        s = lab.udp_socket("near")
        for _ in range(3):
            s.sendto(b"x", (lab.FAR, 9))
        s.close()
        metrics = self.server.get("/metrics")
        self.assertRegex(metrics, r'(?m)^node_netstat_Udp_OutDatagrams\{source="kernel"\} [3-9]$')
        self.assertRegex(metrics, r'(?m)^node_network_transmit_packets_total'
                                  r'\{source="kernel",device="va"\} \d+$')
        self.assertRegex(metrics, r'(?m)^node_qdisc_drops_total'
                                  r'\{source="kernel",device="va",kind="noqueue"\} 0$')

    def test_healthz_says_ok(self):
        self.assertEqual(self.server.get("/healthz"), "ok\n")

    def test_explain_is_the_commands(self):
        lab.sh("ip -n near route add prohibit 10.99.0.0/16")
        j = self.server.get("/api/explain?q=udp%20to%2010.99.0.1:53")
        self.assertEqual((j["verdict"], j["errno"], j["dropped_at"]),
                         ("error", "EACCES", "ip_route_output_flow"))
        self.assertIn("EACCES", j["sentence"])
        self.assertIn("prohibit 10.99.0.0/16", json.dumps(j["stages"]))
        j = self.server.get(f"/api/explain?q=udp+to+{lab.FAR}:53+len+20")
        asked = lab.txpath(f"explain udp to {lab.FAR}:53 len 20 -j").json
        self.assertEqual(j["frames"], asked["frames"])
        self.assertEqual(j["stages"], asked["stages"])

    def test_wrong_questions_are_one_clear_error(self):
        for question, says in (("", "udp"), ("sctp+to+10.0.0.1:5", "udp"), ("udp", "to ADDR:PORT"),
                               ("udp+to+10.0.0.1:5+data+/etc/passwd", "data"),
                               ("udp+to+10.0.0.1:5+tos+300", "tos 300"), ("%00%ff%fe", "udp")):
            self.assertIn(says, self.server.get(f"/api/explain?q={question}", 400)["error"])
        self.assertIn("/api/stat", self.server.get("/nowhere", 404)["error"])

    def test_no_request_changes_anything(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for path in ("/", "/api/stat", "/api/explain?q=udp"):
                status, _, headers = self.server.ask(path, method=method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), (method, path))
        before = lab.subprocess.check_output("ip -n near -s neigh; ip -n near route", shell=True)
        self.server.get("/api/explain?q=udp+to+10.77.0.77:9")  # a neighbour that is not known
        after = lab.subprocess.check_output("ip -n near -s neigh; ip -n near route", shell=True)
        self.assertEqual([l.split(b" used")[0] for l in before.splitlines()],
                         [l.split(b" used")[0] for l in after.splitlines()])

    def test_a_page_of_another_site_is_not_heard(self):
        for host in ("evil.example", "evil.example:9188", "10.0.0.1", "127.0.0.1.evil.example"):
            self.assertIn("127.0.0.1", self.server.get("/api/stat", 403, headers={"Host": host})["error"])
        for host in ("localhost", "localhost:9188", "127.0.0.1", "[::1]:9188"):
            self.server.get("/api/stat", headers={"Host": host})

    def test_a_port_in_use_is_said(self):
        r = lab.txpath(f"serve --listen 127.0.0.1:{self.server.port}")
        self.assertEqual((r.code, r.out), (2, ""))
        self.assertRegex(r.err, r"\Atxpath: serve: --listen \S+: Address already in use\n\Z")


class Token(unittest.TestCase):
    def setUp(self):
        lab.make()

    def tearDown(self):
        lab.remove()

    def check(self, server):
        basic = lambda user, word: "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()
        try:
            for wrong in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer " + TOKEN[:-1]},
                          {"Authorization": "Bearer " + TOKEN[:-1] + "x"}, {"Authorization": TOKEN},
                          {"Authorization": basic("root", TOKEN)}):
                for path in ("/", "/api/stat", "/metrics", "/api/explain?q=udp"):
                    status, _, headers = server.ask(path, headers=wrong)
                    self.assertEqual(status, 401, wrong)
                    self.assertTrue(headers["WWW-Authenticate"].startswith("Basic"))
            for right in ("Bearer " + TOKEN, basic("txpath", TOKEN)):
                server.get("/api/stat", headers={"Authorization": right, "Host": "some.name"})
            self.assertEqual(server.get("/healthz"), "ok\n")
        finally:
            self.assertEqual(server.close(), 0)

    def test_another_address_needs_a_token(self):
        r = lab.txpath("serve --listen 0.0.0.0:0")
        self.assertEqual(r.code, 2)
        self.assertIn("--token-file", r.err)
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "token")
            with open(path, "w") as f:
                f.write(TOKEN + "\n")
            os.chmod(path, 0o644)
            r = lab.txpath(f"serve --listen 0.0.0.0:0 --token-file {path}")
            self.assertEqual(r.code, 2)
            self.assertIn("others can read it", r.err)
            os.chmod(path, 0o600)
            self.check(Server(f"--token-file {path}", listen="0.0.0.0:0"))
        self.check(Server(TXPATH_TOKEN=TOKEN))

    def test_a_short_token_is_refused(self):
        r = lab.txpath("serve --listen 127.0.0.1:0", env={**os.environ, "TXPATH_TOKEN": "short"})
        self.assertEqual(r.code, 2)
        self.assertIn("16 characters", r.err)


if __name__ == "__main__":
    lab.enter()
    lab.main()
