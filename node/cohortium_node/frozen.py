"""A study's data, frozen when it is approved: the same people and values in every round, or no release.

The analysis table is reduced to arrays that stay in memory between rounds; on disk there is only a keyed
digest. After a restart the table is made again from the cohort file and the records, and must have the same
digest.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cohortium_node.data.table import AnalysisTable
from cohortium_node.features import StudyArrays, study_arrays
from cohortium_node.local.reduce import checked_parameters, reduce_round
from cohortium_protocols.errors import CohortiumError, DataChanged, InputError
from cohortium_protocols.plan import Plan
from cohortium_protocols.statistics import RoundSpec

Vectors = dict[str, NDArray[np.int64]]


class DataSource(Protocol):
    """Where a study's people come from."""

    def analysis_table(self, plan: Plan) -> AnalysisTable:
        """Returns one row for each person who can be analysed; raises CohortiumError when it cannot."""
        ...


class FrozenData:
    """The data of a node's open studies."""

    def __init__(self, source: DataSource, key: bytes, node: str) -> None:
        self._source = source
        self._node = node
        self._key = key
        self._arrays: dict[str, StudyArrays] = {}

    def freeze(self, plan: Plan) -> str:
        """Returns the keyed digest of a study's data as they are now, and keeps them in memory.

        Raises:
            CohortiumError: the cohort file or the records cannot be used.
        """
        frozen, self._arrays[plan.study] = self._made(plan)
        return frozen

    def check(self, plan: Plan, frozen: str, spec: RoundSpec, parameters: Mapping[str, Any]) -> None:
        """Refuses what ``exact`` would refuse.

        Raises:
            PolicyRefusal: the parameters are not the declared ones.
            DataChanged: the data are no longer those that were frozen, or cannot be read any more.
        """
        checked_parameters(spec, parameters)
        self._kept(plan, frozen)

    def exact(
        self, plan: Plan, frozen: str, spec: RoundSpec, parameters: Mapping[str, Any]
    ) -> tuple[Vectors, str]:
        """Returns a round's vectors before noise, and what went wrong in making them (nothing, as a rule).

        If people's values cannot be reduced, the vectors are those of nobody: whether it went wrong must not
        show.

        Args:
            plan: the approved plan.
            frozen: the digest that was entered in the ledger.
            spec: the round.
            parameters: of the request; not trusted.

        Raises:
            PolicyRefusal: the parameters are not the declared ones.
            DataChanged: the data are no longer those that were frozen, or cannot be read any more.
        """
        self.check(plan, frozen, spec, parameters)
        try:
            return reduce_round(spec, parameters, self._kept(plan, frozen)), ""
        except Exception as error:  # whatever people's values do here must not show outside, nor be quoted
            return reduce_round(spec, parameters, study_arrays(plan, nobody(plan), self._node)), type(error).__name__

    def forget(self, study: str) -> None:
        """Destroys what is in memory of a study."""
        self._arrays.pop(study, None)

    def _kept(self, plan: Plan, frozen: str) -> StudyArrays:
        if plan.study not in self._arrays and not hmac.compare_digest(self._again(plan), frozen):
            self.forget(plan.study)
            raise _changed(plan, "the cohort file or the records are not those of the day it was approved")
        return self._arrays[plan.study]

    def _again(self, plan: Plan) -> str:
        try:
            return self.freeze(plan)
        except CohortiumError as error:
            raise _changed(plan, error.what) from error

    def _made(self, plan: Plan) -> tuple[str, StudyArrays]:
        try:
            table = self._source.analysis_table(plan)
            return table.digest(self._key), study_arrays(plan, table, self._node)
        except CohortiumError:
            raise
        except Exception as error:  # a data engine's own words can quote a row: only their kind goes on
            raise InputError(
                f"The records cannot be used for the study '{plan.study}'.",
                why=f"the data engine stopped with {type(error).__name__}",
                do="run `cohortium-node check`",
            ) from None


def nobody(plan: Plan) -> AnalysisTable:
    """Returns the analysis table of no people at all."""
    kinds = {
        covariate.name: np.float64 if covariate.kind == "number" else object for covariate in plan.covariates
    }
    return AnalysisTable(
        np.empty(0, dtype=np.bool_),
        {name: np.empty(0, dtype=kind) for name, kind in kinds.items()},
        np.empty((0, len(plan.outcomes))),
        np.empty(0, dtype=np.int64),
    )


def _changed(plan: Plan, why: str) -> DataChanged:
    return DataChanged(
        f"The data of the study '{plan.study}' are not those that were approved.",
        why=why,
        do="nothing was released; put the cohort file and the records back as they were, or let it end",
    )
