"""Matched pairs, declared: greedy, nearest, without replacement, inside each node (``cohortium_node.local.matching``).

For every pair the person helped adds one row and the comparator another:

    tau = (sum_t r - sum_c r) / pairs

with r the residual of the outcome model (bias correction, Abadie and Imbens 2011), or the outcome itself. The sum of
differences is one column, because its noise is what the estimate gets: two columns would have twice the variance.

One person more or less, on either side, changes who is matched as follows; it is proved pass by pass (a vacancy chain),
and enumerated in ``tests/contract/test_matching_lemma.py``. With k passes a person helped adds a row for each pair.

- *A comparator comes.* Nothing changes; or one comparator leaves the matched for the one who came; or the one who came
  is matched, no other leaves, and one person helped has one pair more. No more than that, whatever k is.
- *A person helped comes*, and gets g <= k pairs. Others lose l <= g pairs between them and nobody gains any; no
  comparator leaves the matched, and g - l enter.

So at most 2k rows change (``rows_changed``), each of which is clipped to the declared bound like everybody's row. This
covers sums of rows that are functions of one person's own record and of released values. It covers nothing that
depends on who is whose partner, nor on how many partners somebody has: one person can change that for everybody.
"""

from __future__ import annotations

import math

from cohortium_protocols.doubly_robust import SQUARE_SCALE, WEIGHT_SCALE, outcome_parts
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.features import PROFILE_NORM, features, radius
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import Parameter, VectorSpec

PAIR_SCALE = 0.25
"""Both rows of a pair hold this much of the count of pairs, which is needed less exactly than the difference."""
BANDS = 20
"""Strata of the likelihood of being helped, with about as many people helped in each, where pairs are also alike in it.

Noise blurs the expected outcome. Where the outcome model fell short (docs/adr/0007, 500 helped, epsilon 1, 200 made-up
studies a run), matching on it alone left .35 to .58 standard errors of bias, five bands .34, ten .30, twenty .21 and
.33. That twenty are better than five is not shown (docs/validation/README.md).
"""


def rows_changed(passes: int) -> int:
    """Returns how many rows of a matched vector one person can change, under k sequential passes."""
    return 2 * passes


def vectors(plan: Plan, estimate: Estimate, budget: float) -> tuple[VectorSpec, ...]:
    """Returns the estimate's vectors in the last round, charged to both blocks.

    Args:
        plan: whose.
        estimate: by matched pairs.
        budget: mu squared, of each block's account.
    """
    value, square = ("r", "r^2") if estimate.approach.adjusted else ("2 y - 1", "y^2")
    why = (
        f"for each pair, with r in [-1, 1] and y in [0, 1], ({PAIR_SCALE}, {value}, 0, {SQUARE_SCALE} ({square} - "
        f"1/2), 0) and ({PAIR_SCALE}, -({value}), {WEIGHT_SCALE} (y - 1/2), 0, {SQUARE_SCALE} ({square} - 1/2))"
    )
    bound = math.sqrt(PAIR_SCALE**2 + 1 + WEIGHT_SCALE**2 / 4 + SQUARE_SCALE**2 / 4)
    figures = "sensitivity analyses" if estimate.key else "estimate, interval, outcome levels, people matched"
    return tuple(
        VectorSpec(
            estimate.name("matched_sums", outcome.name), "matched",
            ("pairs", "difference", "level", "treated square", "comparator square"), bound, budget * part,
            "pairs; residual clips, and their squares; ranges of the outcome", figures, _derived(why, estimate),
            changed=rows_changed(estimate.approach.ratio))
        for outcome, part in zip(plan.outcomes, outcome_parts(plan), strict=True)
    )  # fmt: skip


def balance_vector(plan: Plan, estimate: Estimate, budget: float) -> VectorSpec:
    """Returns the features of people matched for the first primary outcome, to judge how alike the groups are."""
    names = tuple(feature.name for feature in features(plan))
    labels = tuple(f"{side}: {name}" for side in ("treated", "comparators") for name in names)
    return VectorSpec(
        estimate.name("matched_features"), "matched", labels, radius(len(names), PROFILE_NORM), budget,
        "features in public standard deviations", "balance after",
        _derived("for each pair, each side's features in columns of their own", estimate),
        changed=rows_changed(estimate.approach.ratio))  # fmt: skip


def parameters(plan: Plan, estimate: Estimate) -> tuple[Parameter, ...]:
    """Returns what a request says about the pairs: the caliper in units of the score, and limits of the bands."""
    caliper = Parameter(estimate.name("caliper"), (len(plan.outcomes),), 0.0, 1000.0)
    if estimate.approach.score != "both":
        return (caliper,)
    return caliper, Parameter(estimate.name("bands"), (BANDS - 1,), -1000.0, 1000.0)


def _derived(rows: str, estimate: Estimate) -> str:
    return f"{rows}; one person changes at most {rows_changed(estimate.approach.ratio)} rows of matched people"
