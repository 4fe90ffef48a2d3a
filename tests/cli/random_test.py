# SPDX-License-Identifier: Apache-2.0
"""Random namespaces, random questions: `txpath explain` against the running kernel.

    random_test.py TXPATH [FIRST_SEED [LAST_SEED [QUESTIONS]]]
"""
import random
import sys

import lab
from explain_test import kernel_send

WIRES = {"va": ("far", "vb"), "vc": ("far", "vd"), "lo": ("near", "lo")}


def configure(rnd):
    """Makes a namespace; answers the commands that took, to print with a difference."""
    done = []

    def do(line, chance=1.0):
        if rnd.random() >= chance:
            return
        try:
            lab.sh(line)
            done.append(line)
        except RuntimeError:
            pass  # what the kernel refuses is no part of the setup

    do("""ip netns add near && ip netns add far &&
        ip link add va netns near type veth peer name vb netns far &&
        ip link add vc netns near type veth peer name vd netns far &&
        for ns in near far; do ip netns exec $ns sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done &&
        ip -n far link set vb mtu 9000 && ip -n far link set vd mtu 9000 &&
        ip -n near link set lo up && ip -n near link set va up && ip -n near link set vc up &&
        ip -n far link set vb up && ip -n far link set vd up""")
    # A veth hands a segmentation frame over whole; the frames are what a wire would carry.
    for dev in ("va", "vc"):
        do(f"ip netns exec near ethtool -K {dev} tx-udp-segmentation off")
    do("ip netns exec near ethtool -K va " + rnd.choice(["tx off", "tx off sg off", "gso off"]), .5)
    near = "ip -n near "
    do(near + f"addr add 10.77.0.1/24 {rnd.choice(['', 'brd +'])} dev va")
    do(near + "addr add 10.77.0.3/24 dev va", .5)
    prefix = rnd.choice([24, 30, 31, 32])
    do(near + f"addr add 10.78.0.1/{prefix} {rnd.choice(['', 'brd +'])} dev vc", .8)
    do(near + "addr add 192.168.5.1 peer 192.168.5.2/32 dev vc", .3)
    do(near + "addr add 10.79.0.1/24 dev lo scope host", .3)
    for dev, address in (("va", "10.77.0.2"), ("va", "10.77.0.9"), ("vc", "10.78.0.2"),
                         ("vc", "10.78.0.3"), ("vc", "192.168.5.2")):
        state = rnd.choice(["permanent", "permanent", "noarp", "stale", "reachable"])
        do(near + f"neigh add {address} lladdr 02:00:00:00:00:{rnd.randrange(16):02x} dev {dev} "
           f"nud {state}", .75)
    do(near + f"route add default via {rnd.choice(['10.77.0.2', '10.78.0.2'])} "
       + rnd.choice(["", "src 10.77.0.1", "metric 100"]), .6)
    do(near + "nexthop add id 5 via 10.77.0.2 dev va && ip -n near route add 10.50.1.0/24 nhid 5", .3)
    for _ in range(rnd.randrange(6)):
        do(near + "route add " + " ".join((
            rnd.choice(["", "", "", "blackhole", "unreachable", "prohibit", "throw"]),
            rnd.choice(["10.50.0.0/16", "10.50.1.0/24", "10.50.2.1/32", "10.60.0.0/16",
                        "192.168.1.0/24", "224.0.0.0/4", "10.77.0.9/32", "10.50.0.0/15"]),
            rnd.choice(["", "dev va", "dev vc", "via 10.77.0.2", "via 10.78.0.2 dev vc",
                        "via 10.99.9.9 dev va onlink"]),
            rnd.choice(["", "", "tos 0x10", "metric 50", "mtu 1000", "mtu lock 900",
                        "src 10.77.0.1", "src 10.78.0.1", "scope link", "hoplimit 9"]),
            rnd.choice(["", "", "table 100", "table 200"]))))
    selectors = ["", "from 10.77.0.1", "from 10.78.0.0/24", "to 10.50.0.0/16", "fwmark 0x10",
                 "fwmark 0x10/0xf0", "tos 0x10", "oif vc", "uidrange 1000-2000", "ipproto udp",
                 "dport 9-10", "sport 1000", "iif lo", "not from 10.77.0.1", "iif va"]
    actions = ["lookup 100", "lookup 200", "prohibit", "blackhole", "unreachable",
               "lookup main suppress_prefixlength 0", "goto 32766", "nop",
               "lookup 100 suppress_ifgroup 0"]
    for _ in range(rnd.randrange(4)):
        do(near + f"rule add {rnd.choice(selectors)} {rnd.choice(actions)} "
           + rnd.choice(["", f"priority {rnd.randrange(1, 40000)}"]))
    for _ in range(rnd.randrange(3)):
        do("ip netns exec near sysctl -qw net.ipv4." + rnd.choice([
            "ip_default_ttl=33", "ip_no_pmtu_disc=1", "ip_no_pmtu_disc=2", "ip_nonlocal_bind=1",
            "conf.va.route_localnet=1", "ip_forward=1",
            "conf.all.ignore_routes_with_linkdown=1", "ip_unprivileged_port_start=0"]))
    do(near + f"link set va mtu {rnd.choice([68, 576, 1400, 9000])}", .2)
    do("tc -n near qdisc add dev va root " + rnd.choice(
        ["pfifo", "pfifo_fast", "bfifo", "pfifo limit 1"]), .2)
    do("ip -n far link set vb down", .1)
    do(near + "link set vc down", .1)
    do(near + "link set lo down", .1)
    return done


def question(rnd):
    addresses = ["10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.9", "10.77.0.255", "10.77.0.0",
                 "10.78.0.1", "10.78.0.2", "10.78.0.3", "10.78.0.255", "10.50.0.1", "10.50.1.1",
                 "10.50.2.1", "10.60.0.1", "192.168.1.1", "192.168.5.2", "239.1.1.1", "224.0.0.1",
                 "255.255.255.255", "127.0.0.1", "127.255.255.255", "0.0.0.0"]
    w = [f"to {rnd.choice(addresses)}:{rnd.choice([9, 9, 53, 9, 9, 9, 9, 9, 0])}"]
    optional = [
        (.4, "from", ["10.77.0.1:1000", "0.0.0.0:1001", "10.77.0.1", "10.78.0.1:1002", "10.77.0.3:9",
                      "10.79.0.1:5", "127.0.0.1:7", "10.9.9.9:1", "239.1.1.1:8", "10.77.0.255:3"]),
        (.2, "oif", ["va", "vc", "lo"]),
        (.2, "mark", ["0x10", "0x11", "5"]),
        (.2, "tos", ["0x10", "0x1c", "0xb8", "3", "0x08"]),
        (.2, "ttl", ["1", "7", "255"]),
        (.3, "df", ["do", "dont", "want", "probe"]),
        (.15, "gso", ["100", "300", "1400", "1473"]),
        (.8, "len", [0, 1, 8, 99, 100, 1000, 1472, 1473, 1480, 3000, 5000, 20000])]
    if lab.has_users():
        optional.append((.1, "uid", ["0", "1000", "3000"]))
    for chance, word, values in optional:
        if rnd.random() < chance:
            w.append(f"{word} {rnd.choice(values)}")
    if rnd.random() < .3:
        w.append("broadcast")
    return " ".join(w)


def frames(s, timeout):
    try:
        return lab.frames(s, timeout)
    except OSError:  # told once that its device went down
        return lab.frames(s, timeout)


def differs(words, wires):
    """What the engine says otherwise than the kernel does, or None."""
    for s in wires.values():
        frames(s, 0.002)
    r = lab.txpath(f"explain udp {words} -j")
    if r.code not in (0, 1) or r.err:
        return f"exit status {r.code}: {r.err}{r.out}"
    j = r.json
    error = kernel_send(words)
    if j["errno"] != error:
        return f"errno {j['errno']}, the kernel's {error}"
    for dev, s in wires.items():
        theirs = [lab.masked(lab.complete(f), j["masked"]).hex() for f in frames(s, 0.02)]
        ours = [f["hex"] for f in j["frames"] if f["dev"] == dev]
        if dev == "lo":  # seen on the way out and again on the way in, GSO frames whole
            if "gso" in words.split():
                continue
            ours, theirs = sorted(set(ours)), sorted(set(theirs))
        if ours != theirs:
            lengths = [len(f) // 2 for f in ours], [len(f) // 2 for f in theirs]
            first = next(((a, b) for a, b in zip(ours, theirs) if a != b), "")
            return f"{j['verdict']}, frames on {dev}: {lengths} {first}"
    return None


def play(seed, questions):
    rnd = random.Random(seed)
    setup = configure(rnd)
    wires = {dev: lab.sniffer(*where) for dev, where in WIRES.items()}
    bad = 0
    for _ in range(questions):
        words = question(rnd)
        difference = differs(words, wires)
        if difference:
            bad += 1
            print(f"seed {seed}: {words}: {difference}")
        lab.sh("""for state in incomplete failed delay probe; do ip -n near neigh flush nud $state; done
               ip -n near route flush cache""")
    for s in wires.values():
        s.close()
    lab.remove()
    if bad:
        print("the namespace:", *setup, sep="\n  ")
    return bad


if __name__ == "__main__":
    lab.enter()
    lab.TXPATH = sys.argv[1]
    first, last, count = (int(a) for a in (sys.argv[2:5] + ["1", "8", "12"][len(sys.argv) - 2:]))
    failures = sum(play(seed, count) for seed in range(first, last + 1))
    print(f"{(last - first + 1) * count} questions, {failures} differences")
    sys.exit(1 if failures else 0)
