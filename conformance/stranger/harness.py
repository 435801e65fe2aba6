"""Named checks, the child that they run against, and the summary."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

from driver import Timeout, parse_address

CHECK_LIMIT = 10.0
SLOW_LIMIT = 60.0


@dataclass
class Context:
    """What a check works with."""

    lw: Path
    address: tuple[str, int]
    vectors: dict[str, Any]


@dataclass(frozen=True)
class Check:
    name: str
    clauses: str
    run: Callable[[Context], None]
    slow: bool


CHECKS: list[Check] = []


def check(name: str, clauses: str, slow: bool = False) -> Callable[
        [Callable[[Context], None]], Callable[[Context], None]]:
    """Registers a function as a check. It fails by raising."""

    def register(run: Callable[[Context], None]) -> Callable[[Context], None]:
        CHECKS.append(Check(name, clauses, run, slow))
        return run

    return register


T = TypeVar("T")


def equal(got: T, wanted: T, what: str = "") -> None:
    if got != wanted:
        raise AssertionError(f"{what}{': ' if what else ''}{_short(got)}, not {_short(wanted)}")


def ensure(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


@contextmanager
def served(lw: Path) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """A server as a child; it is this process's own to end."""
    child = subprocess.Popen([str(lw), "serve", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline().strip()
        if not line.startswith("listening on "):
            raise SystemExit(f"check: the server says {line!r}")
        yield child, parse_address(line.removeprefix("listening on "))
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Timeout(f"the check took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Summary:
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)


def run_all(context: Context, slow: bool, only: str) -> Summary:
    summary = Summary()
    for entry in CHECKS:
        if only not in entry.name:
            continue
        if entry.slow and not slow:
            summary.skipped += 1
            print(f"skip  {entry.name} ({entry.clauses}): slow", flush=True)
            continue
        started = time.monotonic()
        try:
            with time_limit(SLOW_LIMIT if entry.slow else CHECK_LIMIT):
                entry.run(context)
        except Exception as error:  # noqa: BLE001 - whatever it is, the check has failed
            summary.failed.append(entry.name)
            print(f"FAIL  {entry.name} ({entry.clauses}): {type(error).__name__}: {error}",
                  flush=True)
            continue
        summary.passed += 1
        took = time.monotonic() - started
        print(f"ok    {entry.name} ({entry.clauses}) {took:.2f} s", flush=True)
    return summary
