#!/usr/bin/env python3
"""Checks an `lw` binary, and the byte vectors, against an endpoint written from the text alone."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import checks_calls  # noqa: F401 - each of these registers its checks
import checks_conversations  # noqa: F401
import checks_dialer  # noqa: F401
import checks_ends  # noqa: F401
import checks_errors  # noqa: F401
import checks_fragments  # noqa: F401
import checks_offline  # noqa: F401
import checks_vectors  # noqa: F401
from harness import Context, run_all, served

VECTORS = Path(__file__).resolve().parent / "../../proto-core/vectors.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lw", type=Path, help="path of the lw binary")
    parser.add_argument("--vectors", type=Path, default=VECTORS, help="path of vectors.json")
    parser.add_argument("--slow", action="store_true", help="also what takes more than 10 s each")
    parser.add_argument("--only", default="", help="only checks with this in their name")
    arguments = parser.parse_args()
    vectors = json.loads(arguments.vectors.read_text(encoding="utf-8"))
    started = time.monotonic()
    with served(arguments.lw) as (child, address):
        summary = run_all(Context(arguments.lw, address, vectors), arguments.slow, arguments.only)
        if child.poll() is not None:
            summary.failed.append("the server is still there")
            print("FAIL  the server is still there")
    print(f"{summary.passed} passed, {len(summary.failed)} failed, {summary.skipped} skipped "
          f"in {time.monotonic() - started:.1f} s")
    for name in summary.failed:
        print(f"failed: {name}")
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
