#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/publish.py > docs/performance.md: the page of figures from what was measured last:
bench/side_by_side.json, bench/scale.json, bench/instructions.txt."""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def read(name):
    path = os.path.join(HERE, name)
    if not os.path.exists(path):
        sys.exit(f"publish: {name} is not there: measure first (bench/README.md)")
    with open(path, encoding="utf-8") as file:
        return json.load(file) if name.endswith(".json") else file.read()


def main():
    side = read("side_by_side.json")
    scale = read("scale.json")
    sizes = sorted({row["bytes"] for row in side["rows"]})
    subjects = list(dict.fromkeys(row["subject"] for row in side["rows"]))
    median = {(row["subject"], row["bytes"]): row for row in side["rows"]}
    out = ["# Performance", "",
           "Made by `bench/publish.py` from what was measured last; [bench/README.md](../bench/README.md)",
           "says how to measure again, and what each row is.", "",
           f"{side['cpu']}, Linux {side['kernel']}, one core, {side['date']}. ns of CPU time a datagram,",
           f"system calls included: the median of {side['rounds']} rounds in turn with the others, the",
           "smallest and the largest round in brackets. UDP checksum in software, all counters on.", "",
           "| | " + " | ".join(f"{size} B" for size in sizes) + " |",
           "|---" * (len(sizes) + 1) + "|"]
    for subject in subjects:
        cells = []
        for size in sizes:
            row = median.get((subject, size))
            cells.append(f"{row['median']:.1f} ({min(row['rounds']):.1f}–{max(row['rounds']):.1f})"
                         if row else "")
        out.append(f"| {subject} | " + " | ".join(cells) + " |")
    out += ["", "8192 bytes leave as 6 fragments. Left out, as no program here links them: VPP, smoltcp,",
            "F-Stack, gVisor.", "", "## Large tables, many sockets, threads", "",
            "64-byte payload, everything at random.", "", "| | | |", "|---|---|---|"]
    out += [f"| {r['what']} | {r['value']:.1f} | {r['unit']} |" for r in scale]
    out += ["", "## Instructions a datagram", "",
            "By callgrind, from the API call to the null driver; it has no AVX-512, so long payloads are",
            "summed with AVX2. `bench/instructions.sh` fails when one is more than 1 % higher.", "",
            "| | bytes | instructions |", "|---|---|---|"]
    for line in read("instructions.txt").splitlines():
        way, how, size, count = line.split()
        out.append(f"| {'flying' if way == 'fly' else 'walking'}, {how} | {size} | {count} |")
    print("\n".join(out))


main()
