"""Diagnostics as values: the figure, the rule, and what follows from it. The thresholds are in ``rules``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.estimate import Effect, Weighted
from cohortium_coordinator.combine.found import Found
from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.ratio import Ratios
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.combine.rules import ALIKE, COUNT_SDS, LITTLE_I2, MATCHED, Q_LEVEL
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_coordinator.result import (
    BalanceRow,
    BalanceState,
    Check,
    CheckState,
    Heterogeneity,
    NodesCombined,
    OutcomeEstimate,
)
from cohortium_protocols.features import features
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Outcome, Plan


@dataclass(frozen=True)
class Findings:
    """What the rounds showed: both sides' profiles, the weighted comparators, and each outcome's effect and clip.

    ``second`` is the outcome round's own reading of the people helped; ``profile`` was used to make the weights, so
    balance is judged by ``second`` alone. ``attrition`` counts people by the step their way ended at. ``lost`` names
    the nodes in the profile and attrition that are not in the rest. ``heterogeneity`` holds the estimates of single
    nodes, where they released their own sums; ``further`` the plan's other estimates; ``alone`` the groups of the
    headline in which nobody could be compared; ``ratios`` what is shown beside a headline of weighted comparators;
    ``spreads`` about each measured outcome's standard deviation, in units of y. Of a headline of matched pairs,
    ``second`` and ``weighted`` are the matched people of either side, and ``matched`` is the share of the people helped
    who were matched.
    """

    profile: Profile
    second: Means
    weighted: Weighted
    effects: list[Effect]
    clips: list[ResidualClip]
    attrition: NoisySum
    lost: tuple[str, ...] = ()
    heterogeneity: tuple[Heterogeneity, ...] | None = None
    further: tuple[Found, ...] = ()
    alone: tuple[str, ...] = ()
    ratios: Ratios | None = None
    spreads: tuple[float | None, ...] = ()
    matched: float | None = None

    def main(self, plan: Plan) -> Iterator[tuple[Outcome, Effect]]:
        """Yields the primary outcomes and their effects, without outcomes in which no difference is expected."""
        for outcome, effect in zip(plan.outcomes, self.effects, strict=True):
            if outcome.primary and outcome.expected == "unknown":
                yield outcome, effect


def standard_deviations(profile: Profile) -> Array:
    """Returns the comparators' standard deviation of every feature, shape (p,): the unit of an SMD."""
    return np.sqrt(np.maximum(np.diag(profile.covariance), 1e-6))


def balance(plan: Plan, findings: Findings) -> tuple[BalanceRow, ...]:
    """Returns how alike the groups are on every feature, before and after weighting, with its noise interval.

    The intervals hold together: with 95 % probability all of them cover (Sidak 1967). Red: the whole interval of the
    SMD's size is above 0.10; green: all of it below; otherwise it cannot be told.

    Squares, ranges and products are judged by the same rule. They must be alike where all the covariates that they are
    made from must be: who differs in the square of prior use differs in prior use, but not who differs in its product
    with age.
    """
    wanted = features(plan)
    sd = standard_deviations(findings.profile)
    before = (findings.profile.treated.mean - findings.profile.comparators.mean) / sd
    after = (findings.second.mean - findings.weighted.means.mean) / sd
    half = together(len(wanted)) * np.sqrt(findings.second.noise + findings.weighted.means.noise) / sd
    needed = {OUTCOMES[outcome.name].prior for outcome in plan.outcomes if outcome.name in OUTCOMES}
    return tuple(
        balance_row(feature.name, feature.title, before=float(before[i]), after=float(after[i]), half=float(half[i]),
                    mandatory=needed.issuperset(feature.covariates))
        for i, feature in enumerate(wanted)
    )  # fmt: skip


def together(count: int) -> float:
    """Returns how many standard errors make 95 % intervals that hold all at once (Sidak 1967)."""
    return float(ndtri(0.5 + 0.95 ** (1 / max(count, 1)) / 2))


def balance_row(
    covariate: str, title: str, *, before: float, after: float, half: float, mandatory: bool
) -> BalanceRow:
    """Returns how alike the groups are on one feature; the interval after weighting reaches ``half`` to either side."""
    return BalanceRow(
        covariate=covariate, title=title, smd_before=before, smd_after=after, low=after - half, high=after + half,
        state=balance_state(after, half), mandatory=mandatory,
    )  # fmt: skip


def balance_state(after: float, half: float) -> BalanceState:
    """Returns the state of a standardised mean difference whose interval reaches ``half`` to either side."""
    if abs(after) + half < ALIKE:
        return "green"
    return "red" if abs(after) - half > ALIKE else "cannot tell"


def enough_people(plan: Plan, findings: Findings) -> Check:
    """Returns whether the noisy number of people helped allows a headline: decided on the first round's count."""
    count = findings.profile.treated
    floor = max(float(plan.publish.minimum_treated), COUNT_SDS * math.sqrt(count.n_noise))
    return Check(
        name="group_size", title="Enough people helped", state="passed" if count.n > floor else "failed",
        value=round(count.n, 1), unit="people", rule=f"more than {math.ceil(floor):,} people, counted with noise",
        meaning="Below this, one average would be too close to single people's records, or to noise alone.",
    )  # fmt: skip


def alike(rows: tuple[BalanceRow, ...]) -> Check:
    """Returns whether the groups are alike: failed when a covariate that must be balanced is red."""
    red = [row.title for row in rows if row.state == "red"]
    unclear = sum(row.state == "cannot tell" for row in rows)
    blocking = any(row.mandatory and row.state == "red" for row in rows)
    meaning = f"Not alike in: {', '.join(red)}." if red else "No covariate is clearly different after weighting."
    if unclear:
        meaning += f" For {unclear} of {len(rows)} the noise is too large to tell."
    state = "failed" if blocking else "passed" if not red and not unclear else "cannot tell"
    return Check(
        name="balance", title="Matched groups are alike", state=state,
        value=max((abs(row.smd_after) for row in rows), default=None),
        rule="the standardised mean difference (SMD) of every covariate is below 0.10", meaning=meaning,
    )  # fmt: skip


def overlap(findings: Findings) -> Check:
    """Returns whether enough comparators resemble the people helped, by their effective number (Kish 1965)."""
    if findings.matched is not None:
        return _most_are_matched(min(findings.matched, 1.0))
    ratio = findings.weighted.effective / findings.second.n
    return Check(
        name="overlap", title="Enough similar people to compare with", state="passed" if ratio >= 1 else "failed",
        value=round(findings.weighted.effective, 1), unit="people",
        rule="the effective number of comparators is at least the number of people helped",
        meaning="Weighting lets few comparators count for many; the effective number says how many they are worth.",
    )  # fmt: skip


def _most_are_matched(share: float) -> Check:
    return Check(
        name="overlap", title="People helped who found a match", value=round(share, 3),
        state="passed" if share >= MATCHED else "informational", rule=f"at least {MATCHED:.0%} of the people helped",
        meaning="The result is about matched people only: of the others it says nothing. A wider caliper, or fewer "
        "exact categories, would match more of them, and people less alike.",
    )  # fmt: skip


def noise_share(findings: Findings) -> Check:
    """Returns the largest share of an estimate's variance that privacy noise makes up."""
    largest = max(effect.noise / effect.variance for effect in findings.effects)
    return Check(
        name="noise_share", title="How much of the uncertainty is privacy noise", state="informational",
        value=round(largest, 3), rule="share of the variance, for the outcome where it is largest",
        meaning="The rest is chance: other people would have given other numbers.",
    )  # fmt: skip


def effect_shape(findings: Findings) -> Check:
    """Returns the smallest pass-through: how much of the correction rests on the assumed shape of the effect."""
    smallest = min(findings.clips, key=lambda clip: clip.pass_through)
    return Check(
        name="pass_through", title="Share of an effect seen after clipping", state="informational",
        value=round(smallest.pass_through, 3),
        rule="the estimate is divided by it, for the outcome where it is smallest",
        meaning="The correction assumes that the help changed outcomes by about the same amount or proportion for "
        "everybody. An effect on the few heaviest users alone would be partly missed.",
    )  # fmt: skip


def same_nodes(findings: Findings) -> Check | None:
    """Returns that nodes were lost on the way, when their people are in the profile and not in the estimate."""
    if not findings.lost:
        return None
    return Check(
        name="same_nodes", title="The same data holders in every round", state="informational",
        value=float(len(findings.lost)), unit="data holders", rule="nobody was lost after the first round",
        meaning="The estimates and the balance after weighting are of the data holders of the last round. The "
        f"profile, the balance before it and the attrition also count people of: {', '.join(findings.lost)}. In a "
        "secure sum nobody can take them out.",
    )  # fmt: skip


def clipping(findings: Findings) -> Check | None:
    """Returns the largest share of comparators' residuals that is beyond the clip, where a release tells it."""
    known = [clip.cut for clip in findings.clips if clip.cut is not None]
    if not known:
        return None
    low, high = max(known, key=lambda cut: cut[1])
    return Check(
        name="clipping", title="Share of surprises that were cut", state="informational", value=round(high, 3),
        rule=f"of comparators' residuals, {low:.1%} to {high:.1%} are beyond the clip, for the outcome where it may be "
        "most; the larger is shown",
        meaning="What a person had beyond expectation is cut at the clip, so that nobody counts for too much. The more "
        "is cut, the more the estimate rests on the assumed shape of the effect.",
    )  # fmt: skip


def holders_agree(plan: Plan, findings: Findings) -> Iterator[Check]:
    """Yields, for each primary outcome, whether data holders' effects differ, where each released its own sums."""
    blocks = [each for each in findings.heterogeneity or () if each.compared_with == "all data holders"]
    titles = {outcome.name: outcome.title for outcome, _ in findings.main(plan)}
    yield from (_holders_agree(titles[each.outcome], each) for each in blocks if each.outcome in titles)


def _holders_agree(title: str, block: Heterogeneity) -> Check:
    found = block.combined
    figures = f"I2 {found.i2:.0%}, p-value of Q {found.q_p_value:.3f}" if found else "fewer than two could be estimated"
    differ = found is not None and found.q_p_value < Q_LEVEL
    meaning = (
        "The effect is not the same everywhere; the result is its average over the people helped."
        if differ
        else "No sign that the effect differs between data holders. With few of them, differences can go unnoticed."
    )
    return Check(
        name=f"heterogeneity.{block.outcome}", title=f"The same effect at every data holder: {title}",
        state=_holders_state(found), value=found and round(found.i2, 3), meaning=meaning,
        rule=f"passed: Q has a p-value of at least {Q_LEVEL:.2f} and I2 is at most {LITTLE_I2:.0%} ({figures}); "
        "informational: the p-value is smaller",
    )  # fmt: skip


def _holders_state(found: NodesCombined | None) -> CheckState:
    if found is None:
        return "cannot tell"
    if found.q_p_value < Q_LEVEL:
        return "informational"
    return "passed" if found.i2 <= LITTLE_I2 else "cannot tell"


def analyses_agree(plan: Plan, findings: Findings) -> Iterator[Check]:
    """Yields, for each primary outcome, whether a further analysis differs from the headline.

    All analyses are of the same people, so that their errors go together: an interval of the difference that adds the
    two variances is too wide, never too narrow.
    """
    for outcome, headline in findings.main(plan):
        beside = [each for each in findings.further if each.outcome == outcome and each.estimate.by is None]
        if beside:
            yield _analyses_agree(outcome, headline, beside)


def _analyses_agree(outcome: Outcome, headline: Effect, beside: list[Found]) -> Check:
    away = {
        each.estimate.title: abs(each.effect.estimate - headline.estimate)
        / math.sqrt(each.effect.variance + headline.variance)
        for each in beside
        if each.effect is not None
    }
    z = together(len(away))
    apart = [title for title, distance in away.items() if distance > z]
    meaning = (
        f"Beyond chance and noise, the answer depends on how people are compared. Different: {', '.join(apart)}."
        if apart
        else "No analysis differs from the headline by more than chance and noise. This does not prove that they agree."
    )
    return Check(
        name=f"agreement.{outcome.name}", title=f"Further analyses agree with the headline: {outcome.title}",
        state="failed" if apart else "informational" if away else "cannot tell",
        value=round(max(away.values()), 2) if away else None, unit="standard errors", meaning=meaning,
        rule=f"failed: an analysis is more than {z:.2f} standard errors from the headline (95% for all together). The "
        "same people are in both, so this is conservative: small differences go unnoticed",
    )  # fmt: skip


def unrecorded(outcome: OutcomeEstimate) -> Check | None:
    """Returns how strong something unrecorded would have to be to explain an outcome's result away (its E-value)."""
    if outcome.e_value is None:
        return None
    strength = f"{outcome.e_value.limit:.2f}"
    meaning = (
        "The interval includes no effect already: there is nothing to explain away."
        if outcome.e_value.limit == 1
        else "Something unrecorded could explain the whole difference only if it made both being helped and the "
        f"outcome more likely (or less) by a factor of {outcome.e_value.estimate:.2f}; a factor of {strength} would "
        "be enough to bring the interval to no effect."
    )
    return Check(
        name=f"e_value.{outcome.name}", title=f"What could explain it away (E-value): {outcome.title}",
        state="informational", value=round(outcome.e_value.estimate, 2), meaning=meaning,
        rule=f"E-value of the estimate; that of the interval's limit nearest to no effect is {strength}",
    )  # fmt: skip
