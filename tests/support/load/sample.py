"""What came of one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent and when its answer was there (seconds since the epoch), and what came of it.

    `opening` is what the connection took before, in seconds, and `release` says who answered.
    """

    kind: str
    kept: bool
    opening: float
    sent: float
    ended: float
    status: int
    release: str
    error: str

    @property
    def failed(self) -> bool:
        """Whether a visitor would have noticed."""
        return bool(self.error)

    @property
    def seconds(self) -> float:
        """How long a visitor waited."""
        return self.opening + self.ended - self.sent
