"""Where a person of the cohort can leave the analysis: one step a person, in the order they are tested."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EXIT_STEPS = (
    "analysed",
    "outside_intake",
    "not_registered",
    "outside_population",
    "died_before_index",
    "opted_out",
)
"""Closed list: each person of the cohort who is found at a node ends at exactly one of these, however many
rows name the person, so that one person's records change one count by one."""

EXIT_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "analysed": "Analysed",
        "outside_intake": "Started outside the intake dates",
        "not_registered": "Not registered with the data holder on the start date",
        "outside_population": "Outside the age range of the study",
        "died_before_index": "Died before the start date",
        "opted_out": "Opted out of the use of their data (national data opt-out)",
    }
)
"""Step -> what the report and the attrition diagram say."""
