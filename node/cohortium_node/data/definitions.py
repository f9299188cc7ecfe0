"""What counts: codes and periods behind every outcome and every measure of earlier use.

Codes are those of the NHS Data Dictionary for admission method, patient classification, A&E department type
and A&E attendance category. Conditions that care outside hospital can manage (ambulatory care sensitive) are those of
indicator 2.3.i of the NHS Outcomes Framework, "unplanned hospitalisation for chronic ambulatory care sensitive
conditions" (check), by primary diagnosis; acute bronchitis (J20) is left out, because there it counts only beside a
chronic disease, and the indicator's exclusions by procedure are not made.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cohortium_node.data.diagnoses import prefixes
from cohortium_protocols.errors import PlanError
from cohortium_protocols.outcomes import CHANGE, EARLIER
from cohortium_protocols.plan import Plan

ELECTIVE_METHODS = ("11", "12", "13")
EMERGENCY_METHODS = ("21", "22", "23", "24", "25", "2A", "2C", "2D", "28")
"""Transfers (2B, 81) continue a spell that began elsewhere, so they are not new admissions."""

NONELECTIVE_METHODS = (*EMERGENCY_METHODS, "31", "32", "82", "83")
"""Emergency, maternity and other admissions."""
AVOIDABLE = frozenset(prefixes(
    "B180 B181 D501 D508 D509 D51 D52 E10-E14 F00-F03 G40 G41 I10 I110 I119 I130 I20 I25 I48 I50 J41-J47 J81"
))  # fmt: skip

REGULAR_ATTENDERS = ("3", "4")
"""Patient classifications left out of admissions: regular day and regular night attenders (check)."""

DEPARTMENT_TYPES = ("01", "02", "03", "04")
MAJOR = "01"
"""The department type of a major A&E department: consultant-led, open day and night."""
FIRST_ATTENDANCE, PLANNED_FOLLOW_UP = "1", "2"
"""A&E attendance categories: a first attendance, and a planned follow-up, which is not counted."""


@dataclass(frozen=True)
class Period:
    """Days from the index date: from ``first`` up to but not including ``end``."""

    first: int
    end: int


    @property
    def days(self) -> int:
        """Its length."""
        return self.end - self.first


PRIOR_YEAR = Period(-365, 0)
EARLIER_YEAR = Period(-730, -365)


@dataclass(frozen=True)
class StudyDates:
    """When things happen in a study: first and last day of the intake, and the follow-up of each person.

    Follow-up starts when the washout is over. What happened in it is counted as it happened: counts are not
    censored at death or de-registration, which end the time observed. Records are taken to reach the end of
    follow-up, for no plan has a deadline before it.
    """

    first: dt.date
    last: dt.date
    follow_up: Period

    def when(self, outcome: str) -> Period:
        """Returns when an outcome is measured."""
        return EARLIER_YEAR if outcome.startswith(EARLIER) else self.follow_up

    def before(self, outcome: str) -> Period | None:
        """Returns when that is measured which a change is counted from; None for what is no change."""
        return PRIOR_YEAR if outcome.endswith(CHANGE) else None


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
