"""Diagnostics as values: the figure, the rule, and what follows from it. All rules are here."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from cohortium_coordinator.combine.estimate import Effect, Weighted
from cohortium_coordinator.combine.profile import Means, Profile
from cohortium_coordinator.combine.residual_clip import ResidualClip
from cohortium_coordinator.combine.sums import Array, NoisySum
from cohortium_coordinator.result import BalanceRow, BalanceState, Check, Heterogeneity
from cohortium_protocols.features import Feature, features
from cohortium_protocols.outcomes import OUTCOMES
from cohortium_protocols.plan import Plan

ALIKE = 0.10
"""Largest standardised mean difference (SMD) of groups called alike."""
COUNT_SDS = 5
"""A group is counted only when its noisy size is this many noise standard deviations above 0."""


@dataclass(frozen=True)
class Findings:
    """What the rounds showed: both sides' profiles, the weighted comparators, and each outcome's effect and clip.

    ``second`` is the outcome round's own reading of the people helped; ``profile`` was used to make the weights, so
    balance is judged by ``second`` alone. ``attrition`` counts people by the step their way ended at. ``lost`` names
    the nodes in the profile and attrition that are not in the rest. ``heterogeneity`` holds the estimates of single
    nodes, where they released their own sums.
    """

    profile: Profile
    second: Means
    weighted: Weighted
    effects: list[Effect]
    clips: list[ResidualClip]
    attrition: NoisySum
    lost: tuple[str, ...] = ()
    heterogeneity: tuple[Heterogeneity, ...] | None = None


def standard_deviations(profile: Profile) -> Array:
    """Returns the comparators' standard deviation of every feature, shape (p,): the unit of an SMD."""
    return np.sqrt(np.maximum(np.diag(profile.covariance), 1e-6))


def balance(plan: Plan, findings: Findings) -> tuple[BalanceRow, ...]:
    """Returns how alike the groups are on every feature, before and after weighting, with its noise interval.

    The intervals hold together: with 95 % probability all of them cover (Sidak 1967). Red: the whole interval of the
    SMD's size is above 0.10; green: all of it below; otherwise it cannot be told.
    """
    wanted = features(plan)
    sd = standard_deviations(findings.profile)
    before = (findings.profile.treated.mean - findings.profile.comparators.mean) / sd
    after = (findings.second.mean - findings.weighted.means.mean) / sd
    z = float(ndtri(0.5 + 0.95 ** (1 / max(len(wanted), 1)) / 2))
    half = z * np.sqrt(findings.second.noise + findings.weighted.means.noise) / sd
    needed = {OUTCOMES[outcome.name].prior for outcome in plan.outcomes if outcome.name in OUTCOMES}
    return tuple(
        _row(feature, float(before[i]), float(after[i]), float(half[i]), feature.covariate in needed)
        for i, feature in enumerate(wanted)
    )


def _row(feature: Feature, before: float, after: float, half: float, mandatory: bool) -> BalanceRow:
    return BalanceRow(
        covariate=feature.name, title=feature.title, smd_before=before, smd_after=after, low=after - half,
        high=after + half, state=_balance_state(after, half), mandatory=mandatory,
    )  # fmt: skip


def _balance_state(after: float, half: float) -> BalanceState:
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
    ratio = findings.weighted.effective / findings.second.n
    return Check(
        name="overlap", title="Enough similar people to compare with", state="passed" if ratio >= 1 else "failed",
        value=round(findings.weighted.effective, 1), unit="people",
        rule="the effective number of comparators is at least the number of people helped",
        meaning="Weighting lets few comparators count for many; the effective number says how many they are worth.",
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
