# SPDX-License-Identifier: Apache-2.0
"""`txpath top`: the live picture in a terminal, and one elsewhere."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import lab


class Terminal:
    """A terminal of 100 columns and 30 rows in which top runs."""

    def __init__(self, words=""):
        self.fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.before = termios.tcgetattr(child)
        self.child = child
        self.process = subprocess.Popen([lab.TXPATH, "--netns", "near", "top", *words.split()],
                                        stdin=child, stdout=child, stderr=child,
                                        env={**os.environ, "TERM": "xterm"})
        self.seen = ""

    def read(self, until, seconds=10):
        deadline = time.monotonic() + seconds
        while until not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"{until!r} did not come: {self.seen[-2000:]!r}")
            self.seen += os.read(self.fd, 65536).decode()

    def close(self):
        code = self.process.wait(10)
        while select.select([self.fd], [], [], 0.1)[0]:
            self.seen += os.read(self.fd, 65536).decode()
        same = termios.tcgetattr(self.child) == self.before
        os.close(self.fd)
        os.close(self.child)
        return code, same


class Top(unittest.TestCase):
    def setUp(self):
        lab.make()

    def tearDown(self):
        lab.remove()

    def test_elsewhere_than_on_a_terminal_it_is_one_picture(self):
        s = lab.udp_socket("near")
        p = subprocess.Popen([lab.TXPATH, "--netns", "near", "top"], stdout=subprocess.PIPE, text=True)
        for _ in range(20):
            s.sendto(b"x", (lab.FAR, 9))
            time.sleep(0.05)
        out, _ = p.communicate(timeout=20)
        s.close()
        self.assertEqual(p.returncode, 0)
        self.assertTrue(out.startswith("txpath top: counters of kernel\n"))
        self.assertRegex(out, r"(?m)^va +\d+ ")
        self.assertRegex(out, r"UdpOutDatagrams \d+/s")
        self.assertNotIn("\x1b", out)

    def test_it_shows_a_running_send_and_ends_with_q(self):
        send = subprocess.Popen([lab.TXPATH, "--netns", "near", "send", "to", f"{lab.FAR}:4000",
                                 "--count", "100000", "--rate", "500"], stdout=subprocess.DEVNULL)
        try:
            t = Terminal()
            t.read(f"counters of txpath {send.pid}", 20)
            t.read("ndo_start_xmit")
            # Rates come with the second report of the same process; its file is new each second.
            deadline = time.monotonic() + 10
            while not re.search(r"ip_output +[1-9]\d\d ", t.seen):
                self.assertLess(time.monotonic(), deadline, t.seen[-2000:])
                t.seen = ""
                t.read("ndo_start_xmit")
            os.write(t.fd, b"q")
            self.assertEqual(t.close(), (0, True))
            self.assertTrue(t.seen.endswith("\x1b[?25h\x1b[?1049l"))
        finally:
            send.terminate()
            send.wait(20)

    def test_an_interrupt_and_a_time_end_it_with_the_terminal_as_it_was(self):
        t = Terminal()
        t.read("counters of kernel")
        t.process.send_signal(signal.SIGINT)
        self.assertEqual(t.close(), (0, True))
        started = time.monotonic()
        t = Terminal("--seconds 2")
        t.read("counters of kernel")
        self.assertEqual(t.close(), (0, True))
        self.assertGreater(time.monotonic() - started, 1.8)


if __name__ == "__main__":
    lab.enter()
    lab.main()
