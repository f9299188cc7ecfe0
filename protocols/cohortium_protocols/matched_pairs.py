"""Matched pairs, declared."""

from __future__ import annotations

from cohortium_protocols.errors import NotSupported
from cohortium_protocols.estimates import Estimate
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import Parameter, VectorSpec


def vectors(plan: Plan, estimate: Estimate, budget: float) -> tuple[VectorSpec, ...]:
    """Returns the estimate's vectors in the last round, charged to both blocks."""
    raise NotSupported("Matched pairs are not supported yet.", do="use doubly_robust")


def balance_vector(plan: Plan, estimate: Estimate, budget: float) -> VectorSpec:
    """Returns the features of matched people, to judge how alike the groups are."""
    raise NotSupported("Matched pairs are not supported yet.", do="use doubly_robust")


def parameters(plan: Plan, estimate: Estimate) -> tuple[Parameter, ...]:
    """Returns what a request says about the pairs."""
    raise NotSupported("Matched pairs are not supported yet.", do="use doubly_robust")
