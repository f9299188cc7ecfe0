"""What counts: codes and periods behind every outcome and every measure of earlier use.

Codes are those of the NHS Data Dictionary for admission method, patient classification, A&E department type
and A&E attendance category.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cohortium_protocols.errors import PlanError
from cohortium_protocols.plan import Plan

ELECTIVE_METHODS = ("11", "12", "13")
EMERGENCY_METHODS = ("21", "22", "23", "24", "25", "2A", "2C", "2D", "28")
"""Transfers (2B, 81) continue a spell that began elsewhere, so they are not new admissions."""

REGULAR_ATTENDERS = ("3", "4")
"""Patient classifications left out of admissions: regular day and regular night attenders (check)."""

DEPARTMENT_TYPES = ("01", "02", "03", "04")
PLANNED_FOLLOW_UP = "2"
"""The A&E attendance category of a planned follow-up, which is not counted."""


@dataclass(frozen=True)
class Period:
    """Days from the index date: from ``first`` up to but not including ``end``."""

    first: int
    end: int


PRIOR_YEAR = Period(-365, 0)


@dataclass(frozen=True)
class StudyDates:
    """When things happen in a study: first and last day of the intake, and the follow-up of each person.

    Follow-up starts when the washout is over. What happened in it is counted as it happened: counts are not
    censored at death or de-registration.
    """

    first: dt.date
    last: dt.date
    follow_up: Period


def study_dates(plan: Plan) -> StudyDates:
    """Returns the dates of a plan on canonical data.

    Raises:
        PlanError: the plan is about a table that is ready for analysis, so it has none.
    """
    if plan.intake is None or plan.follow_up is None:
        raise PlanError(
            f"The plan {plan.study} is about a table that is ready for analysis.",
            why="A data source holds health records, cut to a window around each person's index date.",
            do="Write `data: canonical` in the plan, with an intake and a follow-up.",
        )
    return StudyDates(plan.intake.from_, plan.intake.to, Period(plan.washout, plan.washout + plan.follow_up))
