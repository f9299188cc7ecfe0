"""What a report says about an effect: two wordings, the interval first, and never "no effect"."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cohortium_coordinator.report import read_result, text
from cohortium_coordinator.result import OutcomeEstimate, StudyResult

EXAMPLE = read_result(Path(__file__).parents[2] / "docs" / "reference" / "report.example.json")


def outcome(low: float, high: float, **changes: object) -> OutcomeEstimate:
    described = {"people_needed": None, **changes, "low": low, "high": high, "estimate": (low + high) / 2}
    described["significant"] = low > 0 or high < 0
    return OutcomeEstimate.model_validate({**EXAMPLE.outcomes[0].model_dump(), **described})


def study(*outcomes: OutcomeEstimate) -> StudyResult:
    return EXAMPLE.model_copy(update={"outcomes": outcomes})


WORDINGS = [
    # interval per person, kind, unit, people needed -> what the report says
    (-0.33, -0.10, "count", "attendances", None,
     "lower by between 10 and 33 attendances per 100 people, and the result is statistically significant."),
    (0.10, 0.33, "count", "attendances", None,
     "higher by between 10 and 33 attendances per 100 people, and the result is statistically significant."),
    (-0.12, 0.20, "count", "attendances", None,
     "lower by as many as 12 or higher by as many as 20 attendances per 100 people. More people would be "
     "needed to tell the direction. This does not mean that the programme has no effect."),
    (-0.12, 0.20, "count", "attendances", 2_312,
     "lower by as many as 12 or higher by as many as 20 attendances per 100 people. More people would be "
     "needed to tell the direction: about 2,400 people helped. This does not mean that the programme has no "
     "effect."),
    (-0.043, 0.021, "binary", "people", None,
     "lower by as many as 4.3 or higher by as many as 2.1 people in every 100. More people would be needed "
     "to tell the direction. This does not mean that the programme has no effect."),
    (0.0, 0.20, "count", "attendances", None,
     "higher by as many as 20 attendances per 100 people. More people would be needed to tell the "
     "direction. This does not mean that the programme has no effect."),
    (2.42, 4.48, "number", "kg", None,
     "higher by between 2.4 and 4.5 kg per person, and the result is statistically significant."),
    (-0.05, 0.02, "share", "share", None,
     "lower by as much as 5.0 or higher by as much as 2.0 percentage points. More people would be needed "
     "to tell the direction. This does not mean that the programme has no effect."),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "kind", "unit", "needed", "sentence"), WORDINGS)
def test_key_finding(
    low: float, high: float, kind: str, unit: str, needed: int | None, sentence: str
) -> None:
    assert text.finding(outcome(low, high, kind=kind, unit=unit, people_needed=needed)) == sentence


IMPACTS = [
    (-0.33, -0.10, "count", "For 100 people like those helped: between 10 and 33 fewer attendances."),
    (0.10, 0.33, "count", "For 100 people like those helped: between 10 and 33 more attendances."),
    (-0.12, 0.20, "count", "For 100 people like those helped: from 12 fewer to 20 more attendances."),
    (0.0, 0.20, "count", "For 100 people like those helped: from no difference to 20 more attendances."),
    (-3.1, 0.2, "number",
     "For people like those helped, on average: from 3.1 attendances lower to 0.2 attendances higher."),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "kind", "sentence"), IMPACTS)
def test_estimated_impact(low: float, high: float, kind: str, sentence: str) -> None:
    assert text.impact(outcome(low, high, kind=kind)) == sentence


VERDICTS = [
    (-0.3, -0.1, "lower", "Lower, as hoped"),
    (-0.3, -0.1, "higher", "Lower, the opposite of what was hoped"),
    (-0.3, -0.1, "neither", "Lower"),
    (0.1, 0.3, "lower", "Higher, the opposite of what was hoped"),
    (0.1, 0.3, "higher", "Higher, as hoped"),
    (-0.1, 0.3, "higher", "The direction is not clear yet"),
    (-0.1, 0.3, "neither", "The direction is not clear yet"),
]


@pytest.mark.parametrize(("low", "high", "better", "words"), VERDICTS)
def test_verdict(low: float, high: float, better: str, words: str) -> None:
    assert text.verdict(outcome(low, high, better=better)).words == words


@given(low=st.floats(-5, 5), width=st.floats(0, 5))
def test_there_is_no_third_wording(low: float, width: float) -> None:
    assume(width > 1e-6)
    said = text.finding(outcome(low, low + width))
    significant = "and the result is statistically significant." in said
    spans_zero = text.NO_EFFECT_IS_NOT_SHOWN in said and "More people would be needed" in said
    assert significant != spans_zero
    assert significant == (low > 0 or low + width < 0)


@given(low=st.floats(-5, 5), width=st.floats(0.001, 5))
def test_no_limit_away_from_zero_is_printed_as_zero(low: float, width: float) -> None:
    assume(abs(low) > 1e-5 and abs(low + width) > 1e-5)
    assert " 0 " not in text.finding(outcome(low, low + width)).replace("100 ", "")


def test_a_null_result_may_not_be_told_as_no_effect() -> None:
    null = study(outcome(-0.1, 0.2))
    assert "The study cannot yet tell which." in text.can_say(null)[0]
    assert text.cannot_say(null)[0] == (
        "“A&E attendances: the programme has no effect.” The study did not find that."
    )


def test_a_clear_result_may_not_be_told_as_proof() -> None:
    clear = study(outcome(-0.3, -0.1))
    assert text.can_say(clear) == (
        "“A&E attendances: lower by between 10 and 30 attendances per 100 people among people helped than "
        "among similar people who were not.”",
    )
    assert text.cannot_say(clear)[0] == (
        "“A&E attendances: the programme alone made the difference.” Other causes remain."
    )


def test_an_adverse_result_is_said_in_the_same_words_as_a_good_one() -> None:
    good, adverse = text.finding(outcome(-0.3, -0.1)), text.finding(outcome(0.1, 0.3))
    assert good.replace("lower", "higher") == adverse


def test_the_caveats_name_what_matching_cannot_see() -> None:
    said = " ".join(text.caveats(EXAMPLE))
    for words in ("not recorded", "other help", "were analysed", "national averages", "capped", "assumes"):
        assert words in said


def test_the_guarantee_is_never_rounded_in_favour_of_the_study() -> None:
    privacy = EXAMPLE.privacy.model_copy(update={"epsilon": 1.0001})
    assert "epsilon 1.01" in text.guarantee(privacy)
    assert text.privacy_in_brief(privacy) == "epsilon 1.01"


def test_noise_off_promises_nothing() -> None:
    off = EXAMPLE.privacy.model_copy(update={"noise": False, "epsilon": None, "delta": None})
    assert text.guarantee(off) == ""
    assert "nothing on this page is private" in text.left_each_node(off)
    assert text.privacy_in_brief(off) == "not private: noise off"


def test_the_data_holders_who_are_missing_are_named_with_the_reason() -> None:
    assert text.data_holders(EXAMPLE) == (
        "4 of 5 data holders answered. Not in these figures: west (offline)."
    )
