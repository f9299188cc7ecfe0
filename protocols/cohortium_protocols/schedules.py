"""Which rounds a plan needs: one analysis method, one schedule."""

from __future__ import annotations

from cohortium_protocols import doubly_robust
from cohortium_protocols.errors import NotSupported
from cohortium_protocols.guarantee import times_one_node
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import Schedule


def schedule(plan: Plan) -> Schedule:
    """Returns every vector that the plan would release, with dimension, bound, grid, noise and price.

    Raises:
        NotSupported: this version has no such analysis.
    """
    if plan.analysis.method != "doubly_robust":
        raise NotSupported(
            f"The analysis method '{plan.analysis.method}' is not supported yet.", do="use doubly_robust"
        )
    return doubly_robust.schedule(plan).for_people_at_several(times_one_node(plan))
