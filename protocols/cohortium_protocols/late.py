"""What a late plan may differ in from the plan of the study that it completes.

Data holders that were too late for a study are asked by a plan of their own. Its result is merged with the first one
as a separate estimate of the same effect, so that the question must be the same to the letter.
"""

from __future__ import annotations

from cohortium_protocols.plan import Plan

OF_ITS_OWN = frozenset({"study", "title", "privacy", "nodes", "completes", "submitted"})
"""Fields that say who is asked, at which price and under which name, and not what is asked."""


def differences(first: Plan, late: Plan) -> tuple[str, ...]:
    """Returns the fields in which a late plan asks another question than the first one; none when it is the same."""
    asked = [name for name in Plan.model_fields if name not in OF_ITS_OWN]
    return tuple(name for name in asked if getattr(first, name) != getattr(late, name))
