#!/usr/bin/env python3
"""A command-line dialer for LW/1."""

from __future__ import annotations

import argparse
import sys
import time

from codes import close_name, status_name
from driver import Connection, Timeout, parse_address
from lw1 import Failed, Lost, PeerClosed, Push, Route, UsageError


def show(text: str) -> str:
    """Text from the peer, with control characters escaped (section 7.1)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def route_of(text: str) -> Route:
    return int(text) if text.isdigit() else text


def report_end(connection: Connection) -> None:
    for event in connection.events:
        if isinstance(event, PeerClosed):
            text = f": {show(event.fields.text)}" if event.fields.text else ""
            print(f"closed by the peer with {close_name(event.code)}{text}", file=sys.stderr)
        elif isinstance(event, Failed):
            print(f"closed because of the peer: {event.error}", file=sys.stderr)
        elif isinstance(event, Lost):
            print(event.why, file=sys.stderr)


def print_push(push: Push) -> None:
    body = show(push.body.decode(errors="backslashreplace"))
    print(f"{show(str(push.route))}: {body}", flush=True)


def listen(connection: Connection, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not connection.closed and time.monotonic() < end:
        try:
            for push in connection.pushes(1, end - time.monotonic()):
                print_push(push)
        except Timeout:
            break


def run(arguments: argparse.Namespace) -> int:
    failed = 0
    with Connection.dial(parse_address(arguments.address), timeout=arguments.timeout) as connection:
        if not connection.endpoint.open:
            report_end(connection)
            return 1
        if arguments.command == "call":
            body = " ".join(arguments.body).encode()
            reply = connection.call(route_of(arguments.route), body, arguments.timeout + 1,
                                    deadline=arguments.timeout)
            if reply.status:
                failed = 1
                print(status_name(reply.status), file=sys.stderr)
            sys.stdout.buffer.write(reply.body + b"\n")
        elif arguments.command == "push":
            connection.endpoint.push(route_of(arguments.route), " ".join(arguments.body).encode())
        else:
            listen(connection, arguments.seconds)
        if not connection.closed:
            connection.endpoint.close()
            connection.finish(arguments.timeout)
        elif arguments.command == "listen":
            report_end(connection)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="host:port")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for each step")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("call", "print the reply"), ("push", "send a push")):
        command = commands.add_parser(name, help=what)
        command.add_argument("route", help="a name, or a number")
        command.add_argument("body", nargs="*")
    command = commands.add_parser("listen", help="print the pushes that come")
    command.add_argument("seconds", type=float)
    try:
        return run(parser.parse_args())
    except (OSError, Timeout, UsageError) as error:
        print(f"client: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
