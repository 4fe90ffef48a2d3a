# SPDX-License-Identifier: Apache-2.0
"""man.py DOC.md VERSION > txpath-VERB.1: a page of docs/ as a manual page.

Takes what those pages use: headings, paragraphs, lists, tables, code blocks, `code`, **bold**, links.
"""
import re
import sys


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text)


def inline(text):
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    out = []
    for i, part in enumerate(re.split(r"(`[^`]*`|\*\*[^*]*\*\*)", text)):
        if i % 2 == 0:
            out.append(escape(part) if i == 0 else escape(" " + part)[1:])
        else:
            out.append("\\fB" + escape(part.strip("`*")) + "\\fR")
    return "".join(out)


def cells(row):
    return [c.strip().replace("\\|", "|") for c in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def page(markdown, version):
    lines = markdown.split("\n")
    title = lines[0].lstrip("# ").strip()
    name = title.split(" and ")[0].replace(" ", "-")
    out = [f".TH {name.upper()} 1 \"\" \"txpath {version}\" \"User Commands\""]
    summary = next((l for l in lines[1:] if l and not l.startswith(("`", "#", "|", "txpath"))), "")
    out += [".SH NAME", f"{escape(name)} \\- {inline(summary.split('. ')[0].split(': ')[0].rstrip('.:'))}"]
    i, first_code = 1, True
    while i < len(lines):
        line = lines[i]
        if line.startswith("```"):
            if first_code:
                out.append(".SH SYNOPSIS")
            out += [".RS 4", ".nf"] if not first_code else [".nf"]
            i += 1
            while i < len(lines) and not lines[i].startswith("```"):
                out.append(escape(lines[i]) or "\\&")
                i += 1
            out += [".fi", ".RE"] if not first_code else [".fi", ".SH DESCRIPTION"]
            first_code = False
        elif line.startswith("## "):
            out.append(f".SH {escape(line[3:].upper())}")
        elif line.startswith("### "):
            out.append(f".SS {escape(line[4:])}")
        elif line.startswith("|"):
            rows = []
            while i < len(lines) and lines[i].startswith("|"):
                rows.append(cells(lines[i]))
                i += 1
            for row in rows[2:]:
                out += [".TP", inline(row[0]) or "\\&", inline("; ".join(c for c in row[1:] if c))]
            out.append(".PP")
            continue
        elif re.match(r"[-*] |\d+\. ", line):
            out += [".IP \\(bu 2", inline(re.sub(r"^([-*]|\d+\.) ", "", line))]
        elif not line:
            out.append(".PP")
        elif i > 0:
            out.append(inline(line.strip()))
        i += 1
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as f:
        sys.stdout.write(page(f.read(), sys.argv[2]))
