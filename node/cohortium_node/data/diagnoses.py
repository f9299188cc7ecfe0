"""Charlson comorbidity index and frailty count from the ICD-10 codes of past admissions.

Charlson index: code lists of Quan H et al., Medical Care 2005;43:1130-9 (table 1, ICD-10), weights of
Charlson ME et al., Journal of Chronic Diseases 1987;40:373-83. Where a milder and a graver form of one
disease are both recorded, the graver one alone counts.

Frailty count: nine syndromes of Soong J et al., BMJ Open 2015;5:e008457, with the code lists that the Health
Foundation's analysts use in Hospital Episode Statistics (check); one point each, 0 to 9.

A code belongs to a condition if its first three or its first four characters are listed. A person's history
is one integer: bit k is set if condition k was ever recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Condition:
    """One disease or syndrome: its ICD-10 codes, its points, and the graver form that replaces it, if any."""

    name: str
    codes: str
    weight: int
    replaced_by: str = ""


CHARLSON = (
    Condition("myocardial infarction", "I21 I22 I252", 1),
    Condition("congestive heart failure", "I099 I110 I130 I132 I255 I420 I425-I429 I43 I50 P290", 1),
    Condition(
        "peripheral vascular disease",
        "I70 I71 I731 I738 I739 I771 I790 I792 K551 K558 K559 Z958 Z959",
        1,
    ),
    Condition("cerebrovascular disease", "G45 G46 H340 I60-I69", 1),
    Condition("dementia", "F00-F03 F051 G30 G311", 1),
    Condition("chronic pulmonary disease", "I278 I279 J40-J47 J60-J67 J684 J701 J703", 1),
    Condition("rheumatic disease", "M05 M06 M315 M32-M34 M351 M353 M360", 1),
    Condition("peptic ulcer disease", "K25-K28", 1),
    Condition(
        "mild liver disease",
        "B18 K700-K703 K709 K713-K715 K717 K73 K74 K760 K762-K764 K768 K769 Z944",
        1,
        replaced_by="moderate or severe liver disease",
    ),
    Condition(
        "diabetes without chronic complication",
        "E100 E101 E106 E108 E109 E110 E111 E116 E118 E119 E120 E121 E126 E128 E129 "
        "E130 E131 E136 E138 E139 E140 E141 E146 E148 E149",
        1,
        replaced_by="diabetes with chronic complication",
    ),
    Condition(
        "diabetes with chronic complication",
        "E102-E105 E107 E112-E115 E117 E122-E125 E127 E132-E135 E137 E142-E145 E147",
        2,
    ),
    Condition("hemiplegia or paraplegia", "G041 G114 G801 G802 G81 G82 G830-G834 G839", 2),
    Condition(
        "renal disease",
        "I120 I131 N032-N037 N052-N057 N18 N19 N250 Z490-Z492 Z940 Z992",
        2,
    ),
    Condition(
        "any malignancy, except of skin",
        "C00-C26 C30-C34 C37-C41 C43 C45-C58 C60-C76 C81-C85 C88 C90-C97",
        2,
        replaced_by="metastatic solid tumour",
    ),
    Condition(
        "moderate or severe liver disease",
        "I850 I859 I864 I982 K704 K711 K721 K729 K765-K767",
        3,
    ),
    Condition("metastatic solid tumour", "C77-C80", 6),
    Condition("AIDS/HIV", "B20-B22 B24", 6),
)

FRAILTY = (
    Condition("anxiety and depression", "F32 F33 F38 F41 F43 F44", 1),
    Condition("delirium", "F05", 1),
    Condition("frailty: dementia", "F00-F04 R41", 1),
    Condition("functional dependence", "Z74 Z75", 1),
    Condition("falls and fractures", "R55 S32 S33 S42 S43 S62 S72 S73 W00-W99", 1),
    Condition("incontinence", "R15 R32", 1),
    Condition("mobility problems", "R26 Z74", 1),
    Condition("pressure ulcers", "L89", 1),
    Condition("senility", "R54", 1),
)

CONDITIONS = CHARLSON + FRAILTY
LOOKBACK_DAYS = 730
"""How far before the index date admissions count towards either score: two years (check)."""


def prefixes(codes: str) -> list[str]:
    """Returns every three- or four-character prefix in a list with ranges, such as ``"K25-K27 K551"``."""
    return [prefix for item in codes.split() for prefix in _expand(*item.partition("-")[::2])]


def _expand(first: str, last: str) -> list[str]:
    if not last:
        return [first]
    width = len(first) - 1
    return [f"{first[0]}{number:0{width}d}" for number in range(int(first[1:]), int(last[1:]) + 1)]


def condition_bits() -> Mapping[str, int]:
    """Returns prefix -> the bits of the conditions it belongs to."""
    bits: dict[str, int] = {}
    for position, condition in enumerate(CONDITIONS):
        for prefix in prefixes(condition.codes):
            bits[prefix] = bits.get(prefix, 0) | 1 << position
    return bits


def score(history: NDArray[np.int64], conditions: tuple[Condition, ...]) -> NDArray[np.float64]:
    """Returns the points of each history for a family of conditions (``CHARLSON`` or ``FRAILTY``), (n,)."""
    total = np.zeros(history.shape)
    for condition in conditions:
        counts = _recorded(history, condition.name)
        if condition.replaced_by:
            counts &= ~_recorded(history, condition.replaced_by)
        total += condition.weight * counts
    return total


def _recorded(history: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
    position = next(k for k, condition in enumerate(CONDITIONS) if condition.name == name)
    return np.asarray(history >> position & 1, dtype=np.bool_)
