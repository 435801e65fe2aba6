"""Messages that wait to be sent: three lanes, and in each the kinds one behind the other."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Callable, Iterator

from codes import LANE_WEIGHTS, MESSAGES, Kind, Lane
from fields import Extensions
from fragments import Cutter


@dataclass(eq=False)
class Outgoing:
    kind: Kind
    sequence: int
    code: int
    body: bytes
    extensions: Extensions
    lane: Lane
    length: int
    on_sent: Callable[[], None]
    deadline_at: float | None = None
    cutter: Cutter | None = None  # there is one as soon as the first frame has been sent

    @property
    def begun(self) -> bool:
        return self.cutter is not None


Queues = dict[Kind, "deque[Outgoing]"]


def _queues() -> Queues:
    return {kind: deque() for kind in sorted(MESSAGES)}


@dataclass
class Outbox:
    """Takes turns between lanes in the proportion of their weights (LW-6.12).

    One kind of one lane is sent in order (LW-4.6), and one that waits for credit holds up no other
    kind (LW-6.5).
    """

    lanes: dict[Lane, Queues] = field(
        default_factory=lambda: {lane: _queues() for lane in LANE_WEIGHTS})
    _served: dict[Lane, float] = field(default_factory=lambda: dict.fromkeys(LANE_WEIGHTS, 0.0))
    _turn: float = 0.0

    def add(self, message: Outgoing) -> None:
        queues = self.lanes[message.lane]
        if not any(queues.values()):  # a lane that was empty has saved nothing up
            self._served[message.lane] = max(self._served[message.lane], self._turn)
        queues[message.kind].append(message)

    def pick(self, may_begin: Callable[[Outgoing], bool]) -> Outgoing | None:
        """The message whose next frame is to be sent."""
        ready: list[tuple[float, Lane, Outgoing]] = []
        for lane, queues in self.lanes.items():
            for queue in queues.values():
                if queue and (queue[0].begun or may_begin(queue[0])):
                    ready.append((self._served[lane], lane, queue[0]))
                    break
        if not ready:
            return None
        served, _, message = min(ready, key=lambda entry: entry[0])
        self._turn = served
        return message

    def count(self, message: Outgoing, sent: int) -> None:
        """Notes that a frame of `sent` bytes went out, and lets another kind have the next turn."""
        self._served[message.lane] += sent / LANE_WEIGHTS[message.lane]
        queues = self.lanes[message.lane]
        queue = queues.pop(message.kind)
        assert message.cutter is not None
        if message.cutter.done:
            queue.popleft()
        queues[message.kind] = queue

    def find(self, kind: Kind, sequence: int) -> Outgoing | None:
        for message in self.waiting(kind):
            if message.sequence == sequence:
                return message
        return None

    def waiting(self, kind: Kind) -> Iterator[Outgoing]:
        for queues in self.lanes.values():
            yield from queues[kind]

    def has(self, kind: Kind) -> bool:
        return any(queues[kind] for queues in self.lanes.values())

    def remove(self, message: Outgoing) -> None:
        self.lanes[message.lane][message.kind].remove(message)

    def clear(self, kind: Kind) -> None:
        for queues in self.lanes.values():
            queues[kind].clear()
