#!/usr/bin/env python3
"""Doxygen's input filter: a comment before several declarations that no blank line parts is a comment of each of them."""
import re
import sys

ENDS = re.compile(r"^\s*(}|public:|private:|protected:|#|//|$)")
OPENS = re.compile(r"^\s*(template\s*<.*>\s*)?(class|struct|enum|union|namespace|extern \"C\")\b[^;]*$")


def without_comment(line):
    return line.split("//")[0].rstrip()


def shared(lines):
    """Yields the lines; those that begin a further declaration under the same comment begin with a copy of it."""
    comment, depth, whole = [], 0, False
    for line in lines:
        text = line.strip()
        if text.startswith("///") and not text.startswith("///<"):
            comment, depth, whole = ([] if whole or depth else comment) + [text[3:].strip()], 0, False
            yield line
            continue
        if ENDS.match(line) and depth == 0:
            comment, whole = [], False
        code = without_comment(line)
        if comment and depth == 0:
            if OPENS.match(code):
                comment = []
            elif whole and "///<" not in line:
                line = f"/** {' '.join(comment)} */ {line.lstrip()}"
        if comment:
            depth += sum(code.count(c) for c in "({") - sum(code.count(c) for c in ")}")
            whole = depth == 0 and code.endswith((";", "}"))
            if depth == 0 and not whole:
                depth = 0
        yield line


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        sys.stdout.writelines(line + "\n" for line in shared(source.read().splitlines()))
