"""A forecast in words and aligned tables, for the operator's terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cohortium_coordinator.combine.rules import ALIKE
from cohortium_coordinator.commands.shared import table
from cohortium_coordinator.forecast.study import EPSILONS, Alternative, OutcomeForecast, StudyForecast
from cohortium_coordinator.forecast.verdict import PUBLISHED
from cohortium_coordinator.report.scale import significant_figures

_MEANINGS = {
    "feasible": "it would find a change of a third of what is expected, four times in five",
    "weak": "it would miss a change of a third of what is expected too often, and find larger ones",
    "infeasible": "it would probably show nothing",
}


def brief(found: StudyForecast) -> str:
    """Returns the verdict in one or two sentences, for other commands."""
    people = f"With {found.helped:,} people helped and {found.comparators:,} to compare with,"
    return f"{people} this study is {found.verdict}: {_MEANINGS[found.verdict]}.{_needed(found)}"


def text(found: StudyForecast) -> str:
    """Returns the whole forecast."""
    return "\n\n".join(_parts(found))


def _parts(found: StudyForecast) -> Iterator[str]:
    yield f"{found.title}\nWhat it can be expected to show, before anybody is asked. Amounts are for one person."
    yield f"{brief(found)}\n{_published(found)}\n{_balance(found)}"
    yield table([_HEAD, *map(_row, found.outcomes)])
    if found.further:
        head = ("beside the headline", "outcome", "95 % interval", "smallest effect found")
        rows = ((each.title, each.outcome, _figure(each.width), _effect(each.detectable, each.detectable_part))
                for each in found.further)  # fmt: skip
        yield table([head, *rows])
    if found.alternatives:
        yield f"{found.headlines[0].title} under other budgets:\n{_budgets(found)}"
    yield "\n".join(["Assumed:", *_assumed(found)])


_HEAD = ("outcome", "expected", "95 % interval", "without noise", "noise", "smallest effect found", "verdict",
         "people helped needed")  # fmt: skip


def _row(outcome: OutcomeForecast) -> tuple[str, ...]:
    name = f"{outcome.name} *" if outcome.primary else outcome.name
    return (
        name, _figure(outcome.level), _figure(outcome.width), _figure(outcome.width_by_chance),
        f"{outcome.noise_share:.0%}", _effect(outcome.detectable, outcome.detectable_part), outcome.verdict,
        "-" if outcome.helped_needed is None else f"{outcome.helped_needed:,}",
    )  # fmt: skip


def _needed(found: StudyForecast) -> str:
    if found.verdict == "feasible":
        return ""
    if found.helped_needed is None:
        return (
            " More people helped alone would not make it feasible: it needs a larger epsilon, fewer outcomes, or more "
            "people to compare with."
        )
    return f" With about {found.helped_needed:,} people helped it would be feasible."


def _published(found: StudyForecast) -> str:
    sentence = f"A headline is published when more than {math.ceil(found.fewest):,} people are counted, noise included"
    chance = "certainly" if found.published_share > 0.999 else f"{found.published_share:.1%} likely"
    short = "" if found.published_share >= PUBLISHED else f", and should be {PUBLISHED:.0%} likely"
    return f"{sentence}: {chance}{short}."


def _balance(found: StudyForecast) -> str:
    balance = found.balance
    can = "A covariate can" if balance.green else "Noise is too large for any covariate to"
    return (
        f"Balance can be told to within {_figure(balance.reach)} standard deviations (noise {_figure(balance.noise)}). "
        f"{can} be called alike, which takes less than {ALIKE:.2f}."
    )


def _budgets(found: StudyForecast) -> str:
    kinds = tuple(dict.fromkeys(each.aggregation for each in found.alternatives))
    cells = {(each.epsilon, each.aggregation): _budget(each) for each in found.alternatives}
    head = ("epsilon", *(f"{kind} noise: interval, smallest effect, the study" for kind in kinds))
    return table([head, *((f"{epsilon:g}", *(cells[epsilon, kind] for kind in kinds)) for epsilon in EPSILONS)])


def _budget(each: Alternative) -> str:
    return f"{_figure(each.width):>6} {_figure(each.detectable):>6}  {each.verdict}"


def _assumed(found: StudyForecast) -> Iterator[str]:
    yield f"- All {found.nodes} data holders answer, and this many people are found; of the helped, none is lost."
    guessed = [f"{each.name} {_figure(each.level)}" for each in found.outcomes if each.level_assumed]
    if guessed:
        yield f"- Guessed: what people like those helped have without help: {', '.join(guessed)}. Say it with --level."
    if found.further:
        yield "- Groups and data holders are alike in size, and everybody helped finds the partners asked for."
    yield f"- Weighting makes the comparators' variance {found.overlap:g} times what it is after a lottery (--overlap)."
    yield "- People vary, and residuals are clipped, as in made-up worlds (docs/validation/forecast.md)."
    yield "* A headline outcome: the study's verdict is the worst of theirs."


def _effect(amount: float, part: float) -> str:
    return f"{_figure(amount)} ({part:.0%})"


def _figure(amount: float) -> str:
    return significant_figures(amount, 2)
