"""One round at one node: parameters checked against the declaration, people reduced to the declared vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import StudyArrays
from cohortium_node.local.columns import Columns, Room
from cohortium_node.local.groups import KEYED
from cohortium_node.local.pairs import Pairs
from cohortium_node.local.people import Parameters, Part
from cohortium_node.local.rows import ROWS
from cohortium_node.local.sums import integer_vector
from cohortium_protocols.errors import PolicyRefusal
from cohortium_protocols.estimates import split_name
from cohortium_protocols.statistics import MAX_PEOPLE, Parameter, RoundSpec, VectorSpec

PEOPLE_AT_A_TIME = 2**13
"""So that their rows stay in a processor's cache while they are made, clipped, rounded and added."""


def reduce_round(spec: RoundSpec, parameters: Mapping[str, Any], arrays: StudyArrays) -> dict[str, NDArray[np.int64]]:
    """Returns the round's declared vectors, exact, before noise, in the order of the declaration.

    People are taken a few thousand at a time, and what several vectors need of them is worked out once. Who is matched
    is found in the whole node first.

    Raises:
        PolicyRefusal: a parameter is missing, unknown, of another shape, not finite or out of its declared bounds.
        ValueError: there are more people than sums stay exact for.
    """
    checked = checked_parameters(spec, parameters)
    if arrays.longest > MAX_PEOPLE:
        raise ValueError(f"a node adds up at most {MAX_PEOPLE} people")
    totals = {vector.name: np.zeros(vector.dimension, dtype=np.int64) for vector in spec.vectors}
    room, pairs = Room(PEOPLE_AT_A_TIME), Pairs(arrays, checked, PEOPLE_AT_A_TIME)
    own = [vector for vector in spec.vectors if vector.block != "matched"]
    for some in arrays.parts(PEOPLE_AT_A_TIME):
        part = Part(some, checked)
        for vector in own:
            totals[vector.name] += _total(vector, _columns(vector, part), room)
    for vector in spec.vectors:
        if vector.block == "matched":
            for rows in pairs.rows(vector):
                totals[vector.name] += _total(vector, rows, room)
    return totals


def _total(vector: VectorSpec, columns: Columns, room: Room) -> NDArray[np.int64]:
    rows, spread = room.side_by_side(columns)
    return integer_vector(rows, vector, spread)


def checked_parameters(spec: RoundSpec, parameters: Mapping[str, Any]) -> Parameters:
    """Returns a request's parameters as arrays when they are exactly the declared ones.

    Raises:
        PolicyRefusal: see :func:`reduce_round`.
    """
    if set(parameters) != {parameter.name for parameter in spec.parameters}:
        raise _refusal(spec, "the names of its parameters are not the declared ones")
    return {parameter.name: _checked(spec, parameter, parameters[parameter.name]) for parameter in spec.parameters}


def _checked(spec: RoundSpec, parameter: Parameter, value: Any) -> NDArray[np.float64]:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _refusal(spec, f"'{parameter.name}' is not a table of numbers") from error
    if array.shape != parameter.shape:
        raise _refusal(spec, f"'{parameter.name}' has shape {array.shape}, declared is {parameter.shape}")
    if not bool(np.all((array >= parameter.low) & (array <= parameter.high))):
        raise _refusal(spec, f"'{parameter.name}' is outside {parameter.low:g} to {parameter.high:g}")
    return array


def _refusal(spec: RoundSpec, why: str) -> PolicyRefusal:
    return PolicyRefusal(
        f"A request for round '{spec.name}' asks for something the signed plan does not declare.",
        why=why,
        do="nothing was released; ask the data lab which version it runs",
    )


def _columns(vector: VectorSpec, part: Part) -> Columns:
    family, key, name = split_name(vector.name)
    k = part.position(name) if name else 0
    return KEYED[family](part, k, key) if family in KEYED else ROWS[family](part, k)
