"""The binary's dialer against this endpoint as an acceptor, and against wrong acceptors."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Iterator

from checks_vectors import Entry, each
from codes import HEADER_LENGTH, ORIGIN, Close, Kind, LwError, close_name
from driver import Connection
from events import Draining, Failed, PeerClosed, Request
from fields import Hello, accept_welcome
from harness import Context, check, ensure, equal
from raw import PLAIN, Raw
from wire import Header, frame

def serve_once(lw: Path, mine: Hello, route: str, lines: list[str]) -> list[str]:
    """Lets `lw call` send lines to an endpoint that echoes them, and gives what it prints."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as given, \
            tempfile.TemporaryFile() as printed:
        given.write("".join(line + "\n" for line in lines).encode())
        given.seek(0)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        child = subprocess.Popen([str(lw), "call", address, route, "-"], stdin=given,
                                 stdout=printed)
        try:
            with Connection.accept(listener, mine) as connection:
                echo(connection)
            equal(child.wait(5), 0, "exit code")
        finally:
            child.kill()
            child.wait()
        printed.seek(0)
        return printed.read().decode().splitlines()


def echo(connection: Connection) -> None:
    while not connection.closed:
        connection.step(1.0)
        for event in connection.take(Request):
            assert isinstance(event, Request)
            connection.endpoint.reply(event.call_id, 0, event.body)
    ensure(not any(isinstance(event, Failed) for event in connection.events), connection.why())


@check("lw call: defaults", "LW-3.6, LW-4.8, LW-7.2")
def lw_call(context: Context) -> None:
    lines = [str(n) for n in range(2000)]
    equal(serve_once(context.lw, Hello(), "echo", lines), lines)


@check("lw call: small windows, four slots, small frames", "LW-4.1, LW-6.1, LW-6.7, LW-6.9")
def lw_call_small(context: Context) -> None:
    mine = Hello(max_frame=4096, max_message=50_000, call_slots=4, request_window=50_064,
                 push_window=50_064)
    lines = [str(n) + "x" * (n * 997 % 49_000) for n in range(200)]
    equal(serve_once(context.lw, mine, "echo", lines), lines)


@check("lw call: an acceptor without capabilities", "LW-3.9, LW-6.6, LW-7.12")
def lw_call_plain(context: Context) -> None:
    mine = Hello(max_frame=4096, capabilities=0, heartbeat=None)
    lines = [str(n) + "x" * (n * 97 % 4000) for n in range(200)]
    equal(serve_once(context.lw, mine, "echo", lines), lines)


@check("lw call: a drain in the middle", "LW-7.9, LW-7.10, LW-7.11")
def lw_call_drained(context: Context) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            dialing(context.lw, listener, "sleep", lines=["x"] * 10) as child:
        with Connection.accept(listener, Hello()) as connection:
            waiting: list[Request] = []

            def ten() -> bool:
                waiting.extend(e for e in connection.take(Request) if isinstance(e, Request))
                return len(waiting) == 10

            connection.run(ten, 5)
            connection.endpoint.drain(Close.MAX_AGE)
            connection.run(lambda: any(isinstance(e, Draining) for e in connection.events), 5)
            for request in waiting:
                connection.endpoint.reply(request.call_id, 0, request.body)
            connection.finish(5)
            ends = [e.code for e in connection.events if isinstance(e, (Draining, PeerClosed))]
            equal(ends, [int(Close.MAX_AGE)] * 2, "its DRAIN and its CLOSE")
            ensure(not any(isinstance(e, Failed) for e in connection.events), connection.why())
        out, _ = child.communicate(timeout=5)
        equal(out, b"x\n" * 10, "answers")


# Wrong acceptors.

@contextmanager
def dialing(lw: Path, listener: socket.socket, route: str = "7", *, lines: list[str] | None = None,
            options: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """`lw call` with one call, or with one for each line; what it complains about is dropped."""
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    command = [str(lw), "call", *options, address, route, "-" if lines is not None else "x"]
    with tempfile.TemporaryFile() as given:
        given.write("".join(line + "\n" for line in lines or []).encode())
        given.seek(0)
        child = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        try:
            yield child
        finally:
            child.kill()
            child.communicate()


@check("lw call: REPLYs of the vectors in fragments", "LW-4.13, LW-6.7, LW-6.8")
def lw_call_fragments(context: Context) -> None:
    def run(entry: Entry) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, \
                dialing(context.lw, listener) as child, Raw.accept(listener, PLAIN.encode()) as raw:
            call, _ = raw.read(Kind.REQUEST)
            for text in entry["frames"]:
                data = bytes.fromhex(text)
                header = Header.decode(data)
                if header.sequence == 65536:  # the call in flight, whatever its id is here
                    header = replace(header, sequence=call.sequence)
                raw.send(header.encode() + data[HEADER_LENGTH:])
            if "error" in entry:
                equal(close_name(raw.ending()[1] or 0), entry["error"])
            else:
                header, _ = raw.read_close()
                equal(header.code, 0, "CLOSE")
                raw.send(frame(Kind.CLOSE))
                raw.shut()
                equal(child.wait(5), 1, "exit code of a call that failed")

    vectors = context.vectors["fragments"] + context.vectors["bad_fragments"]
    each([entry for entry in vectors if entry["frames"][0][8:10] in ("04", "06")], run)


@check("lw call: HELLOs of the vectors as WELCOME", "LW-3.3, LW-3.4, LW-3.5, LW-3.6, LW-3.8")
def lw_call_welcomes(context: Context) -> None:
    def run(entry: Entry) -> None:
        payload = bytes.fromhex(entry["payload"])
        with socket.create_server(("127.0.0.1", 0)) as listener, \
                dialing(context.lw, listener), Raw.accept(listener, payload) as raw:
            try:
                slots = accept_welcome(payload, (1, 1)).call_slots
            except LwError as error:
                equal(close_name(raw.ending()[1] or 0), error.code.name)
            else:
                if slots:
                    raw.read(Kind.REQUEST)

    each(context.vectors["hellos"] + context.vectors["bad_hellos"], run)


@check("lw call: a REPLY before the whole REQUEST", "LW-4.3, LW-4.5")
def lw_call_early_reply(context: Context) -> None:
    roomy = Hello(max_frame=4096, max_message=32 << 20, request_window=64 << 20,
                  push_window=64 << 20, heartbeat=None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with dialing(context.lw, listener, lines=["x" * (30 << 20)],
                     options=("--max-message", "32MiB")), \
                Raw.accept(listener, roomy.encode()) as raw:
            call, _ = raw.read(Kind.REQUEST)
            ensure(call.more, "not cut")
            raw.send(frame(Kind.REPLY, flags=ORIGIN, sequence=call.sequence))
            frames, code = raw.ending()
            ensure(frames[-2][0].more, "the whole REQUEST had been sent already")
            equal(close_name(code or 0), Close.UNKNOWN_CALL.name)
