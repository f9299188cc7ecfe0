"""People as database expressions: who can be analysed, and what is known about a person at the index date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import ibis
import ibis.expr.types as ir

from cohortium_node.data.definitions import study_dates
from cohortium_protocols.attrition import EXIT_STEPS
from cohortium_protocols.covariates import Covariate
from cohortium_protocols.plan import Plan

UNKNOWN, OTHER = "unknown", "other"


def exit_step(people: ir.Table, plan: Plan) -> ir.IntegerColumn:
    """Returns the position in ``EXIT_STEPS`` of the first test that each person fails; 0 if there is none.

    A registration without a date is open on that side; somebody who died on the index date was alive on it;
    an opt-out that is not recorded counts as an opt-out.
    """
    index, dates, (youngest, oldest) = people.index_date, study_dates(plan), plan.population.age
    fails = {
        "outside_intake": ~index.between(dates.first, dates.last),
        "not_registered": (people.registered_from > index) | (people.registered_to < index),
        "outside_population": ~age(people).between(youngest, oldest).fill_null(False),
        "died_before_index": people.death_date < index,
        "opted_out": ~people.consent & people.opt_out.fill_null(True),
    }
    branches = [
        (fails[step].fill_null(False), position) for position, step in enumerate(EXIT_STEPS) if position
    ]
    return ibis.cases(*branches, else_=0)


def age(people: ir.Table) -> ir.IntegerColumn:
    """Returns completed years at the index date; missing if the birth date is."""
    born, index = people.birth_date, people.index_date
    before_birthday = (index.month() * 100 + index.day()) < (born.month() * 100 + born.day())
    return index.year() - born.year() - before_birthday.cast("int64")


def _index_quarter(people: ir.Table) -> ir.StringColumn:
    return people.index_date.year().cast("string") + "Q" + people.index_date.quarter().cast("string")


KNOWN: Mapping[str, tuple[tuple[str, ...], Callable[[ir.Table], ir.Column]]] = MappingProxyType(
    {
        "age": ((), age),
        "sex": (("sex",), lambda people: people.sex),
        "ethnicity": (("ethnicity",), lambda people: people.ethnicity),
        "imd_decile": (("imd_decile",), lambda people: people.imd_decile),
        "index_quarter": ((), _index_quarter),
    }
)
"""Covariate -> the further columns of ``person`` it needs, and its value."""


def level(value: ir.StringColumn, covariate: Covariate) -> ir.IntegerColumn:
    """Returns the position of each value among a category's levels, or -1 for a missing one.

    A value that is not a level counts as ``other`` if that is a level; a value that is not known, or that
    fits nowhere, counts as ``unknown`` if that is a level and is missing otherwise.
    """
    places = {name: position for position, name in enumerate(covariate.levels)}
    nowhere = places.get(UNKNOWN, -1)
    elsewhere = places.get(OTHER, nowhere)
    known = ibis.cases(*((value == name, position) for name, position in places.items()), else_=elsewhere)
    return (value.fill_null(UNKNOWN) == UNKNOWN).ifelse(nowhere, known)
