"""The receiving half: judges frames by their headers (LW-2.10), then acts on them."""

from __future__ import annotations

import struct

from codes import (CANCEL, DRAIN, END, FRAGMENTS, HANDSHAKE_FRAME_LIMIT, MESSAGES, ORIGIN,
                   PUSH_SLOTS, Close, Kind, Lane, LwError, Status)
from credit import charge
from events import (CancelRequested, Draining, Opened, Pong, Push, Reply, Request)
from fields import (CloseFields, Extensions, accept_hello, accept_welcome, decode_extensions)
from fragments import Assembly, check_first
from sender import Sender
from session import InCall, Role, Session
from wire import FrameParser, Header, Verdict, check_header


class Receiver:
    def __init__(self, session: Session, sender: Sender) -> None:
        self._s = session
        self._sender = sender
        self._parser = FrameParser(self)
        self._header_at = 0.0
        self._total: int | None = None

    def feed(self, data: bytes) -> None:
        try:
            for header, payload in self._parser.feed(data):
                self._handle(header, payload)
                if self._s.discarding:
                    self._parser.stopped = True
        except LwError as error:
            self._parser.stopped = True
            self._s.fail(error)

    # Judging by the header

    def judge_header(self, header: Header) -> Verdict:
        s = self._s
        self._header_at = s.now
        limit = s.mine.max_frame if s.greeted else HANDSHAKE_FRAME_LIMIT
        if not check_header(header, limit, s.mine.capabilities):
            return Verdict.SKIP
        kind = Kind(header.kind)
        self._check_state(kind, header)
        self._check_capabilities(kind, header)
        if kind in MESSAGES:
            return self._judge_message(kind, header)
        if kind is Kind.CANCEL and header.flags & ORIGIN:
            if (Kind.REPLY, header.sequence) not in s.assemblies:
                raise LwError(Close.BAD_FRAGMENT, "LW-4.13", "no unfinished REPLY with this id")
        return Verdict.STORE

    def judge_total(self, header: Header, total: int) -> None:
        check_first(header, total)
        self._total = total
        self._judge_first(Kind(header.kind), header, total)

    def _check_state(self, kind: Kind, header: Header) -> None:
        s = self._s
        if not s.greeted:
            greeting = Kind.WELCOME if s.role is Role.DIALER else Kind.HELLO
            if kind is not Kind.CLOSE and (kind is not greeting or s.open):
                raise LwError(Close.UNEXPECTED_FRAME, "LW-3.1", f"{kind.name} in the handshake")
            return
        if kind in (Kind.HELLO, Kind.WELCOME):
            raise LwError(Close.UNEXPECTED_FRAME, "LW-3.1", f"{kind.name} after the handshake")
        if s.end_received and kind in (Kind.REQUEST, Kind.DRAIN):
            raise LwError(Close.UNEXPECTED_FRAME, "LW-7.9", f"{kind.name} behind END")
        if kind is Kind.DRAIN and s.drain_received and not header.flags & END:
            raise LwError(Close.UNEXPECTED_FRAME, "LW-7.9", "a second DRAIN without END")

    def _check_capabilities(self, kind: Kind, header: Header) -> None:
        s = self._s
        missing = (kind in MESSAGES and header.more and not s.mine.capabilities & FRAGMENTS
                   or kind is Kind.CANCEL and not s.mine.capabilities & CANCEL
                   or kind is Kind.DRAIN and not s.both_have(DRAIN))
        if missing:
            raise LwError(Close.NOT_NEGOTIATED, "LW-3.9", kind.name)

    def _judge_message(self, kind: Kind, header: Header) -> Verdict:
        assembly = self._s.assemblies.get((kind, header.sequence))
        if assembly is not None:
            assembly.check_continuation(header)
            return Verdict.STORE
        if header.more:
            if header.length < 4:
                raise LwError(Close.BAD_FRAGMENT, "LW-6.8", "shorter than its total field")
            return Verdict.NEED_TOTAL
        if kind is Kind.PUSH and header.sequence != 0:
            raise LwError(Close.BAD_FRAGMENT, "LW-6.8", "a push id without a first fragment")
        self._total = None
        self._judge_first(kind, header, header.length)
        return Verdict.STORE

    def _judge_first(self, kind: Kind, header: Header, length: int) -> None:
        s = self._s
        if length > s.mine.max_message:
            raise LwError(Close.MESSAGE_TOO_LARGE, "LW-6.6", f"{kind.name} of {length} bytes")
        if kind is Kind.REQUEST:
            if header.slot >= s.mine.call_slots:
                raise LwError(Close.SLOT_BEYOND_LIMIT, "LW-4.1", f"slot {header.slot}")
            if header.slot in s.in_calls:
                raise LwError(Close.SLOT_IN_USE, "LW-4.1", f"slot {header.slot}")
            s.take_requests.take(charge(length))
        elif kind is Kind.REPLY:
            call = s.out_calls.get(header.sequence)
            if call is None or not call.sent:
                raise LwError(Close.UNKNOWN_CALL, "LW-4.5", f"call {header.sequence:#x}")
        else:
            if header.more:
                self._check_push_slot(header)
            s.take_pushes.take(charge(length))

    def _check_push_slot(self, header: Header) -> None:
        if header.slot >= PUSH_SLOTS:
            raise LwError(Close.SLOT_BEYOND_LIMIT, "LW-6.10", f"push slot {header.slot}")
        for kind, sequence in self._s.assemblies:
            if kind == Kind.PUSH and sequence & 0xFFFF == header.slot:
                raise LwError(Close.SLOT_IN_USE, "LW-6.10", f"push slot {header.slot}")

    # Acting on whole frames

    def _handle(self, header: Header, payload: bytes) -> None:
        s = self._s
        kind = Kind(header.kind)
        if kind in MESSAGES:
            self._fragment_or_message(kind, header, payload)
        elif kind is Kind.PING:
            s.ping = (payload, s.now)  # an older one need not be answered (LW-8.1)
        elif kind is Kind.PONG:
            s.events.append(Pong(payload[:8], int.from_bytes(payload[8:], "big")))
        elif kind is Kind.CREDIT:
            requests, pushes = struct.unpack(">QQ", payload)
            s.send_requests.raise_to(requests)
            s.send_pushes.raise_to(pushes)
        elif kind is Kind.CANCEL:
            self._cancel(header)
        elif kind is Kind.DRAIN:
            self._drain(header)
        elif kind is Kind.CLOSE:
            s.peer_closed(header.code, CloseFields.decode(payload))
        elif kind is Kind.HELLO:
            self._hello(payload)
        else:
            welcome = accept_welcome(payload, s.mine.versions)
            s.opened(welcome)
            s.greeted = True
            s.events.append(Opened(welcome))

    def _hello(self, payload: bytes) -> None:
        s = self._s
        hello = accept_hello(payload)
        refusal = s.decide(hello) if s.decide is not None else None
        if refusal is not None:
            s.start_close(*refusal)
            return
        s.opened(hello)
        s.events.append(Opened(hello))

    def _fragment_or_message(self, kind: Kind, header: Header, payload: bytes) -> None:
        s = self._s
        key = (kind, header.sequence)
        assembly = s.assemblies.get(key)
        if assembly is None and not header.more:
            if kind is Kind.REQUEST:
                s.in_calls[header.slot] = InCall(header.sequence, charge(header.length))
            self._deliver(kind, header, payload, charge(header.length), self._header_at)
            return
        if assembly is None:
            assert self._total is not None
            assembly = Assembly(header, self._total, charge(self._total), self._header_at)
            s.assemblies[key] = assembly
            payload = payload[4:]
            if kind is Kind.REQUEST:
                s.in_calls[header.slot] = InCall(header.sequence, assembly.charge)
        assembly.add(payload)
        if not header.more:
            del s.assemblies[key]
            self._deliver(kind, assembly.first, assembly.message(), assembly.charge,
                          assembly.arrived_at)

    def _deliver(self, kind: Kind, header: Header, message: bytes, cost: int, at: float) -> None:
        extensions = Extensions()
        if header.ext:
            extensions, message = decode_extensions(kind, message)
        route = header.code if extensions.route is None else extensions.route
        if kind is Kind.REPLY:
            reply = Reply(header.sequence, header.code, message, extensions, Lane(header.lane))
            self._final_reply(reply)
        elif kind is Kind.PUSH:
            self._s.events.append(Push(route, message, extensions, Lane(header.lane), cost))
        else:
            self._request(header, route, message, extensions, at)

    def _request(self, header: Header, route: int | str, body: bytes, extensions: Extensions,
                 arrived_at: float) -> None:
        s = self._s
        call = s.in_calls[header.slot]
        call.complete = True
        if s.close_placed:
            del s.in_calls[header.slot]  # LW-7.5: dropped, no REPLY can be sent
            return
        if s.closing is not None or s.soft_drain is not None:
            self._sender.reply(call, Status.DRAINING)
            return
        if extensions.deadline_ms is not None:
            call.deadline_at = arrived_at + extensions.deadline_ms / 1000
            if call.deadline_at <= s.now:
                self._sender.reply(call, Status.DEADLINE_EXPIRED)  # LW-4.11
                return
        s.events.append(Request(call.call_id, route, body, extensions, call.deadline_at,
                                Lane(header.lane)))

    def _final_reply(self, reply: Reply) -> None:
        self._s.events.append(reply)
        self._s.end_call(self._s.out_calls[reply.call_id])

    def _cancel(self, header: Header) -> None:
        s = self._s
        if header.flags & ORIGIN:
            del s.assemblies[(Kind.REPLY, header.sequence)]
            self._final_reply(Reply(header.sequence, Status.CANCELLED, b""))
            return
        incoming = s.in_calls.get(header.slot)
        if incoming is None or incoming.call_id != header.sequence:
            return  # the REPLY crossed it
        if not incoming.complete:
            del s.assemblies[(Kind.REQUEST, header.sequence)]
            incoming.complete = True
            self._sender.reply(incoming, Status.CANCELLED)
        elif incoming.answered:
            self._sender.give_up_reply(incoming)
        else:
            s.events.append(CancelRequested(incoming.call_id))

    def _drain(self, header: Header) -> None:
        s = self._s
        if s.drain_code is None:
            s.drain_code = header.code
        s.drain_received = True
        s.end_received = bool(header.flags & END)
        s.events.append(Draining(header.code, s.end_received))
        s.check_drained()
