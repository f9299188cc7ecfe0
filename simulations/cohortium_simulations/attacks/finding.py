"""What an attack came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One attack's result.

    A score that was counted over random trials is above or below the truth by chance. Such an attack is broken when
    even what is certain of it, ``at_least``, is above the bound.

    Attributes:
        name: of the attack.
        score: what the attacker got, from 0 (nothing) to 1 (everything).
        bound: the most that the promise leaves to an attacker; 0 where nothing at all may succeed.
        how: what was tried and what stopped it, in a sentence or two.
        chance_free: the score less what can be chance; None when chance has no part in it.
    """

    name: str
    score: float
    bound: float
    how: str
    chance_free: float | None = None

    @property
    def broken(self) -> bool:
        """Whether the attacker got more than the promise leaves."""
        return self.at_least > self.bound

    @property
    def at_least(self) -> float:
        """What the attacker got for certain."""
        return self.score if self.chance_free is None else self.chance_free

    def plain(self) -> dict[str, Any]:
        """Returns the finding as plain values."""
        outcome = "broken" if self.broken else "defended"
        figures = {"score": self.score, "at_least": self.at_least, "bound": self.bound}
        rounded = {name: round(figure, 4) for name, figure in figures.items()}
        return {"name": self.name, "outcome": outcome, **rounded, "how": self.how}
