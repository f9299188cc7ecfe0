"""The sentences of a report. The interval leads; null and adverse results are said as plainly as good ones.

There are two wordings for an effect and no third: the interval excludes zero, or it spans zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cohortium_coordinator.report.scale import (
    Scale,
    decimals,
    number,
    rounded_up,
    scale_of,
    significant_figures,
)
from cohortium_coordinator.result import Check, OutcomeEffect, PrivacyStatement, StudyResult

SUBMITTED = "Submitted by the provider"
NO_EFFECT_IS_NOT_SHOWN = "This does not mean that the programme has no effect."

METHODS = {
    "doubly_robust": (
        "What usually happens to people like those helped was learnt from the comparison group; comparison "
        "people were then weighted to look like those helped, and the two groups were compared (doubly "
        "robust weighting)."
    ),
    "strata": (
        "What usually happens to people like those helped was learnt from the comparison group; comparison people of "
        "whom about the same was expected were then weighted to look like those helped, and compared with them "
        "(stratification on the prognostic score)."
    ),
    "matched_pairs": (
        "For each person helped, the most similar comparison people were found, and the pairs were compared (matching "
        "without replacement). Only people for whom a match was found are in the figures."
    ),
}
COMPARISONS = {
    "national": "The comparison group is drawn from all data holders together.",
    "within_node": "Each person is compared only with people of the same data holder.",
}
CAVEATS = (
    "Similar on paper is not the same. People who take up help may differ in ways that are not recorded, "
    "such as motivation or support at home. Such differences may explain part or all of a result.",
    "People in the comparison group may have had other help that is not recorded.",
    "Only people who could be found in the records and met the study's rules were analysed; the others may "
    "have fared differently.",
    "The figures cannot be compared with national averages, or with reports on other programmes: the "
    "people differ.",
)


@dataclass(frozen=True)
class Verdict:
    """One of four: `tone` chooses colour and shape, the words say the same without either."""

    tone: str
    symbol: str
    words: str


def direction(outcome: OutcomeEffect) -> str:
    """One of "lower", "higher" and, when the interval spans zero, "unclear"."""
    if not outcome.significant:
        return "unclear"
    return "higher" if outcome.low > 0 else "lower"


def verdict(outcome: OutcomeEffect) -> Verdict:
    """Better, worse, different or unclear, by the interval and the hoped-for direction."""
    side = direction(outcome)
    if side == "unclear":
        return Verdict("unclear", "◇", "The direction is not clear yet")
    symbol = "▲" if side == "higher" else "▼"
    if outcome.better == "neither":
        return Verdict("different", symbol, side.capitalize())
    if outcome.better == side:
        return Verdict("better", symbol, f"{side.capitalize()}, as hoped")
    return Verdict("worse", symbol, f"{side.capitalize()}, the opposite of what was hoped")


def _limits(outcome: OutcomeEffect, scale: Scale) -> tuple[str, str]:
    """The sizes, without sign, of the interval's lower and upper limit."""
    low, high = scale.factor * outcome.low, scale.factor * outcome.high
    places = decimals(low, high)
    return number(abs(low), places), number(abs(high), places)


def effect(outcome: OutcomeEffect) -> str:
    """The interval in one of the two wordings, without the outcome's name and without a full stop."""
    scale = scale_of(outcome)
    low, high = _limits(outcome, scale)
    side = direction(outcome)
    if side != "unclear":
        near, far = (low, high) if side == "higher" else (high, low)
        return f"{side} by between {near} and {far} {scale.amount}"
    quantity = "many" if scale.counted else "much"
    reaches = [
        f"{word} by as {quantity} as {size}"
        for word, size, there in (("lower", low, outcome.low < 0), ("higher", high, outcome.high > 0))
        if there
    ]
    return f"{' or '.join(reaches)} {scale.amount}" if reaches else "no difference seen"


def people_needed(outcome: OutcomeEffect) -> str:
    """That more people would be needed and, where computable, about how many (two figures, rounded up)."""
    sentence = "More people would be needed to tell the direction"
    if outcome.people_needed is None:
        return f"{sentence}."
    step = 10 ** max(0, math.floor(math.log10(outcome.people_needed)) - 1)
    return f"{sentence}: about {step * math.ceil(outcome.people_needed / step):,} people helped."


def finding(outcome: OutcomeEffect) -> str:
    """The key finding for one outcome: one of the two wordings, after the outcome's title."""
    if outcome.significant:
        return f"{effect(outcome)}, and the result is statistically significant."
    return f"{effect(outcome)}. {people_needed(outcome)} {NO_EFFECT_IS_NOT_SHOWN}"


def span(outcome: OutcomeEffect) -> str:
    """The interval as a person would say it: "between 12 and 45 fewer", "from 12 fewer to 20 more"."""
    scale = scale_of(outcome)
    low, high = _limits(outcome, scale)
    unit = "" if scale.counted else f"{scale.unit} "
    match direction(outcome):
        case "lower":
            return f"between {high} and {low} {unit}{scale.less}"
        case "higher":
            return f"between {low} and {high} {unit}{scale.more}"
    ends = (_end(outcome.low, low, unit, scale), _end(outcome.high, high, unit, scale))
    return f"from {ends[0]} to {ends[1]}"


def _end(limit: float, size: str, unit: str, scale: Scale) -> str:
    if limit == 0:
        return "no difference"
    return f"{size} {unit}{scale.less if limit < 0 else scale.more}"


def span_with_unit(outcome: OutcomeEffect) -> str:
    """The interval and what it counts: "between 12 and 45 fewer attendances"."""
    scale = scale_of(outcome)
    return f"{span(outcome)} {scale.unit}" if scale.counted else span(outcome)


def impact(outcome: OutcomeEffect) -> str:
    """Estimated impact: what the interval means for people like those helped."""
    who = (
        "100 people like those helped"
        if scale_of(outcome).counted
        else "people like those helped, on average"
    )
    return f"For {who}: {span_with_unit(outcome)}."


def over_whom(outcome: OutcomeEffect) -> str:
    """The unit line under a headline: "attendances for 100 people like those helped"."""
    scale = scale_of(outcome)
    if scale.counted:
        return f"{scale.unit} for 100 people like those helped"
    return "for people like those helped, on average"


def can_say(result: StudyResult) -> tuple[str, ...]:
    """Sentences a reader may repeat about the headline outcomes."""
    return tuple(
        f"“{outcome.title}: {effect(outcome)} among people helped than among similar people who were not.”"
        if outcome.significant
        else f"“{outcome.title}: among people helped, compared with similar people who were not, it may "
        f"have been {effect(outcome)}. The study cannot yet tell which.”"
        for outcome in result.headlines
    )


def cannot_say(result: StudyResult) -> tuple[str, ...]:
    """Sentences nobody may draw from this study."""
    unclear = [outcome.title for outcome in result.headlines if not outcome.significant]
    clear = [outcome.title for outcome in result.headlines if outcome.significant]
    return (
        *(f"“{title}: the programme has no effect.” The study did not find that." for title in unclear),
        *(f"“{title}: the programme alone made the difference.” Other causes remain." for title in clear),
        "“Everybody who is helped can expect this.” The figures are averages over many people.",
        "“It works better (or worse) than another programme.” Each study compares its own people.",
    )


def caveats(result: StudyResult) -> tuple[str, ...]:
    """What a reader must know before using the figures: the general caveats, then this study's own."""
    capped = ", ".join(
        f"{outcome.title} at {significant_figures(outcome.clip_high)} {outcome.unit}"
        for outcome in result.outcomes
        if outcome.kind not in ("binary", "share", "time")
    )
    own = [
        f"A check failed: {check.title}. The groups differ in something that is not recorded."
        for check in result.checks
        if check.name.startswith("falsification.") and check.state == "failed"
    ]
    if capped:
        own.append(f"To protect people with unusual records, values were capped for each person: {capped}.")
    if any(outcome.pass_through < 1 for outcome in result.outcomes):
        own.append(
            "Large surprises were cut before summing, and the estimate corrects for the share of an effect "
            "lost in this way. The correction assumes an effect spread over many people, not confined to a "
            "few extreme cases."
        )
    return (*CAVEATS, *own)


def method(result: StudyResult) -> tuple[str, ...]:
    """How the study compared people, in plain words where the method is known by name."""
    return (
        METHODS.get(result.method, f"Method: {result.method.replace('_', ' ')}."),
        COMPARISONS.get(result.comparison, f"Comparison: {result.comparison.replace('_', ' ')}."),
    )


def data_holders(result: StudyResult) -> str:
    """How many data holders answered, and what became of the others."""
    answered = sum(node.status == "answered" for node in result.nodes)
    others = [f"{node.name} ({node.status})" for node in result.nodes if node.status != "answered"]
    sentence = f"{answered} of {len(result.nodes)} data holders answered."
    return f"{sentence} Not in these figures: {', '.join(others)}." if others else sentence


def p_value(value: float) -> str:
    """A p-value as it is printed: three decimals, and never zero."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def check_state(check: Check) -> Verdict:
    """A check's state as colour, shape and word."""
    tones = {"passed": "better", "failed": "worse", "cannot tell": "unclear", "informational": "different"}
    symbols = {"passed": "✓", "failed": "✕", "cannot tell": "?", "informational": "i"}
    return Verdict(tones[check.state], symbols[check.state], check.state.capitalize())


def balance_state(state: str) -> Verdict:
    """A balance row's state as colour, shape and word."""
    return {
        "green": Verdict("better", "✓", "Alike"),
        "red": Verdict("worse", "✕", "Not alike"),
        "cannot tell": Verdict("unclear", "?", "Cannot tell"),
    }[state]


def left_each_node(privacy: PrivacyStatement) -> str:
    """What left the data holders, in plain words."""
    if not privacy.noise:
        return (
            "Noise was off. Exact sums left each data holder, so nothing on this page is private. This is "
            "meant for simulated or public data only."
        )
    what = (
        "Only sums left each data holder, listed below, and random noise was added to each sum before it "
        "left. No record, no identifier and no exact count left. "
    )
    if privacy.aggregation == "local":
        return what + "Each data holder added the full noise itself, so the promise relies on nobody else."
    return what + (
        "The sums left under masks that cancel out only in the total of all data holders, so nobody saw those of "
        "one of them, the operator included. Each added a share of the noise. The promise relies on no more of "
        "them working with the operator against the others than the plan assumed"
        + (
            f"; should all the others do so, epsilon {rounded_up(privacy.epsilon_if_all_others_collude)} is left."
            if privacy.epsilon_if_all_others_collude is not None
            else "."
        )
    )


def privacy_in_brief(privacy: PrivacyStatement) -> str:
    """The guarantee in two or three words, or that there is none."""
    if privacy.epsilon is None:
        return "not private: noise off"
    return "not private" if privacy.bounds_from_data else f"epsilon {rounded_up(privacy.epsilon)}"


def guarantee(privacy: PrivacyStatement) -> str:
    """The published (epsilon, delta) as a sentence on what an onlooker can learn; empty with noise off."""
    if privacy.epsilon is None or privacy.delta is None:
        return ""
    return (
        "Seeing these figures can change anybody's odds on whether one person is in the data by at most a "
        f"factor of {rounded_up(math.exp(privacy.epsilon), 1)} (epsilon {rounded_up(privacy.epsilon)}), "
        f"apart from a chance of {chance(privacy.delta)} (delta)."
    )


def chance(delta: float) -> str:
    """A tiny probability as "1 in 1,000,000", never said smaller than it is."""
    return f"1 in {math.floor(1 / delta + 1e-6):,}" if delta > 0 else "0"


def cost_of_noise(outcome: OutcomeEffect) -> str:
    """How much narrower the interval would be without the privacy noise."""
    narrower = 100 * (1 - math.sqrt(1 - outcome.noise_share))
    if narrower < 1:
        return "no narrower" if outcome.noise_share == 0 else "less than 1% narrower"
    return f"{narrower:.0f}% narrower"
