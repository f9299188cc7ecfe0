"""On which scale an outcome is shown to people, and how many decimals its numbers deserve."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.result import OutcomeEffect

MINUS = "−"


@dataclass(frozen=True)
class Scale:
    """How a per-person amount becomes one for people: times `factor`, in `unit`, `per`."""

    factor: float
    unit: str
    per: str
    less: str
    more: str

    @property
    def counted(self) -> bool:
        """Whether amounts are things counted over many people ("fewer") and not a level ("lower")."""
        return self.less == "fewer"

    @property
    def amount(self) -> str:
        """The unit and what it is counted over: "attendances per 100 people"."""
        return f"{self.unit} {self.per}".strip()


def scale_of(outcome: OutcomeEffect) -> Scale:
    """Events and days per 100 people, yes or no as people in 100, shares in points, the rest as is."""
    match outcome.kind:
        case "binary":
            return Scale(100, "people", "in every 100", "fewer", "more")
        case "share":
            return Scale(100, "percentage points", "", "lower", "higher")
        case "number":
            return Scale(1, outcome.unit, "per person", "lower", "higher")
        case _:
            return Scale(100, outcome.unit, "per 100 people", "fewer", "more")


def decimals(low: float, high: float) -> int:
    """Decimals (0 to 4) that give the interval's width two figures and no non-zero limit a zero."""
    width = high - low
    wanted = 0 if width <= 0 else 1 - math.floor(math.log10(width))
    places = min(4, max(0, wanted))
    while places < 4 and any(limit != 0 and round(limit, places) == 0 for limit in (low, high)):
        places += 1
    return places


def number(value: float, places: int) -> str:
    """A number for people: thousands separated, a real minus sign, no minus zero."""
    text = f"{abs(value):,.{places}f}"
    return f"{MINUS}{text}" if value < 0 and float(text.replace(",", "")) != 0 else text


def rounded_up(value: float, places: int = 2) -> str:
    """A bound as it is published: never below the value itself."""
    return f"{math.ceil(value * 10**places - 1e-9) / 10**places:,.{places}f}"


def significant_figures(value: float, figures: int = 3) -> str:
    """A number with so many significant figures, no trailing zeros; an exponent where it is tiny or huge."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{figures - 1}e}"
    text = number(value, max(0, figures - 1 - math.floor(math.log10(abs(value)))))
    return text.rstrip("0").rstrip(".") if "." in text else text
