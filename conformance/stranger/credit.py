"""The accounts of section 6.1: bytes of requests and of pushes, in each direction."""

from __future__ import annotations

from codes import CHARGE_PER_MESSAGE, U64_MAX, Close, LwError


def charge(length: int) -> int:
    return CHARGE_PER_MESSAGE + length  # LW-1.3


class SendAccount:
    """What this side may still send on one account."""

    def __init__(self, window: int) -> None:
        self.grant = window
        self.used = 0

    def fits(self, amount: int) -> bool:
        return self.used + amount <= self.grant

    def take(self, amount: int) -> None:
        assert self.fits(amount)
        self.used += amount

    def raise_to(self, grant: int) -> None:
        if grant < self.grant:
            raise LwError(Close.BAD_CREDIT, "LW-6.2", f"grant {grant} behind {self.grant}")
        self.grant = grant


class ReceiveAccount:
    """What the peer may still send on one account, and when it is told that it may send more."""

    def __init__(self, window: int, max_message: int) -> None:
        self._window = window
        self._largest = charge(max_message)
        self.granted = window
        self.received = 0
        self.returned = 0

    def take(self, amount: int) -> None:
        if self.received + amount > self.granted:
            raise LwError(Close.CREDIT_EXCEEDED, "LW-6.1",
                          f"{self.received} + {amount} is more than the grant {self.granted}")
        self.received += amount

    def give_back(self, amount: int) -> None:
        self.returned += amount

    def target(self) -> int:
        return min(self._window + self.returned, U64_MAX)  # LW-6.2, LW-6.3

    def due(self) -> bool:
        """Whether LW-6.4 demands a CREDIT now."""
        ungranted = self.target() - self.granted
        scarce = self.granted - self.received < self._largest
        return ungranted > 0 and (2 * ungranted >= self._window or scarce)

    def settle(self) -> int:
        self.granted = self.target()
        return self.granted
