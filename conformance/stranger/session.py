"""The state of one connection, shared by its receiving and its sending half."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Callable

from codes import FRAGMENTS, PUSH_SLOTS, U32_MAX, Kind, LwError, UsageError
from credit import ReceiveAccount, SendAccount
from events import CallLost, Event, Failed, Lost, PeerClosed
from fields import CloseFields, Hello
from fragments import Assembly
from outbox import Outbox
from wire import call_id


class Role(Enum):
    DIALER = "dialer"
    ACCEPTOR = "acceptor"


class Slots:
    """The table from which a caller issues ids (LW-4.1, LW-4.2); also for push ids (LW-6.10)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._generations: list[int] = []
        self._free: deque[int] = deque()

    def available(self) -> bool:
        return bool(self._free) or len(self._generations) < self._limit

    def issue(self) -> int:
        if self._free:
            slot = self._free.popleft()
        elif len(self._generations) < self._limit:
            slot = len(self._generations)
            self._generations.append(0)
        else:
            raise UsageError("LW-4.1: every slot that the callee announced is in use")
        generation = self._generations[slot] % U32_MAX + 1
        self._generations[slot] = generation
        return call_id(generation, slot)

    def release(self, issued: int) -> None:
        self._free.append(issued & 0xFFFF)


@dataclass
class InCall:
    """A call of the peer, from the header of its REQUEST until its REPLY is sent."""

    call_id: int
    charge: int
    deadline_at: float | None = None
    complete: bool = False
    answered: bool = False  # its REPLY is queued


@dataclass
class OutCall:
    """A call of this side. `sent` when its whole REQUEST, or a CANCEL in it, has gone out."""

    call_id: int
    sent: bool = False
    cancelled: bool = False


class Session:
    """Tables, accounts, and the ways in which a connection ends (section 7, section 12)."""

    def __init__(self, role: Role, mine: Hello, now: float,
                 decide: Callable[[Hello], tuple[int, CloseFields] | None] | None) -> None:
        self.role = role
        self.mine = mine
        self.decide = decide
        self.now = now
        self.started_at = now
        self.heard_at = now
        self.placed_at = now
        self.peer: Hello | None = None
        self.greeted = False  # WELCOME has been sent or received
        self.events: list[Event] = []
        self.outbox = Outbox()
        self.control: deque[tuple[bytes, Callable[[], None]]] = deque()
        self.ping: tuple[bytes, float] | None = None
        self.assemblies: dict[tuple[int, int], Assembly] = {}
        self.in_calls: dict[int, InCall] = {}
        self.out_calls: dict[int, OutCall] = {}
        self.slots = Slots(0)
        self.push_slots = Slots(0)
        self.take_requests = ReceiveAccount(mine.request_window, mine.max_message)
        self.take_pushes = ReceiveAccount(mine.push_window, mine.max_message)
        self.send_requests = SendAccount(0)
        self.send_pushes = SendAccount(0)
        self.drain_code: int | None = None  # of the DRAIN sent or received first
        self.drain_wanted = False  # by this side, which then closes (LW-7.11)
        self.drain_fields = CloseFields()
        self.drain_received = False
        self.end_received = False
        self.end_placed = False
        self.soft_drain: int | None = None  # a drain without the capability (LW-7.12)
        self.closing: tuple[int, CloseFields] | None = None
        self.closing_at = now
        self.close_placed = False
        self.peer_close: int | None = None
        self.error: LwError | None = None
        self.eof = False
        self.aborted = False

    @property
    def open(self) -> bool:
        return self.peer is not None

    def peer_has(self, capability: int) -> bool:
        return self.peer is not None and bool(self.peer.capabilities & capability)

    def both_have(self, capability: int) -> bool:
        return self.peer_has(capability) and bool(self.mine.capabilities & capability)

    @property
    def discarding(self) -> bool:
        """Nothing that still comes from the peer is acted upon (LW-7.1, LW-7.3, LW-7.7)."""
        return (self.peer_close is not None or self.error is not None or self.aborted
                or self.closing is not None and not self.greeted)

    def start_close(self, code: int, fields: CloseFields = CloseFields()) -> None:
        if self.closing is None:
            self.closing = (code, fields)
            self.closing_at = self.now

    def fail(self, error: LwError) -> None:
        """An error was noticed (LW-7.3): CLOSE behind what has its place already."""
        if self.discarding:
            return
        self.error = error
        self.events.append(Failed(error))
        self.give_up_output(keep_replies=False)
        if not self.close_placed:
            self.closing = (error.code, CloseFields(text=f"{error.clause}: {error.detail}"))
            self.closing_at = self.now
        self.lose_calls()

    def peer_closed(self, code: int, fields: CloseFields) -> None:
        """The peer's CLOSE has arrived (LW-7.2)."""
        self.peer_close = code
        self.events.append(PeerClosed(code, fields))
        self.give_up_output(keep_replies=True)
        self.start_close(code)
        self.lose_calls()

    def give_up_output(self, keep_replies: bool) -> None:
        self.ping = None
        self.control.clear()
        self.outbox.clear(Kind.REQUEST)
        if not keep_replies:
            self.outbox.clear(Kind.REPLY)
            self.outbox.clear(Kind.PUSH)

    def lose_calls(self) -> None:
        self.events += [CallLost(lost) for lost in self.out_calls]
        self.out_calls.clear()
        self.in_calls = {slot: call for slot, call in self.in_calls.items() if call.answered}
        self.assemblies.clear()

    def abort(self, why: str) -> None:
        """Ends the connection without a CLOSE."""
        if not self.aborted:
            self.aborted = True
            self.events.append(Lost(why))
            self.give_up_output(keep_replies=False)
            self.lose_calls()

    def end_of_stream(self) -> None:
        self.eof = True
        if self.peer_close is None and self.error is None and self.closing is None:
            self.abort("LW-7.6: the stream ended without a CLOSE")
        elif self.peer_close is None:
            self.lose_calls()

    def send_control(self, data: bytes, placed: Callable[[], None] = lambda: None) -> None:
        """Queues a frame that is not a message; `placed` is called when it has its place."""
        self.control.append((data, placed))

    def end_call(self, call: OutCall) -> None:
        """The final REPLY has arrived: the slot is free (LW-4.3)."""
        del self.out_calls[call.call_id]
        self.slots.release(call.call_id)
        self.check_drained()

    def check_drained(self) -> None:
        """LW-7.11, and LW-7.12 where DRAIN is not available."""
        if self.in_calls or self.out_calls:
            return
        if self.drain_wanted and self.end_placed and self.end_received:
            assert self.drain_code is not None
            self.start_close(self.drain_code, self.drain_fields)
        elif self.soft_drain is not None:
            self.start_close(self.soft_drain, self.drain_fields)

    def opened(self, peer: Hello) -> None:
        self.peer = peer
        self.heard_at = self.placed_at = self.now
        self.slots = Slots(peer.call_slots)
        self.push_slots = Slots(PUSH_SLOTS)
        self.send_requests = SendAccount(peer.request_window)
        self.send_pushes = SendAccount(peer.push_window)

    def largest_to_peer(self) -> int:
        """The longest message that the peer takes (LW-6.6)."""
        assert self.peer is not None
        if self.peer.capabilities & FRAGMENTS:
            return self.peer.max_message
        return min(self.peer.max_message, self.peer.max_frame)

    def frame_limit(self, block: int) -> int:
        """The longest frame for a message with an extension block of this length.

        Longer messages are cut (LW-6.7). Frames are no longer than this side's own MAX_FRAME
        unless the peer takes no fragments, or the block does not fit into a shorter one.
        """
        assert self.peer is not None
        if self.peer.capabilities & FRAGMENTS and block <= self.mine.max_frame - 4:
            return min(self.mine.max_frame, self.peer.max_frame)
        return self.peer.max_frame
