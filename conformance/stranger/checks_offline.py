"""The endpoint against itself, without a socket."""

from __future__ import annotations

import random

from checks_conversations import split
from codes import ORIGIN, PREFACE, Close, Kind, Lane, Status
from events import (CallLost, CancelRequested, Failed, Lost, Opened, PeerClosed, Push, Reply,
                    Request)
from fields import Extensions, Hello
from harness import Context, check, ensure, equal
from lw1 import Endpoint, Limits, Role, UsageError
from wire import frame

SMALL = Hello(max_frame=4096, max_message=20_000, call_slots=8, request_window=30_000,
              push_window=30_000)


def exchange(one: Endpoint, two: Endpoint, dice: random.Random, now: float = 0.0) -> bool:
    """Moves bytes once in each direction, in pieces of any size. False if there were none."""
    moved = False
    for source, target in ((one, two), (two, one)):
        data = source.output(now, dice.choice([1, 5000, 100_000]))
        moved = moved or bool(data)
        while data:
            size = dice.choice([1, 3, 16, 17, 1000, len(data)])
            target.receive(data[:size], now)
            data = data[size:]
    return moved


def settle(one: Endpoint, two: Endpoint, dice: random.Random) -> None:
    while exchange(one, two, dice):
        pass


def pair(dialer: Hello, acceptor: Hello) -> tuple[Endpoint, Endpoint]:
    one, two = Endpoint(Role.DIALER, dialer, 0.0), Endpoint(Role.ACCEPTOR, acceptor, 0.0)
    settle(one, two, random.Random(0))
    ensure(any(isinstance(event, Opened) for event in one.take_events()), "no handshake")
    two.take_events()
    return one, two


@check("endpoint: calls and pushes both ways, in pieces of any size",
       "LW-2.4, LW-4.7, LW-6.1, LW-6.3, LW-6.7, LW-6.10, LW-7.11")
def both_ways(_: Context) -> None:
    for seed in range(30):
        dice = random.Random(seed)
        sides = pair(dice.choice([SMALL, Hello()]), dice.choice([SMALL, Hello()]))
        open_calls: list[dict[int, bytes]] = [{}, {}]
        pushed: list[list[bytes]] = [[], []]
        got: list[list[bytes]] = [[], []]

        def act(side: int) -> None:
            endpoint, body = sides[side], dice.randbytes(dice.choice([0, 10, 5000, 19_000]))
            lane = dice.choice(list(Lane))
            if dice.random() < 0.5 and endpoint.free_slot():
                open_calls[side][endpoint.call(7, body, lane=lane)] = body
            else:
                endpoint.push(9, body)
                pushed[side].append(body)

        def look(side: int) -> None:
            for event in sides[side].take_events():
                if isinstance(event, Request):
                    sides[side].reply(event.call_id, 0, event.body, lane=dice.choice(list(Lane)))
                elif isinstance(event, Reply):
                    equal(event.body, open_calls[side].pop(event.call_id), "echo")
                elif isinstance(event, Push):
                    got[1 - side].append(event.body)
                    sides[side].finish_push(event)
                else:
                    ensure(not isinstance(event, (Failed, Lost, CallLost)), f"{event}")

        for _round in range(60):
            act(dice.randrange(2))
            exchange(*sides, dice)
            look(0)
            look(1)
        sides[0].drain(Close.GOING_AWAY)
        for _round in range(10_000):
            moved = exchange(*sides, dice)
            look(0)
            look(1)
            if not moved and not open_calls[0] and not open_calls[1]:
                break
        equal(got, pushed, f"pushes, seed {seed}")
        ensure(sides[0].close_placed and sides[1].close_placed, f"not closed, seed {seed}")


@check("endpoint: CANCEL of every stage of a call", "LW-4.12, LW-4.13, LW-4.3")
def cancel_stages(_: Context) -> None:
    body = bytes(18_000)
    for steps in range(12):
        caller, callee = pair(SMALL, SMALL)
        call = caller.call(7, body)
        for _step in range(steps):
            for source, target in ((caller, callee), (callee, caller)):
                data = source.output(0.0, 1)  # at most one frame
                if data:
                    target.receive(data, 0.0)
            for event in callee.take_events():
                if isinstance(event, Request):
                    callee.reply(event.call_id, 0, event.body)
        caller.cancel(call)
        settle(caller, callee, random.Random(steps))
        for event in callee.take_events():
            ensure(not isinstance(event, Failed), f"{event}")
            if isinstance(event, (Request, CancelRequested)):
                callee.reply(event.call_id, 5)
        settle(caller, callee, random.Random(steps))
        replies = [event for event in caller.take_events() if isinstance(event, Reply)]
        equal(len(replies), 1, f"replies after {steps} steps")


@check("endpoint: a REPLY before the whole REQUEST", "LW-4.3, LW-4.5")
def early_reply(_: Context) -> None:
    for cancelled in (False, True):
        caller, callee = pair(SMALL, SMALL)
        call = caller.call(7, bytes(18_000))
        caller.output(0.0, 1)  # the first of its fragments
        if cancelled:
            caller.cancel(call)
            caller.output(0.0)
        caller.receive(frame(Kind.REPLY, flags=ORIGIN, sequence=call), 0.0)
        failed = [event.error.code for event in caller.take_events() if isinstance(event, Failed)]
        equal(failed, [] if cancelled else [Close.UNKNOWN_CALL])
        del callee


@check("endpoint: extension blocks longer than a frame", "LW-6.7")
def long_blocks(_: Context) -> None:
    roomy, tight = Hello(max_message=100_000), Hello(max_frame=4096, max_message=100_000)
    block = Extensions(metadata=bytes(20_000))
    one, two = pair(tight, roomy)
    one.push(9, bytes(60_000), extensions=block)  # this side's own frames may be longer
    settle(one, two, random.Random(0))
    bodies = [event.body for event in two.take_events() if isinstance(event, Push)]
    equal(bodies, [bytes(60_000)])
    one, two = pair(roomy, tight)
    try:
        one.push(9, b"", extensions=block)
    except UsageError:
        pass
    else:
        raise AssertionError("sent although it cannot be cut")
    call = two.call(7)
    settle(one, two, random.Random(0))
    one.reply(call, 0, b"x", extensions=block)
    settle(one, two, random.Random(0))
    replies = [event.status for event in two.take_events() if isinstance(event, Reply)]
    equal(replies, [int(Status.REPLY_TOO_LARGE)])


@check("endpoint: what has begun when CLOSE comes", "LW-7.2")
def begun_at_close(_: Context) -> None:
    one, two = pair(SMALL, SMALL)
    one.call(7, bytes(18_000))
    one.push(9, bytes(11_000))
    one.push(9, bytes(19_000))  # for which there is no credit
    for _step in range(4):
        two.receive(one.output(0.0, 1), 0.0)
    one.receive(frame(Kind.CLOSE, code=5), 0.0)
    frames = split(one.output(0.0, 1 << 20))
    equal([Kind(header.kind) for header, _ in frames], [Kind.PUSH, Kind.CLOSE], "frames")
    ensure(not frames[0][0].more, "a PUSH without its end")


@check("endpoint: who wanted the drain closes", "LW-7.10, LW-7.11")
def who_closes(_: Context) -> None:
    for wanted in ((True, False), (False, True), (True, True)):
        sides = pair(Hello(), Hello())
        calls = [side.call(7, b"x") for side in sides]
        settle(*sides, random.Random(0))
        for side, wants in zip(sides, wanted):
            if wants:
                side.drain(Close.MAX_AGE)
        settle(*sides, random.Random(0))
        ensure(sides[0].open and sides[1].open, "closed with calls in flight")
        sides[1].reply(calls[0])
        settle(*sides, random.Random(0))
        ensure(sides[0].open and sides[1].open, "closed with a call in flight")
        sides[0].reply(calls[1])
        last = sides[0].output(0.0)  # the last REPLY
        equal(sides[0].close_placed, wanted[0], "CLOSE directly behind it")
        sides[1].receive(last, 0.0)
        settle(*sides, random.Random(0))
        for side in sides:
            codes = [event.code for event in side.take_events() if isinstance(event, PeerClosed)]
            equal(codes, [int(Close.MAX_AGE)], f"CLOSE, wanted by {wanted}")


@check("endpoint: heartbeat on a clock of its own", "LW-8.2")
def fake_clock(_: Context) -> None:
    one, two = pair(Hello(heartbeat=(1000, 1000)), Hello(heartbeat=(3000, 2000)))
    now = 0.0
    while now < 20:  # both keep their promises, without anything to say
        now = min(t for t in (one.next_timer(), two.next_timer()) if t is not None)
        one.tick(now)
        two.tick(now)
        exchange(one, two, random.Random(0), now)
    ensure(one.open and two.open, "given up although the other side kept its promise")
    limit = now + 3.0 + Limits().grace
    while two.open:  # now the dialer is silent
        timer = two.next_timer()
        assert timer is not None
        ensure(timer <= limit + 0.001, "not given up")
        two.tick(timer)
        two.output(timer)
    ensure(not two.close_placed, "a CLOSE for a silent peer")
    ensure(any(isinstance(event, Lost) for event in two.take_events()), "not reported")


@check("endpoint: time limits of handshake and close", "LW-3.2, LW-7.4")
def limits(_: Context) -> None:
    acceptor = Endpoint(Role.ACCEPTOR, Hello(), 0.0)
    acceptor.receive(PREFACE, 9.0)
    acceptor.tick(10.0)
    equal(acceptor.output(10.0)[:8], PREFACE, "preface in front of CLOSE")
    ensure(acceptor.close_placed, "no HANDSHAKE_TIMEOUT")
    one, _two = pair(Hello(), Hello())
    one.close()
    one.output(1.0)
    one.close_written(1.0)
    one.tick(5.9)
    ensure(not one.finished, "too early")
    one.tick(6.0)
    ensure(one.finished, "lingers for ever")


@check("endpoint: crossing CLOSEs", "LW-7.2")
def crossing(_: Context) -> None:
    one, two = pair(Hello(), Hello())
    one.close(1)
    two.close(3)
    first, second = one.output(0.0), two.output(0.0)
    equal((len(first), len(second)), (16, 16))
    one.receive(second, 0.0)
    two.receive(first, 0.0)
    equal((one.output(0.0), two.output(0.0)), (b"", b""), "an answer to an answer")
    for side, code in ((one, 3), (two, 1)):
        events = side.take_events()
        equal([event.code for event in events if isinstance(event, PeerClosed)], [code])


@check("endpoint: an error is answered once", "LW-7.3")
def error_once(_: Context) -> None:
    one, two = pair(Hello(), Hello())
    one.call(7, b"lost")
    two.receive(frame(0x40) + frame(Kind.PING, b"12345678"), 0.0)
    answer = two.output(0.0)
    ensure(answer[4] == Kind.CLOSE and answer[12:16] == b"\0\0\x02\x01", "not UNKNOWN_KIND")
    equal(two.output(0.0), b"", "something behind CLOSE")
