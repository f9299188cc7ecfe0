"""The cohort file: what is read, and what is said about a file that cannot be used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortium_node.data.cohort import Cohort, read_cohort
from cohortium_node.linkage.exact import UNLINKED, link
from cohortium_node.linkage.nhs_number import check_digit_holds, digits
from cohortium_protocols.errors import InputError

ANN, BOB = "9434765919", "9434765870"

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(content: str | bytes) -> Path:
        path = tmp_path / "cohort.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


def people(cohort: Cohort) -> list[tuple[int, dt.date, bool]]:
    return list(
        zip(cohort.nhs_numbers.tolist(), cohort.start_dates.tolist(), cohort.consent.tolist(), strict=True)
    )


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_cohort(path)
    return str(caught.value)


def test_a_file_with_every_column_is_read(write: Write) -> None:
    path = write(
        "nhs_number,start_date,end_date,site,subgroup,legal_basis\n"
        f"{ANN},2022-03-01,2022-05-01,North,older,consent\n"
        f"{BOB},2022-02-01,,,,\n"
    )
    cohort = read_cohort(path)
    assert people(cohort) == [(int(BOB), dt.date(2022, 2, 1), False), (int(ANN), dt.date(2022, 3, 1), True)]
    assert cohort.rows == 2


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(f"nhs_number,start_date\n{ANN},2022-03-01\n", id="plain"),
        pytest.param(f"start_date,nhs_number\r\n2022-03-01,{ANN}\r\n", id="other order, other line ends"),
        pytest.param(f"\ufeffnhs_number,start_date\n{ANN},2022-03-01", id="byte order mark"),
        pytest.param("nhs_number,start_date\n\n943 476 5919 , 2022-03-01\n,\n", id="spaces and blank rows"),
        pytest.param(f'"nhs_number","start_date"\n"{ANN}","2022-03-01"\n', id="quotes"),
    ],
)
def test_the_same_person_in_other_clothes(write: Write, content: str) -> None:
    assert people(read_cohort(write(content))) == [(int(ANN), dt.date(2022, 3, 1), False)]


def test_a_person_in_several_rows_is_kept_with_the_earliest_start(write: Write) -> None:
    path = write(
        f"nhs_number,start_date,legal_basis\n{ANN},2022-03-01,consent\n{ANN},2022-02-01,s251\n{ANN},2022-04-01,s251\n"
    )
    cohort = read_cohort(path)
    assert people(cohort) == [(int(ANN), dt.date(2022, 2, 1), False)]
    assert cohort.rows == 3


def test_rows_with_the_same_start_count_as_consent_only_if_all_of_them_say_so(write: Write) -> None:
    path = write(f"nhs_number,start_date,legal_basis\n{ANN},2022-03-01,consent\n{ANN},2022-03-01,s251\n")
    assert people(read_cohort(path)) == [(int(ANN), dt.date(2022, 3, 1), False)]


def test_a_header_without_rows_is_a_cohort_of_nobody(write: Write) -> None:
    cohort = read_cohort(write("nhs_number,start_date\n"))
    assert people(cohort) == []
    assert cohort.rows == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("9434765918,2022-03-01,", "row 2, column nhs_number: the check digit does not fit"),
        ("123456,2022-03-01,", "row 2, column nhs_number: an NHS number has 10 digits"),
        ("943-476-5919,2022-03-01,", "row 2, column nhs_number: an NHS number has 10 digits"),
        ("٩٤٣٤٧٦٥٩١٩,2022-03-01,", "row 2, column nhs_number: an NHS number has 10 digits"),
        (",2022-03-01,", "row 2, column nhs_number: the NHS number is missing"),
        (f"{ANN},,", "row 2, column start_date: the start date is missing"),
        (f"{ANN},01/03/2022,", "row 2, column start_date: not a date written as YYYY-MM-DD"),
        (f"{ANN},2022-02-29,", "row 2, column start_date: not a date written as YYYY-MM-DD"),
        (f"{ANN},20220301,", "row 2, column start_date: not a date written as YYYY-MM-DD"),
        (f"{ANN},2022-03-01,yes", "row 2, column legal_basis: neither consent nor s251"),
        (f"{ANN},2022-03-01", "row 2, it has 2 values and the header has 3 columns"),
    ],
)
def test_a_broken_row_is_named_and_its_value_is_not(write: Write, row: str, said: str) -> None:
    message = refused(write(f"nhs_number,start_date,legal_basis\n{row}\n"))
    assert "cohort.csv" in message
    assert said in message
    assert row.split(",")[0] not in message or not row.split(",")[0]


def test_every_broken_row_is_named_up_to_twenty(write: Write) -> None:
    good, bad = f"{ANN},2022-03-01\n", "1,2022-03-01\n"
    message = refused(write("nhs_number,start_date\n" + bad + good + bad * 24))
    assert "row 2," in message
    assert "row 3," not in message
    assert "row 22," in message
    assert "row 23," not in message
    assert "and 5 more" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cohort.csv is empty"),
        ("\n\n", "cohort.csv is empty"),
        ("nhs_number,start\n", 'column "start": not a column of a cohort file; did you mean "start_date"?'),
        ("NHS Number,start_date\n", 'did you mean "nhs_number"?'),
        ("nhs_number,start_date,postcode\n", 'column "postcode": not a column of a cohort file'),
        ("nhs_number,site\n", 'column "start_date": it is required and missing'),
        ("nhs_number,start_date,nhs_number\n", 'column "nhs_number": it is there 2 times'),
        ("nhs_number;start_date\n", "the columns are separated by semicolons"),
        (b"nhs_number,start_date,site\n9434765919,2022-03-01,Orl\xe9ans\n", "row 2: the text is not UTF-8"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_the_reason(
    write: Write, content: str | bytes, said: str
) -> None:
    assert said in refused(write(content))


def test_a_first_row_that_is_no_header_is_not_quoted(write: Write) -> None:
    message = refused(write(f"{ANN},2022-03-01\n"))
    assert "row 1, the columns' names are expected here: nhs_number, start_date" in message
    assert ANN not in message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "cohort.csv cannot be read" in refused(tmp_path / "cohort.csv")


@given(st.integers(0, 999_999_999))
def test_at_most_one_last_digit_makes_a_valid_number(first_nine: int) -> None:
    numbers = first_nine * 10 + np.arange(10)
    total = sum(
        int(digit) * weight for digit, weight in zip(f"{first_nine:09d}", range(10, 1, -1), strict=True)
    )
    assert check_digit_holds(numbers).nonzero()[0].tolist() == [d for d in range(10) if (total + d) % 11 == 0]


def test_written_numbers_are_read_as_ten_digits() -> None:
    assert digits("943 476 5919") == digits(ANN) == 9434765919
    assert [digits(text) for text in ("94 34 76 59 19", "943476591", "94347659190", "943476591a", "")] == [
        None
    ] * 5


@given(st.lists(st.integers(0, 30), unique=True), st.sets(st.integers(0, 30)))
def test_linkage_finds_each_person_of_the_cohort_and_nobody_else(
    register: list[int], cohort: set[int]
) -> None:
    rows = np.array(sorted(cohort), dtype=np.int64)
    found = link(np.array(register, dtype=np.int64), rows)
    assert [None if row == UNLINKED else int(rows[row]) for row in found] == [
        n if n in cohort else None for n in register
    ]
