# SPDX-License-Identifier: Apache-2.0
"""A running `txpath watch`, and whether it may run here."""
import json
import os
import signal
import subprocess
import sys
import time

import lab


def need_bpf():
    """Exit status 77, with the reason as the last line, where eBPF is not allowed."""
    done = subprocess.run([sys.argv[1], "watch", "--count", "--seconds", "0.01"], capture_output=True,
                          text=True)
    # Anything else that is wrong must fail the tests.
    if done.returncode == 2 and any(why in done.stderr for why in
                                    ("is missing, be root", "refuses eBPF", "built without")):
        print("skipped:", done.stderr.strip())
        sys.exit(77)


class Watching:
    """`with Watching("--count") as w: ...; w.last` runs watch around the block."""

    def __init__(self, words, netns="near"):
        self.command = [lab.TXPATH] + (["--netns", netns] if netns else []) + ["watch"] + words.split()

    def __enter__(self):
        before = self.programs()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        deadline = time.monotonic() + 30
        while self.programs() <= before and time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read())
            time.sleep(0.05)
        time.sleep(0.3)  # the last of them
        return self

    def programs(self):
        """How many descriptors of eBPF programs the process holds."""
        if not hasattr(self, "process"):
            return 0
        held, folder = 0, f"/proc/{self.process.pid}/fd"
        try:
            for fd in os.listdir(folder):
                try:
                    held += "bpf_link" in os.readlink(f"{folder}/{fd}") or \
                        "bpf-link" in os.readlink(f"{folder}/{fd}")
                except OSError:
                    pass
        except OSError:
            pass
        return held

    def __exit__(self, *_):
        time.sleep(0.2)
        self.process.send_signal(signal.SIGINT)
        self.out, self.err = self.process.communicate(timeout=30)
        self.code = self.process.returncode

    @property
    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self):
        return self.objects[-1]

    def stages(self, **wanted):
        """(stage, event) of the lines whose fields are as wanted."""
        return [(o["stage"], o["event"]) for o in self.objects
                if all(o.get(k) == v for k, v in wanted.items())]
