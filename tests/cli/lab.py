# SPDX-License-Identifier: Apache-2.0
"""A laboratory for tests of the command line: two namespaces, near and far, joined by va and vb."""
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

TXPATH = ""
NEAR, FAR = "10.77.0.1", "10.77.0.2"
ETH_P_ALL = 3


def enter():
    """Runs this program again in namespaces of its own, where it may do everything; whatever it
    makes there vanishes with it. Exit status 77 where that is not allowed."""
    if os.environ.get("TXPATH_TEST_LAB"):
        return
    command = ["unshare"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    command += ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "bash",
                "-c", 'mount -t tmpfs lab /run && ip link set lo up && exec "$@"', "lab"]
    probe = subprocess.run(command + ["ip", "netns", "add", "probe"], capture_output=True, text=True)
    if probe.returncode != 0:
        print("skipped: no network namespaces here:", probe.stderr.strip())
        sys.exit(77)
    os.execvpe(command[0], command + [sys.executable, *sys.argv],
               {**os.environ, "TXPATH_TEST_LAB": "1"})


def main():
    global TXPATH
    TXPATH = os.path.abspath(sys.argv.pop(1))
    unittest.main()


def has_users():
    """Whether there are other users here than root: not in a user namespace of our own."""
    with open("/proc/self/uid_map") as f:
        return int(f.read().split()[2]) > 1000


def sh(line):
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{line}: {done.stderr}")


def make():
    sh(f"""ip netns add near && ip netns add far &&
        ip link add va netns near type veth peer name vb netns far &&
        ip -n near addr add {NEAR}/24 dev va && ip -n far addr add {FAR}/24 dev vb &&
        ip -n near link set lo up && ip -n near link set va up &&
        ip -n far link set lo up && ip -n far link set vb up &&
        ip netns exec near sysctl -qw net.ipv6.conf.all.disable_ipv6=1 &&
        ip netns exec far sysctl -qw net.ipv6.conf.all.disable_ipv6=1""")
    mac = json.loads(subprocess.check_output("ip -n far -j link show vb", shell=True))[0]["address"]
    sh(f"ip -n near neigh replace {FAR} lladdr {mac} dev va nud permanent")
    return mac


def remove():
    sh("ip netns del near && ip netns del far")


class Result:
    def __init__(self, done):
        self.code, self.out = done.returncode, done.stdout
        # In a user namespace some things cannot be read, and that is said.
        self.err = "".join(line for line in done.stderr.splitlines(keepends=True)
                           if not line.startswith("txpath: warning: "))

    @property
    def json(self):
        return json.loads(self.out)


def txpath(words, netns="near", **kwargs):
    command = [TXPATH] + (["--netns", netns] if netns else [])
    command += words.split() if isinstance(words, str) else words
    return Result(subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs))


def in_netns(name, function):
    """Calls `function` in a thread that is in the namespace, and answers what it answers."""
    box = {}

    def run():
        try:
            with open(f"/run/netns/{name}") as ns:
                import ctypes
                if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), 0x40000000) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            box["result"] = function()
        except BaseException as e:  # handed to the caller
            box["error"] = e

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in box:
        raise box["error"]
    return box.get("result")


def sniffer(netns="far", dev="vb"):
    """A packet socket that sees every frame of `dev`."""
    def make_socket():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        s.bind((dev, ETH_P_ALL))
        return s
    return in_netns(netns, make_socket)


def frames(s, timeout=0.3, protocol=socket.IPPROTO_UDP):
    """The IPv4 frames of a protocol that came."""
    got = []
    s.settimeout(timeout)
    try:
        while True:
            f = s.recv(70000)
            if f[12:14] == b"\x08\x00" and f[23] == protocol:
                got.append(f)
                s.settimeout(0.05)
    except (TimeoutError, socket.timeout):
        return got


def frames6(s, timeout=0.3):
    """The IPv6 frames with UDP that came."""
    got = []
    s.settimeout(timeout)
    try:
        while True:
            f = s.recv(70000)
            if f[12:14] == b"\x86\xdd" and f[20] == socket.IPPROTO_UDP:
                got.append(f)
                s.settimeout(0.05)
    except (TimeoutError, socket.timeout):
        return got


def complete6(f):
    """The frame with the checksum that the device would fill."""
    udp = bytearray(f[54:])
    udp[6:8] = bytes(2)
    pseudo = f[22:54] + len(udp).to_bytes(4, "big") + bytes((0, 0, 0, socket.IPPROTO_UDP))
    words = pseudo + udp + bytes(len(udp) % 2)
    total = sum(int.from_bytes(words[i:i + 2], "big") for i in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    udp[6:8] = ((~total & 0xffff) or 0xffff).to_bytes(2, "big")
    return f[:54] + bytes(udp)


def udp_socket(netns, bind=None):
    def make_socket():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:  # more room, where that is allowed
            s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        except PermissionError:
            pass
        try:
            if bind:
                s.bind(bind)
        except OSError:
            s.close()
            raise
        return s
    return in_netns(netns, make_socket)


class Receiver:
    """An ordinary socket whose datagrams are taken as they come: (payload, sender)."""

    def __init__(self, netns, address):
        self.socket = udp_socket(netns, address)
        self.socket.settimeout(0.05)
        self.got, self.ending = [], False
        self.reply = None  # sent back to each sender
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ending:
            try:
                self.got.append(self.socket.recvfrom(70000))
                if self.reply:
                    self.socket.sendto(self.reply, self.got[-1][1])
            except (TimeoutError, socket.timeout):
                pass

    def first(self):
        """The first datagram; waits for it."""
        deadline = time.monotonic() + 20
        while not self.got and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.got[0]

    def payloads(self):
        """All of them, once no more come."""
        before = -1
        while before != len(self.got):
            before = len(self.got)
            time.sleep(0.2)
        return [payload for payload, _ in self.got]

    def close(self):
        self.ending = True
        self.thread.join()
        self.socket.close()


def internet_sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def complete(frame):
    """The frame with the UDP checksum that veth leaves to be done, as a network card would send."""
    f = bytearray(frame)
    ip, udp = 14, 14 + (f[14] & 15) * 4
    if struct.unpack("!H", f[20:22])[0] & 0x3FFF:  # a fragment: the kernel has done it
        return bytes(f)
    length = struct.unpack("!H", f[udp + 4:udp + 6])[0]
    f[udp + 6:udp + 8] = b"\0\0"
    pseudo = bytes(f[ip + 12:ip + 20]) + struct.pack("!HH", 17, length)
    check = ~internet_sum(pseudo + bytes(f[udp:udp + length])) & 0xFFFF
    f[udp + 6:udp + 8] = struct.pack("!H", check or 0xFFFF)
    return bytes(f)


def masked(frame, fields):
    """The frame as `explain` shows it: random fields zero, checksums those of the zeros."""
    f = bytearray(frame)
    ihl = (f[14] & 15) * 4
    if "ip.id" in fields:
        f[18:20] = b"\0\0"
        f[24:26] = b"\0\0"
        f[24:26] = struct.pack("!H", ~internet_sum(bytes(f[14:14 + ihl])) & 0xFFFF)
    offset = struct.unpack("!H", f[20:22])[0] & 0x1FFF
    if "udp.sport" in fields and offset == 0:
        udp = 14 + ihl
        old, check = struct.unpack("!H", f[udp:udp + 2])[0], struct.unpack("!H", f[udp + 6:udp + 8])[0]
        total = (~check & 0xFFFF) + (~old & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        new = ~(total or 0xFFFF) & 0xFFFF
        f[udp:udp + 2] = b"\0\0"
        f[udp + 6:udp + 8] = struct.pack("!H", new or 0xFFFF)
    return bytes(f)
