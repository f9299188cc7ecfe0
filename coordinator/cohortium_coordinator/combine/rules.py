"""Every threshold by which a figure is shown or withheld, or a check passes: each once, with how often it errs.

How often the rule of balance says what it says is measured (docs/validation/balance-rule.md). The others follow from
the law of the noise, and are given beside them.
"""

from __future__ import annotations

import math

ALIKE = 0.10
"""Largest standardised mean difference (SMD) of groups called alike. Measured: docs/validation/balance-rule.md."""
MATCHED = 0.9
"""Share of the people helped that must be matched for the result to be about nearly all of them."""
Q_LEVEL = 0.10
"""Data holders differ when the p-value of Cochran's Q is below this: the usual level, for Q is a weak test. Where
they do not differ, one study in ten says that they do."""
LITTLE_I2 = 0.25
"""Largest I2 called low (Higgins and others 2003)."""
SMALL = 0.2
"""Standard deviations: a difference below this is small (Cohen 1988). Of outcomes in which none is expected, one in
twenty is said to differ by chance."""
COUNT_SDS = 5
"""A group is counted only when its noisy size is so many noise standard deviations above 0.

A group in which nobody is passes 3 times in 10 million, one of 5 deviations every other time, one of 10 always but
as rarely. The noise in a count that passes has a standard deviation of at most a fifth of it.
"""
LEAST_PEOPLE = 10
"""A group is counted only when its noisy size is above this too: the fewest people that a plan may ask to publish."""
AWAY_FROM_ZERO = 5
"""Standard errors by which a bottom must be above 0 for a ratio to be shown: its interval then has two ends, and
that of a ratio near 0 is at most 9 % wider than if the bottom were known (Fieller 1954: 1 / sqrt(1 - (1.96 / 5)^2))."""


def least_counted(noise: float) -> float:
    """Returns the noisy size above which a group is counted.

    Args:
        noise: variance of the noise in that size.

    >>> least_counted(1.0), least_counted(9.0)
    (10.0, 15.0)
    """
    return max(float(LEAST_PEOPLE), COUNT_SDS * math.sqrt(noise))
