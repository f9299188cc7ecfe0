"""What a plan's rounds are as secure sums: both sides work it out from the signed plan and the signed request alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cohortium_protocols.canonical import digest
from cohortium_protocols.errors import PlanError
from cohortium_protocols.messages import RoundRequest, read
from cohortium_protocols.plan import Plan, plan_digest
from cohortium_protocols.privacy.accounting import SIGMA_FLOOR
from cohortium_protocols.privacy.distributed import node_sigma
from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.secure_sum.session import Session
from cohortium_protocols.signing import Envelope
from cohortium_protocols.statistics import RoundSpec, Schedule


def rules_of(plan: Plan) -> Rules:
    """Returns the rules of a plan's secure sums.

    Raises:
        PlanError: no rules serve its roster with so many lost and colluding nodes.
    """
    privacy = plan.privacy
    return Rules(len(plan.nodes.roster), privacy.tolerate_lost_nodes, privacy.assume_colluding_nodes)


def check_shares(plan: Plan, schedule: Schedule) -> None:
    """Refuses a plan whose nodes would add less noise than can be drawn well.

    Raises:
        PlanError: a node's share of some vector's noise is below ``SIGMA_FLOOR``, or no rules serve the plan.
    """
    rules = rules_of(plan)
    for spec, vector in schedule.vectors():
        declared = (vector.sigma, vector.sigma_off_diagonal) if vector.rule == "gram" else (vector.sigma,)
        share = min(node_sigma(sigma, rules) for sigma in declared)
        if vector.sigma and share < SIGMA_FLOOR:
            raise PlanError(
                f"Each node's share of the noise on '{vector.name}' in round '{spec.name}' is {share:g} grid steps.",
                why=f"below {SIGMA_FLOOR:g} the noise is no longer what its price says",
                do="ask fewer nodes, or write a smaller `epsilon`",
            )


def session_of(plan: Plan, spec: RoundSpec, request: Envelope) -> Session:
    """Returns the session of one attempt at one round.

    Args:
        plan: the signed plan.
        spec: the round, from the plan's schedule.
        request: the operator's signed request for this attempt; the session is bound to its body, byte for byte.
    """
    return Session(
        study=plan.study,
        operator=request.sender,
        plan_digest=plan_digest(plan),
        round=spec.name,
        attempt=read(request, RoundRequest).attempt,
        request_digest=digest(request.body),
        roster=plan.nodes.roster,
        rules=rules_of(plan),
        dimension=sum(vector.dimension for vector in spec.vectors),
    )


def joined(spec: RoundSpec, vectors: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Returns a round's vectors as one, in declared order, shape (sum of dimensions,)."""
    return np.concatenate([vectors[vector.name] for vector in spec.vectors])


def parted(spec: RoundSpec, values: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Returns the vectors in what :func:`joined` made, by name."""
    ends = np.cumsum([vector.dimension for vector in spec.vectors])
    parts = np.split(values, ends[:-1])
    return {vector.name: part for vector, part in zip(spec.vectors, parts, strict=True)}
