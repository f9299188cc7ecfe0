"""What leaves a node, from the schedule of the example plan: every vector, and every figure that comes from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from markup import code, page, table

from cohortium_protocols.estimates import split_name
from cohortium_protocols.features import features
from cohortium_protocols.plan import Plan
from cohortium_protocols.plan_check import load_plan
from cohortium_protocols.privacy.accounting import mu_from_epsilon
from cohortium_protocols.schedules import schedule
from cohortium_protocols.statistics import Block, Schedule, VectorSpec

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "befriending-2024.yaml"
IN_FULL = EXAMPLES / "befriending-2024-in-full.yaml"
"""With every kind of estimate beside the headline."""

Release = tuple[str, VectorSpec]
"""The name of a round, and a vector of it."""

_HEAD = """\
# What leaves a node

Nothing leaves a node but the vectors on this page, in the rounds on this page. They are those of
[the example plan](../../examples/befriending-2024.yaml); `cohortium plan show` and `cohortium-node show` say the same
for any plan. Every figure of a report is worked out from them."""
_COLUMNS = """\
- A vector is a sum over people. **Numbers**: how many it has.
- **Bound**: the largest length (L2 norm) of one person's row, after clipping.
- **Moves by**: the most that adding or removing one person moves the vector (L2 sensitivity), rounding included.
- **Noise**: standard deviation of the discrete Gaussian noise on every number of it.
- Bound, moves by and noise are in the vector's own unit. Of vectors marked * the products of the row's numbers are
  summed: the bound is that of the row; numbers off the diagonal get noise smaller by the square root of 2.
- **Share**: of the account of its block, in mu squared."""
_FURTHER = """\
What a plan asks for beside the headline has vectors of its own in the last round, and a share of the same budget.
Those of [the example in full](../../examples/befriending-2024-in-full.yaml), which are not in the table above; `@s1`,
`@s2` ... stand for its further analyses and `@g1` ... for its subgroups, in the order of the plan."""
_FIGURES = """\
Of the example in full. What is not in this table is in no report."""
_COLUMNS_OF_VECTORS = ("round", "vector", "block", "numbers", "bound", "moves by", "noise", "share", "used for")
_LABELS = 6


def text() -> str:
    """Returns the page."""
    plan, in_full = (load_plan(path.read_text(encoding="utf-8"), path.name) for path in (EXAMPLE, IN_FULL))
    declared, declared_in_full = schedule(plan), schedule(in_full)
    families, everything = list(_families(declared)), list(_families(declared_in_full))
    known = {_stem(family[0][1]) for family in families}
    further = [family for family in everything if _stem(family[0][1]) not in known]
    return page(
        _HEAD,
        "## Every vector",
        _COLUMNS,
        table(_COLUMNS_OF_VECTORS, (_row(family, declared) for family in families)),
        f"`<outcome>` stands for each outcome, a vector and a share each: {_listed(o.name for o in plan.outcomes)}.",
        "## Beside the headline",
        _FURTHER,
        table(_COLUMNS_OF_VECTORS, (_row(family, declared_in_full) for family in further)),
        "## The price",
        _price(plan, declared),
        "## Why one person's row is bounded",
        table(("vector", "one person's row", "unit", "why"), _reasons([*families, *further])),
        "The features: " + _listed(feature.name for feature in features(plan)) + ".",
        "## From figure to vector",
        _FIGURES,
        table(("figure", "vector", "block", "rounds", "share"), _figures(everything, declared_in_full)),
    )


def _families(declared: Schedule) -> Iterator[list[Release]]:
    """Yields the vectors of a round; those that differ in nothing but their outcome together."""
    for name, releases in groupby(declared.vectors(), lambda release: release[0].name):
        groups: dict[object, list[Release]] = {}
        for _, vector in releases:
            groups.setdefault((_stem(vector), vector.bound, vector.dimension, vector.sigma), []).append((name, vector))
        yield from groups.values()


def _row(family: list[Release], declared: Schedule) -> tuple[object, ...]:
    name, vector = family[0]
    unit = _unit(vector)
    return (
        name, code(_name(family)), vector.block, vector.dimension, f"{vector.bound:.4g}", f"{vector.d2 / unit:.4g}",
        f"{vector.sigma / unit:.4g}", _share([vector], declared), vector.figures,
    )  # fmt: skip


def _name(family: list[Release]) -> str:
    vector = family[0][1]
    stem, dot, outcome = vector.name.partition(".")
    ending = dot + (outcome if len(family) == 1 else "<outcome>" if dot else "")
    return stem + ending + ("*" if vector.rule == "gram" else "")


def _stem(vector: VectorSpec) -> str:
    """Returns a vector's name without its outcome."""
    return vector.name.partition(".")[0]


def _unit(vector: VectorSpec) -> float:
    """Returns the grid steps of one unit of the vector's own sums."""
    return vector.grid if vector.rule == "sum" else vector.grid**2


def _share(vectors: Iterable[VectorSpec], declared: Schedule) -> str:
    listed = list(vectors)
    return f"{100 * sum(vector.mu2 for vector in listed) / declared.cost(listed[0].block):.2f} %"


def _price(plan: Plan, declared: Schedule) -> str:
    epsilon, delta = plan.privacy.epsilon, plan.privacy.delta
    asked = mu_from_epsilon(epsilon, delta) ** 2
    blocks: tuple[Block, ...] = ("treated", "comparator")
    costs = "; ".join(f"{block} {declared.cost(block):.6f}" for block in blocks)
    return (
        f"The plan asks for epsilon {epsilon:g} at delta {delta:g}, which is {asked:.6f} in mu squared. "
        f"Its vectors cost, in mu squared: {costs}. People helped and comparators are different people, "
        "so the study costs the larger of the two."
    )


def _reasons(families: Iterable[list[Release]]) -> Iterator[tuple[str, str, str, str]]:
    seen: dict[tuple[str, str], tuple[str, str, str, str]] = {}
    for family in families:
        vector = family[0][1]
        row = (code(split_name(vector.name)[0]), _columns(vector), vector.unit, vector.derivation)
        seen.setdefault((row[0], row[3]), row)
    yield from seen.values()


def _columns(vector: VectorSpec) -> str:
    labels = vector.labels
    if any("=" in label and ":" not in label for label in labels):
        own = [label for label in labels if label in ("count", "intercept", "weight", "square")]
        return ", ".join([*own, f"{len(labels) - len(own)} features"])
    return ", ".join(labels if len(labels) <= _LABELS else [*labels[:2], "...", labels[-1]])


def _figures(families: Sequence[list[Release]], declared: Schedule) -> Iterator[tuple[str, str, str, str, str]]:
    releases = [release for family in families for release in family]
    for figure in dict.fromkeys(figure for _, vector in releases for figure in vector.figures.split(", ")):
        behind = [release for release in releases if figure in release[1].figures.split(", ")]
        for stem in dict.fromkeys(_stem(vector) for _, vector in behind):
            mine = [release for release in behind if _stem(release[1]) == stem]
            rounds = ", ".join(dict.fromkeys(name for name, _ in mine))
            vectors = [vector for _, vector in mine]
            yield figure, code(stem), vectors[0].block, rounds, _share(vectors, declared)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(code(name) for name in names)
