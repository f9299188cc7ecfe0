"""The audit of what the real gate releases: a sound gate passes, and every seeded bug is caught."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm

from cohortium_node.local.reduce import reduce_round
from cohortium_protocols.privacy.accounting import delta_of
from cohortium_protocols.schedules import schedule
from cohortium_simulations.audit import Check, audit, exact_studies, through_the_gate
from cohortium_simulations.distinguish import best_advantage, evidence
from cohortium_simulations.neighbours import WITH_PAIRS, WORST, shift
from cohortium_simulations.seeded_bugs import BUGS

DECLARED = schedule(WITH_PAIRS)


def failed(bug: str, trials: int = 300) -> dict[str, set[str]]:
    """What the audit finds wrong with a bug: kind of check -> where."""
    checks = audit(trials, reduce=BUGS[bug].reduce, door=BUGS[bug].door)
    found: dict[str, set[str]] = {}
    for check in checks:
        if not check.passed:
            found.setdefault(check.name, set()).add(check.what)
    return found


def test_a_sound_gate_passes_every_check() -> None:
    checks = audit(300)
    assert [check for check in checks if not check.passed] == []
    names = {f"{spec.name}/{vector.name}" for spec, vector in DECLARED.vectors()}
    for kind in ("variance", "mu revealed at least", "epsilon revealed at least"):
        assert names <= {check.what for check in checks if check.name == kind}


def test_noise_a_tenth_too_small_is_caught_by_its_variance() -> None:
    found = failed("thin-noise")
    assert "every round/every vector" in found["variance"]
    assert len(found["variance"]) > 5


def test_people_who_count_twice_are_caught_by_telling_neighbours_apart() -> None:
    found = failed("counted-twice")
    assert {"presence, treated", "presence, comparator"} <= found["mu revealed at least"]
    assert "variance" not in found


def test_noise_that_repeats_over_rounds_is_caught_by_both() -> None:
    found = failed("repeated-noise")
    assert found["repetition"] == {"from vector to vector"}
    assert {"presence, treated", "presence, comparator"} <= found["mu revealed at least"]


def test_noise_that_repeats_from_study_to_study_is_caught() -> None:
    first = through_the_gate(DECLARED, exact_studies(DECLARED, WORST, reduce_round)[0])
    checks = audit(20, door=lambda declared, exact: first)
    assert not next(check for check in checks if check.what == "from study to study").passed


def test_the_person_who_is_audited_moves_the_vectors_most() -> None:
    def reach(person: tuple[float, float], block: str) -> float:
        exact = exact_studies(DECLARED, person, reduce_round)
        moved = (shift(*exact, *place) for place in DECLARED.vectors() if place[1].block == block)
        return math.sqrt(sum(float(np.sum(each**2)) for each in moved))

    for block in ("treated", "comparator"):
        everybody = {person: reach(person, block) for person in product((18.0, 64.0, 110.0), (0.0, 1.0))}
        allowed = math.sqrt(DECLARED.cost(block))
        assert everybody[WORST] >= 0.99 * max(everybody.values())
        assert 0.8 * allowed < everybody[WORST] <= allowed


# The yardstick itself.


def gaussians(mu: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    return draw.normal(0, 1, (count, 1)), draw.normal(mu, 1, (count, 1))


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.5])
def test_what_is_revealed_is_bounded_from_below_and_nearly_reached(mu: float) -> None:
    found = evidence(*gaussians(mu), np.array([mu]), delta=1e-6, risk=1e-6)
    assert max(mu - 0.15, 0) <= found.mu <= mu
    assert found.advantage <= best_advantage(mu) <= found.advantage + 0.06
    assert found.counted == pytest.approx(best_advantage(mu), abs=0.03)
    assert delta_of(mu, found.epsilon) >= 1e-6 or found.epsilon == 0


def test_the_best_advantage_is_the_distance_of_two_gaussians() -> None:
    assert best_advantage(1.2) == pytest.approx(norm.cdf(0.6) - norm.cdf(-0.6))


def test_noise_in_common_is_taken_out() -> None:
    noise = np.random.default_rng(5).normal(0, 1, (2000, 1))
    both, moved = np.hstack([noise, noise]), np.array([0.5, 0.1])
    found = evidence(both[:1000], both[1000:] + moved, moved, delta=1e-6, risk=1e-6)
    assert found.mu > 4


def test_a_check_passes_within_its_bounds_only() -> None:
    assert [Check("a", "b", figure, 0.9, 1.1).passed for figure in (0.8, 0.9, 1.0, 1.1, 1.2)] == [0, 1, 1, 1, 0]
