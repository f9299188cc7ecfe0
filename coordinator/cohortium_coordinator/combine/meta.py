"""Separate estimates of one effect, combined: meta-analysis of data holders, or of a first group and late ones.

Every estimate comes with its whole variance, privacy noise included, so noise enters every weight. Where estimates
have an error in common (they were held against the same comparators), its variance ``shared`` is kept out of the
weights and of the heterogeneity, and added to the pooled variance once: for a covariance matrix D + s 11', generalised
least squares has the weights of D, and the variance of D plus s.

- Fixed effect, Q: inverse variance weights; Cochran 1954.
- I2: Higgins and Thompson 2002, max(0, (Q - df) / Q).
- tau2: Paule and Mandel 1982, as DerSimonian and Kacker 2007 solve it; DerSimonian and Laird 1986, cut at 0.
- Interval of the random-effects mean: Hartung and Knapp 2001, Student's t with k - 1 df. Its scale factor is never
  taken below 1 (Knapp and Hartung 2003; Roever, Knapp and Friede 2015), so it is never narrower than the plain one.
- Prediction interval: Higgins, Thompson and Spiegelhalter 2009, Student's t with k - 2 df.
- The shared error has no degrees of freedom to pay for: half widths of t and normal parts add in squares (MOVER, Zou
  and Donner 2008). Without it, every interval is the textbook's.

``statsmodels.stats.meta_analysis.combine_effects`` gives the same figures in ordinary cases, and tests hold this
module against it. It is not called: its DerSimonian-Laird tau2 may be negative, and its Paule-Mandel search stops at
an absolute tolerance and falls to 0 when rounding carries a step past the root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, ndtri, stdtrit

from cohortium_coordinator.combine.sums import Array

_Z95 = float(ndtri(0.975))


@dataclass(frozen=True)
class Study:
    """One estimate of the effect.

    Attributes:
        name: whose.
        estimate: in any unit.
        variance: of its error, noise included, without what it shares with the others; in that unit squared.

    Raises:
        ValueError: a figure is not finite, or the variance is not above 0.
    """

    name: str
    estimate: float
    variance: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.estimate):
            raise ValueError(f"{self.name}: the estimate is {self.estimate}, not a finite number")
        if not 0 < self.variance < math.inf:
            raise ValueError(f"{self.name}: the variance is {self.variance}; it must be above 0 and finite")


@dataclass(frozen=True)
class Mean:
    """A pooled effect with its standard error and 95 % interval."""

    estimate: float
    se: float
    low: float
    high: float


@dataclass(frozen=True)
class Combined:
    """What several studies say together.

    Attributes:
        fixed: inverse variance mean: one effect everywhere.
        random: mean of effects that differ; tau2 by Paule and Mandel, interval by Hartung and Knapp.
        dersimonian_laird: the same with tau2 by DerSimonian and Laird, and the plain interval.
        tau2: variance between the studies' effects (Paule-Mandel).
        tau2_dl: likewise (DerSimonian-Laird).
        q: Cochran's Q.
        q_p_value: of Q, were there no heterogeneity.
        i2: share of the variation between estimates that is not chance or noise, 0 to 1.
        prediction: 95 % interval of the effect in another such study; None for fewer than three studies.
        without: study -> ``random`` of all the others; empty for a single study.
    """

    fixed: Mean
    random: Mean
    dersimonian_laird: Mean
    tau2: float
    tau2_dl: float
    q: float
    q_p_value: float
    i2: float
    prediction: tuple[float, float] | None
    without: Mapping[str, Mean]


def combined(studies: Sequence[Study], shared: float = 0.0) -> Combined:
    """Returns everything that is to be known from the studies together.

    Args:
        studies: at least one, of different names.
        shared: variance of an error that all of them have in common.

    Raises:
        ValueError: no study, a name twice, or a shared variance that is negative or not finite.
    """
    _check(studies, shared)
    y, v = _columns(studies)
    df, q = len(y) - 1, _dispersion(y, v, 0.0)
    dl, pm = dersimonian_laird(studies), paule_mandel(studies)
    return Combined(
        fixed=_plain(y, v, 0.0, shared),
        random=_hartung_knapp(y, v, pm, shared),
        dersimonian_laird=_plain(y, v, dl, shared),
        tau2=pm,
        tau2_dl=dl,
        q=q,
        q_p_value=float(chdtrc(df, q)) if df else 1.0,
        i2=max(0.0, (q - df) / q) if q > 0 else 0.0,
        prediction=_prediction(y, v, pm, shared),
        without=_without(studies, shared),
    )


def merged_with_late(first: Study, late: Sequence[Study], shared: float = 0.0) -> Combined:
    """Returns a first group's estimate and those of late nodes, combined as separate studies.

    A late node's release cannot be added to sums that were closed without it: noise would be counted wrongly, and the
    difference of two totals would be the late node's own. So each estimate keeps its variance, and only these are
    weighed. With one late node ``fixed`` is what two estimates can carry: ``random`` has one degree of freedom.

    Args:
        first: of the nodes that answered in time, whether by separate releases or by a secure sum.
        late: each of one node's own release, or of a second secure group, with its full noise in the variance.
        shared: variance of what they have in common: nothing when late nodes are compared with their own people.

    Raises:
        ValueError: as ``combined``; or nobody is late.
    """
    if not late:
        raise ValueError("there is no late estimate to merge")
    return combined((first, *late), shared)


def dersimonian_laird(studies: Sequence[Study]) -> float:
    """Returns the variance between studies by the method of moments, 0 when Q is below its expectation."""
    y, v = _columns(studies)
    w = 1 / v
    spread = float(w.sum() - (w**2).sum() / w.sum())
    return max(0.0, (_dispersion(y, v, 0.0) - (len(y) - 1)) / spread) if len(y) > 1 else 0.0


def paule_mandel(studies: Sequence[Study]) -> float:
    """Returns the variance between studies at which Q equals its expectation, 0 when it is below already.

    Q falls as tau2 grows, and at the sample variance of the estimates it is at most k - 1, for the weighted mean
    minimises it; so there is always one root to be found, and where it lies is known.
    """
    y, v = _columns(studies)
    df = len(y) - 1
    if df == 0 or _dispersion(y, v, 0.0) <= df:
        return 0.0
    largest = float(np.var(y, ddof=1))
    excess: Callable[[float], float] = lambda share: _dispersion(y, v, share * largest) - df  # noqa: E731
    return largest * float(brentq(excess, 0.0, 1.0, xtol=1e-15)) if excess(1.0) < 0 else largest


def _check(studies: Sequence[Study], shared: float) -> None:
    names = [study.name for study in studies]
    if not names:
        raise ValueError("there is no study to combine")
    if len(set(names)) < len(names):
        raise ValueError(f"a study is given twice: {', '.join(sorted(names))}")
    if not 0 <= shared < math.inf:
        raise ValueError(f"the shared variance is {shared}; it must be 0 or more, and finite")


def _columns(studies: Sequence[Study]) -> tuple[Array, Array]:
    return np.array([study.estimate for study in studies]), np.array([study.variance for study in studies])


def _mean(y: Array, v: Array, tau2: float) -> tuple[float, float]:
    """Returns the inverse variance mean and its variance."""
    w = 1 / (v + tau2)
    return float(w @ y / w.sum()), float(1 / w.sum())


def _dispersion(y: Array, v: Array, tau2: float) -> float:
    """Returns the generalised Q: the weighted sum of squares round the weighted mean."""
    mean, _ = _mean(y, v, tau2)
    return float(((y - mean) ** 2 / (v + tau2)).sum())


def _interval(mean: float, variance: float, t: float, shared: float) -> Mean:
    half = math.hypot(t * math.sqrt(variance), _Z95 * math.sqrt(shared))
    return Mean(mean, math.sqrt(variance + shared), mean - half, mean + half)


def _plain(y: Array, v: Array, tau2: float, shared: float) -> Mean:
    return _interval(*_mean(y, v, tau2), _Z95, shared)


def _hartung_knapp(y: Array, v: Array, tau2: float, shared: float) -> Mean:
    """Returns the mean with the interval that allows for tau2's uncertainty; a single study's is the plain one."""
    df = len(y) - 1
    if df == 0:
        return _plain(y, v, tau2, shared)
    mean, variance = _mean(y, v, tau2)
    scale = max(1.0, _dispersion(y, v, tau2) / df)
    return _interval(mean, scale * variance, float(stdtrit(df, 0.975)), shared)


def _prediction(y: Array, v: Array, tau2: float, shared: float) -> tuple[float, float] | None:
    if len(y) < 3:
        return None
    mean, variance = _mean(y, v, tau2)
    found = _interval(mean, tau2 + variance, float(stdtrit(len(y) - 2, 0.975)), shared)
    return found.low, found.high


def _without(studies: Sequence[Study], shared: float) -> dict[str, Mean]:
    if len(studies) < 2:
        return {}
    rest = {study.name: [other for other in studies if other is not study] for study in studies}
    return {name: _hartung_knapp(*_columns(others), paule_mandel(others), shared) for name, others in rest.items()}
