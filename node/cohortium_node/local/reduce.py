"""One round at one node: parameters checked against the declaration, people reduced to the declared vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortium_node.features import StudyArrays
from cohortium_node.local.rows import ROWS, Parameters
from cohortium_node.local.sums import integer_vector
from cohortium_protocols.errors import PolicyRefusal
from cohortium_protocols.statistics import Parameter, RoundSpec, VectorSpec


def reduce_round(
    spec: RoundSpec, parameters: Mapping[str, Any], arrays: StudyArrays
) -> dict[str, NDArray[np.int64]]:
    """Returns the round's declared vectors, exact, before noise, in the order of the declaration.

    Raises:
        PolicyRefusal: a parameter is missing, unknown, of another shape, not finite or out of its declared bounds.
    """
    checked = checked_parameters(spec, parameters)
    return {vector.name: _vector(vector, checked, arrays) for vector in spec.vectors}


def checked_parameters(spec: RoundSpec, parameters: Mapping[str, Any]) -> Parameters:
    """Returns a request's parameters as arrays when they are exactly the declared ones.

    Raises:
        PolicyRefusal: see :func:`reduce_round`.
    """
    if set(parameters) != {parameter.name for parameter in spec.parameters}:
        raise _refusal(spec, "the names of its parameters are not the declared ones")
    return {
        parameter.name: _checked(spec, parameter, parameters[parameter.name]) for parameter in spec.parameters
    }


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


def _vector(vector: VectorSpec, parameters: Parameters, arrays: StudyArrays) -> NDArray[np.int64]:
    family, _, outcome = vector.name.partition(".")
    position = [known.name for known in arrays.outcomes].index(outcome) if outcome else 0
    return integer_vector(ROWS[family](arrays, parameters, position), vector)
