"""The sending half: decides which frame gets the next place in the byte stream (LW-1.4)."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

from codes import (CANCEL, END, ORIGIN, PREFACE, U32_MAX, Kind, Lane, Status, UsageError)
from credit import charge
from events import Reply, Route
from fields import Extensions
from fragments import Cutter
from outbox import Outgoing
from session import InCall, OutCall, Role, Session
from wire import frame


class Sender:
    def __init__(self, session: Session) -> None:
        self._s = session
        self._preface_sent = False

    def next_frame(self) -> bytes | None:
        """The bytes that take their place now; None if nothing can be sent."""
        s = self._s
        if s.aborted or s.close_placed:
            return None
        if not self._preface_sent:
            return self._preface()
        if s.role is Role.ACCEPTOR and not s.greeted and s.open and s.closing is None:
            s.greeted = True
            return frame(Kind.WELCOME, s.mine.encode())
        if s.error is not None or not s.greeted:
            return self._close()
        return self._housekeeping() or self._drain_end() or self._message() or self._close()

    def _preface(self) -> bytes | None:
        s = self._s
        if s.role is Role.ACCEPTOR and not s.open and s.closing is None:
            return None  # LW-2.2: no later than in front of its first frame
        self._preface_sent = True
        if s.role is Role.DIALER:
            return PREFACE + frame(Kind.HELLO, s.mine.encode())
        return PREFACE

    # Frames that are not messages

    def _housekeeping(self) -> bytes | None:
        s = self._s
        if s.ping is not None:
            payload, arrived_at = s.ping
            s.ping = None
            delay = min(int((s.now - arrived_at) * 1_000_000), U32_MAX)
            return frame(Kind.PONG, payload + struct.pack(">I", delay))
        if s.control:
            data, placed = s.control.popleft()
            placed()
            return data
        if s.peer_close is None and (s.take_requests.due() or s.take_pushes.due()):
            grants = s.take_requests.settle(), s.take_pushes.settle()
            return frame(Kind.CREDIT, struct.pack(">QQ", *grants))
        return None

    def start_drain(self, code: int) -> None:
        """LW-7.9. DRAIN without END is only worth a frame if REQUESTs still wait."""
        s = self._s
        s.drain_code = code
        if s.outbox.has(Kind.REQUEST):
            s.send_control(frame(Kind.DRAIN, code=code))

    def _drain_end(self) -> bytes | None:
        """DRAIN with END, behind the last REQUEST that was accepted (LW-7.10)."""
        s = self._s
        if (s.drain_code is None or s.end_placed or s.outbox.has(Kind.REQUEST)
                or s.peer_close is not None):
            return None
        s.end_placed = True
        s.check_drained()
        return frame(Kind.DRAIN, flags=END, code=s.drain_code)

    def _close(self) -> bytes | None:
        s = self._s
        if s.closing is None:
            return None
        s.close_placed = True
        code, fields = s.closing
        return frame(Kind.CLOSE, fields.encode(), code=code)

    # Messages

    def request(self, route: Route, body: bytes, extensions: Extensions, lane: Lane,
                deadline_at: float | None) -> int:
        s = self._s
        if deadline_at is not None:
            extensions = replace(extensions, deadline_ms=0)  # filled in when it is sent
        code, extensions = _named(route, extensions)
        length = self._check_length(extensions, body)
        call = OutCall(s.slots.issue())
        s.out_calls[call.call_id] = call

        def sent() -> None:
            call.sent = True

        s.outbox.add(Outgoing(Kind.REQUEST, call.call_id, code, body, extensions, lane, length,
                              sent, deadline_at))
        return call.call_id

    def push(self, route: Route, body: bytes, extensions: Extensions, lane: Lane) -> None:
        code, extensions = _named(route, extensions)
        length = self._check_length(extensions, body)
        self._s.outbox.add(Outgoing(Kind.PUSH, 0, code, body, extensions, lane, length,
                                    lambda: None))

    def reply(self, call: InCall, status: int, body: bytes = b"",
              extensions: Extensions = Extensions(), lane: Lane = Lane.NORMAL) -> None:
        s = self._s
        try:
            length = self._check_length(extensions, body)
        except UsageError:
            status, body, extensions, length = Status.REPLY_TOO_LARGE, b"", Extensions(), 0
        call.answered = True
        s.outbox.add(Outgoing(Kind.REPLY, call.call_id, status, body, extensions, lane, length,
                              lambda: self._end_in_call(call)))

    def _end_in_call(self, call: InCall) -> None:
        """Its final REPLY has been sent (LW-4.4, LW-6.3)."""
        s = self._s
        if s.in_calls.pop(call.call_id & 0xFFFF, None) is not None:
            s.take_requests.give_back(call.charge)
        s.check_drained()

    def _check_length(self, extensions: Extensions, body: bytes) -> int:
        s = self._s
        block = len(extensions.encode())
        length = block + len(body)
        if length > s.largest_to_peer():
            raise UsageError(f"LW-6.6: a message of {length} bytes is more than the peer takes")
        assert s.peer is not None
        if length > s.peer.max_frame and block > s.peer.max_frame - 4:
            raise UsageError("LW-6.7: the extension block does not fit into the first fragment")
        return length

    def _may_begin(self, message: Outgoing) -> bool:
        s = self._s
        if message.kind is Kind.REPLY:
            return True
        if message.kind is Kind.REQUEST:
            return s.send_requests.fits(charge(message.length))
        if self._is_cut(message) and not s.push_slots.available():
            return False
        return s.send_pushes.fits(charge(message.length))

    def _is_cut(self, message: Outgoing) -> bool:
        return message.length > self._s.frame_limit(len(message.extensions.encode()))

    def _message(self) -> bytes | None:
        s = self._s
        message = s.outbox.pick(self._may_begin)
        if message is None:
            return None
        if message.cutter is None:
            message.cutter = self._begin(message)
        data = message.cutter.next_frame()
        s.outbox.count(message, len(data))
        if message.cutter.done:
            if message.kind is Kind.PUSH and message.sequence:
                s.push_slots.release(message.sequence)
            message.on_sent()
        return data

    def _begin(self, message: Outgoing) -> Cutter:
        s = self._s
        extensions = message.extensions
        flags = int(message.lane)
        if message.kind is Kind.REPLY:
            flags |= ORIGIN
        elif message.kind is Kind.REQUEST:
            s.send_requests.take(charge(message.length))
            if message.deadline_at is not None:
                left = math.ceil(max(0.0, message.deadline_at - s.now) * 1000)
                extensions = replace(extensions, deadline_ms=min(left, U32_MAX))  # LW-4.10
        else:
            s.send_pushes.take(charge(message.length))
            if self._is_cut(message):
                message.sequence = s.push_slots.issue()
        block = extensions.encode()
        return Cutter(message.kind, flags, message.sequence, message.code, block, message.body,
                      s.frame_limit(len(block)))

    # Giving up

    def cancel(self, call: OutCall) -> None:
        """LW-4.12. A REQUEST that has not been sent at all just leaves the queue."""
        s = self._s
        waiting = s.outbox.find(Kind.REQUEST, call.call_id)
        if waiting is not None and not waiting.begun:
            s.outbox.remove(waiting)
            s.events.append(Reply(call.call_id, Status.CANCELLED, b"", local=True))
            s.end_call(call)
            return
        if call.cancelled or not s.peer_has(CANCEL) or s.closing is not None:
            return
        if waiting is not None:
            s.outbox.remove(waiting)

        def placed() -> None:
            call.sent = True

        call.cancelled = True
        s.send_control(frame(Kind.CANCEL, sequence=call.call_id), placed)

    def give_up_reply(self, call: InCall) -> None:
        """LW-4.13: ends a REPLY of which fragments have been sent."""
        s = self._s
        waiting = s.outbox.find(Kind.REPLY, call.call_id)
        if waiting is None or not waiting.begun or not s.peer_has(CANCEL):
            return
        s.outbox.remove(waiting)
        s.send_control(frame(Kind.CANCEL, sequence=call.call_id, flags=ORIGIN),
                       lambda: self._end_in_call(call))


def _named(route: Route, extensions: Extensions) -> tuple[int, Extensions]:
    if isinstance(route, str):
        return 0, replace(extensions, route=route)
    return route, extensions
