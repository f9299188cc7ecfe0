"""The attack bench: what somebody might try against the real node, each with the score that it reaches.

One function an attack: it takes how hard to try and returns a ``Finding``. To add one, write it and name it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cohortium_simulations.attacks.asking_again import averaging_repeats, late_node, tracker
from cohortium_simulations.attacks.false_groups import false_roster, substituted_mask_keys, two_groups
from cohortium_simulations.attacks.finding import Finding
from cohortium_simulations.attacks.guessing import (
    differencing,
    membership_inference,
    membership_of_a_registered_person,
)
from cohortium_simulations.attacks.hostile_messages import altering_plans, replaying_plans
from cohortium_simulations.attacks.rollback import ledger_rollback
from cohortium_simulations.attacks.small_counts import exact_count_oracle, refusal_side_channel
from cohortium_simulations.attacks.survivors import inconsistent_survivor_lists, resumming

Attack = Callable[[int], Finding]
"""Takes the number of trials; returns what it came to."""

ATTACKS: tuple[Attack, ...] = (
    differencing,
    averaging_repeats,
    replaying_plans,
    altering_plans,
    resumming,
    late_node,
    false_roster,
    two_groups,
    substituted_mask_keys,
    inconsistent_survivor_lists,
    ledger_rollback,
    exact_count_oracle,
    tracker,
    membership_inference,
    membership_of_a_registered_person,
    refusal_side_channel,
)


def attack(trials: int) -> Iterator[Finding]:
    """Yields what every attack came to.

    Args:
        trials: how hard each one tries; those that guess run so many studies of each kind.
    """
    return (each(trials) for each in ATTACKS)
