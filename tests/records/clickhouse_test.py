# SPDX-License-Identifier: Apache-2.0
"""Records to a real ClickHouse: all of them, each once, while both sides are killed and begin anew."""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import lab

SERVER = shutil.which("clickhouse-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
URL = "http://127.0.0.1:8123/"
CONFIG = """<yandex>
  <logger><level>error</level><log>{0}/log</log><errorlog>{0}/errors</errorlog></logger>
  <listen_host>127.0.0.1</listen_host><http_port>8123</http_port><tcp_port>9000</tcp_port>
  <path>{0}/data/</path><tmp_path>{0}/tmp/</tmp_path><format_schema_path>{0}/format/</format_schema_path>
  <users_config>users.xml</users_config><default_profile>default</default_profile>
  <default_database>default</default_database><mark_cache_size>5368709</mark_cache_size>
</yandex>"""
USERS = """<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default>
  <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
</default></users></yandex>"""


class ClickHouse(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.store = os.path.join(self.folder.name, "r.db")
        for name, text in (("config.xml", CONFIG), ("users.xml", USERS)):
            with open(os.path.join(self.folder.name, name), "w") as f:
                f.write(text.format(self.folder.name))
        self.server = None
        self.start_server()
        # A call that fails: no route in a namespace of loopback alone.
        lab.txpath(f"send to 10.99.0.1:53 --record {self.store}", netns=None)
        self.db = sqlite3.connect(self.store, isolation_level=None, timeout=30, check_same_thread=False)

    def tearDown(self):
        self.db.close()
        self.kill_server()
        self.folder.cleanup()

    def start_server(self):
        self.server = subprocess.Popen([SERVER, f"--config-file={self.folder.name}/config.xml"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       cwd=self.folder.name)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                return self.ask("SELECT 1")
            except OSError:
                self.assertIsNone(self.server.poll(), "clickhouse-server ended")
                time.sleep(0.05)
        self.fail("clickhouse-server does not answer")

    def kill_server(self):
        self.server.kill()
        self.server.wait()

    @staticmethod
    def ask(query):
        return urllib.request.urlopen(URL, query.encode(), timeout=20).read().decode().strip()

    def add(self, n):
        """More records like the first one."""
        columns = ", ".join(f'"{row[1]}"' for row in self.db.execute("PRAGMA table_info(records)") if row[1] != "id")
        self.db.execute(f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})
            INSERT INTO records({columns}) SELECT {columns} FROM records, n WHERE records.id = 1""")

    def forwarder(self):
        return subprocess.Popen([lab.TXPATH, "forward", self.store, URL], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def test_none_is_lost_and_none_doubled_over_restarts_of_both_sides(self):
        writer = threading.Thread(target=lambda: [(self.add(400), time.sleep(0.02)) for _ in range(100)])
        writer.start()
        forwarder = self.forwarder()
        for round_ in range(6):
            time.sleep(0.25 + 0.07 * round_)
            if round_ % 2:
                self.kill_server()
                time.sleep(0.1)
                self.start_server()
            else:
                forwarder.send_signal(signal.SIGKILL)
                forwarder.wait()
                forwarder = self.forwarder()
        writer.join()
        forwarder.send_signal(signal.SIGTERM)
        self.assertEqual(forwarder.wait(timeout=30), 0)
        last = lab.txpath(["forward", self.store, URL, "--once"], netns=None)
        self.assertEqual((last.code, last.err), (0, ""))
        kept = self.db.execute("SELECT count(*), sum(id), min(time) FROM records").fetchone()
        self.assertEqual(kept[0], 40001)
        there = self.ask("SELECT count(), sum(id), min(time) FROM txpath_records FINAL")
        self.assertEqual(there.split("\t"), [str(n) for n in kept])
        # Without FINAL: doubles were not even sent.
        self.assertEqual(self.ask("SELECT count() FROM txpath_records"), "40001")
        self.assertEqual(self.ask("SELECT DISTINCT stage, errno, kind, dst FROM txpath_records").split("\t"),
                         ["ip_route_output_flow", "ENETUNREACH", "failure", "10.99.0.1"])

    def test_another_run_sends_only_what_is_new(self):
        forward = lambda: lab.txpath(["forward", self.store, URL, "--once"], netns=None).out
        self.assertEqual(forward(), "sent 1 records\n")
        self.add(10)
        self.assertEqual(forward(), "sent 10 records\n")
        self.assertEqual(forward(), "sent 0 records\n")
        # The store was put back from yesterday's copy: the table knows better.
        self.db.execute("DELETE FROM sent")
        self.assertEqual(forward(), "sent 0 records\n")

    def test_what_it_refuses_is_told(self):
        done = lab.txpath(["forward", self.store, URL + "nowhere", "--once"], netns=None)
        self.assertEqual(done.code, 2)
        self.assertRegex(done.err, r"\Atxpath: forward: http://127\.0\.0\.1:8123/nowhere: HTTP \d+: Code: 81, .*nowhere.*\n\Z")
        done = lab.txpath(["forward", self.store, "http://nobody@127.0.0.1", "--once"], netns=None)
        self.assertRegex(done.err, r"\Atxpath: forward: .*HTTP 401: Code: 192, .*\n\Z")


if __name__ == "__main__":
    if SERVER is None:
        print("skipped: no clickhouse-server here: apt-get install clickhouse-server")
        sys.exit(77)
    lab.enter()
    lab.main()
