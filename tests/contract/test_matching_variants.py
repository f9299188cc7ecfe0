"""What must not be done with pairs: each variant, and one person who moves it by more than the lemma allows.

The variants are written here and nowhere else. Scores are in order of rank, so a tie goes to whoever stands first; the
newcomer's place is given.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from pairs_reference import Change, Someone, change, holds, reference_pairs, renamed

Scores = Sequence[float]
Pairing = list[tuple[int, int]]
Matcher = Callable[[Scores, Scores], Pairing]


def moved(matcher: Matcher, treated: Scores, comparators: Scores, newcomer: tuple[int, int]) -> Change:
    """What the newcomer (side, place) changes; they are in the scores given."""
    side, gone = newcomer
    fewer = [list(treated), list(comparators)]
    del fewer[side][gone]
    return change(renamed(matcher(*fewer), side, gone), matcher(treated, comparators))


def near(score: float, comparators: Scores, free: set[int], caliper: float) -> list[int]:
    """Free comparators within the caliper, the nearest first."""
    return sorted(
        (place for place in free if abs(score - comparators[place]) <= caliper),
        key=lambda place: (abs(score - comparators[place]), place),
    )


def all_at_once(partners: int, caliper: float, all_or_none: bool) -> Matcher:
    """Each treated person takes all their partners when their turn comes; or, all or none, gives up if too few."""

    def matcher(treated: Scores, comparators: Scores) -> Pairing:
        free, pairs = set(range(len(comparators))), []
        for turn, score in enumerate(treated):
            taken = near(score, comparators, free, caliper)[:partners]
            if len(taken) == partners or not all_or_none:
                free.difference_update(taken)
                pairs += [(turn, place) for place in taken]
        return pairs

    return matcher


def in_turn(turns: Callable[[Scores, Scores], Sequence[int]], caliper: float) -> Matcher:
    """One pass in an order that may depend on everybody."""

    def matcher(treated: Scores, comparators: Scores) -> Pairing:
        free, pairs = set(range(len(comparators))), []
        for turn in turns(treated, comparators):
            for place in near(treated[turn], comparators, free, caliper)[:1]:
                free.remove(place)
                pairs.append((turn, place))
        return pairs

    return matcher


def in_passes(partners: int, caliper: float) -> Matcher:
    """What is done: so many passes, one after another."""

    def matcher(treated: Scores, comparators: Scores) -> Pairing:
        people = ([Someone(score, 0, rank) for rank, score in enumerate(side)] for side in (treated, comparators))
        return reference_pairs(*people, caliper, partners, "hash")

    return matcher


# All partners at once.


def test_all_or_none_of_k_partners_lets_one_person_move_everybody() -> None:
    done = moved(all_at_once(2, 1, all_or_none=True), [5, 3, 1, 6], [4, 2, 5, 1, 7], (0, 0))
    assert done == Change({0: 2, 1: -2, 2: 2, 3: -2}, {3: 1, 4: -1})  # two come, two go, and both sides swap
    assert not holds(done, 0, 0, 2)


def test_k_partners_at_once_let_one_person_put_out_two_where_passes_put_out_one() -> None:
    treated, comparators = [0, -2, 2], [-1, 1]
    for matcher, out in ((all_at_once(2, 1, all_or_none=False), {1, 2}), (in_passes(2, 1), {1})):
        without = {one + 1 for one, _ in matcher(treated[1:], comparators)}
        assert without - {one for one, _ in matcher(treated, comparators)} == out


def test_counted_once_a_pair_k_partners_at_once_move_no_further_than_k_passes() -> None:
    """Each treated person is then k people of one pass who stand together, so the lemma for k passes holds as well."""
    matcher = all_at_once(2, 1, all_or_none=False)
    for treated, comparators in product(product(range(4), repeat=3), product(range(4), repeat=3)):
        for side, gone in product((0, 1), range(3)):
            assert holds(moved(matcher, treated, comparators, (side, gone)), side, gone, 2)


# Who may be taken, and by whom first.


def with_replacement(treated: Scores, comparators: Scores) -> Pairing:
    everybody = set(range(len(comparators)))
    return [(turn, near(score, comparators, everybody, 1)[0]) for turn, score in enumerate(treated)
            if near(score, comparators, everybody, 1)]  # fmt: skip


def test_with_replacement_one_comparator_brings_in_everybody() -> None:
    done = moved(with_replacement, [0] * 50, [9, 0], (1, 1))
    assert (done.gained, done.comparators) == (50, {1: 50})
    assert not holds(done, 1, 1, 1)


def caliper_of_the_data(treated: Scores, comparators: Scores) -> Pairing:
    caliper = 0.2 * statistics.pstdev([*treated, *comparators])
    return in_turn(lambda treated, _: range(len(treated)), caliper)(treated, comparators)


def test_with_a_caliper_from_the_data_one_outlier_brings_in_everybody() -> None:
    places = [10.0 * place for place in range(5)]
    done = moved(caliper_of_the_data, places, [*(place + 4 for place in places), 500.0], (1, 5))
    assert (done.gained, len(done.comparators)) == (5, 5)
    assert not holds(done, 1, 5, 1)


def fewest_first(treated: Scores, comparators: Scores) -> Sequence[int]:
    everybody = set(range(len(comparators)))
    return sorted(range(len(treated)), key=lambda turn: len(near(treated[turn], comparators, everybody, 3)))


def test_with_fewest_candidates_first_one_comparator_turns_the_order_over() -> None:
    done = moved(in_turn(fewest_first, 3), [3, 2, 6], [2, 6], (1, 0))
    assert done == Change({0: -1, 1: 1, 2: 1}, {0: 1})  # two come and one goes
    assert not holds(done, 1, 0, 1)


def shuffled(treated: Scores, comparators: Scores) -> Sequence[int]:
    return [int(turn) for turn in np.random.default_rng(1).permutation(len(treated))]


def test_with_a_seeded_shuffle_of_the_rows_one_person_more_deals_anew() -> None:
    done = moved(in_turn(shuffled, 1), [0] * 41, [0] * 20, (0, 40))
    assert done.lost >= 3
    assert not holds(done, 0, 40, 1)
    fixed = in_turn(lambda treated, _: range(len(treated)), 1)
    assert holds(moved(fixed, [0] * 41, [0] * 20, (0, 0)), 0, 0, 1)


# Statistics of pairs. Treated people stand at 0, 2, 4, ..., comparators at 1, 3, 5, ...; the one at 0 is the newcomer,
# and is served first: each of the others had the comparator before them and now has the one after them.

LONG = 40
CHAIN = [2.0 * place for place in range(LONG)], [2.0 * place + 1 for place in range(LONG)]
ODD = [place % 2 for place in range(LONG)]


def chains(partners: int, more: Scores = ()) -> tuple[Pairing, Pairing]:
    treated, comparators = CHAIN[0], [*CHAIN[1], *more]
    matcher = in_passes(partners, 1)
    return renamed(matcher(treated[1:], comparators), 0, 0), matcher(treated, comparators)


def test_one_person_pairs_everybody_anew_though_the_sets_gain_one_each() -> None:
    without, there = chains(1)
    assert not set(without) & set(there)
    assert change(without, there) == Change({0: 1}, {LONG - 1: 1})


def paired_variance(pairs: Pairing) -> float:
    return statistics.pvariance([ODD[treated] - ODD[comparator] for treated, comparator in pairs])


def discordant(pairs: Pairing) -> int:
    """Pairs that McNemar's test counts."""
    return sum(ODD[treated] != ODD[comparator] for treated, comparator in pairs)


def of_female_treated(pairs: Pairing) -> int:
    """The outcomes of the comparators of every other treated person."""
    return sum(ODD[comparator] for treated, comparator in pairs if ODD[treated] == 0)


@pytest.mark.parametrize(
    ("figure", "without", "there"),
    [
        (paired_variance, pytest.approx(1, abs=0.01), 0),
        (discordant, LONG - 1, 0),
        (of_female_treated, LONG // 2 - 1, 0),
    ],
)
def test_a_statistic_of_pairs_moves_as_far_as_it_can(figure: Callable[[Pairing], float], without: float, there: float
                                                     ) -> None:  # fmt: skip
    before, after = chains(1)
    assert (figure(before), figure(after)) == (without, there)


def test_weights_by_the_number_of_partners_move_for_everybody() -> None:
    """Every other treated person has a second partner; comparators weigh 1 / (partners of their treated person)."""
    without, there = chains(2, [4.0 * place + 1 for place in range(LONG // 2)])
    weights = []
    for pairs in (without, there):
        partners = [sum(treated == one for treated, _ in pairs) for one in range(LONG)]
        weights.append({comparator: 1 / partners[treated] for treated, comparator in pairs})
    assert holds(change(without, there), 0, 0, 2)
    changed = [one for one in weights[0].keys() & weights[1].keys() if weights[0][one] != weights[1][one]]
    assert len(changed) >= LONG - 3
    assert math.fsum(weights[1][one] for one in changed if ODD[one % LONG]) == pytest.approx(LONG / 2, abs=2)
    assert math.fsum(weights[0][one] for one in changed if ODD[one % LONG]) == pytest.approx(LONG / 4, abs=2)
