"""Direction checks: claims of the paper as a sign that a difference should have, held or not held by its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isotropy_metrics.study.report.tables import format_number, number_or_nan
from isotropy_metrics.study.resampling import with_limits
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.treatments.treatment import BASELINE, TREATMENTS
from isotropy_metrics.study.treatments.treatment_trial import LOG_ISOTROPY, TreatmentTrial

HELD, NOT_HELD, UNDECIDED = "held", "not held", "undecided"

RULES = {
    "above 0": "held if the interval lies above 0",
    "below 0": "held if the interval lies below 0",
    "not above 0": "held unless the interval lies above 0",
}
"""What a difference should be, and when it is."""


@dataclass(frozen=True)
class DirectionCheck:
    """One claim about one difference.

    Attributes:
        number: of the claim in the literature.
        subject: fine-tuning, or a treatment by its name.
        claim: what the subject is said to do, as in "raises the score".
        quantity: what the difference is of, and in which unit.
        resampled: what was drawn for the interval: "items" or "texts".
        expected: a key of `RULES`.
        value, low, high: the difference and its limits; NaN if there is no interval.
    """

    number: int
    subject: str
    claim: str
    quantity: str
    resampled: str
    expected: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "held" or "not held", by the interval and never by the value; "undecided" without an interval."""
        if not self.low <= self.high:
            return UNDECIDED
        if self.expected == "above 0":
            held = self.low > 0
        elif self.expected == "below 0":
            held = self.high < 0
        else:
            held = self.low <= 0
        return HELD if held else NOT_HELD

    def row(self) -> dict[str, Any]:
        """For the table of checks."""
        return {
            "check": self.number,
            "subject": self.subject,
            "claim": self.claim,
            "verdict": self.verdict,
            "quantity": self.quantity,
            "value": self.value,
            "value_low": self.low,
            "value_high": self.high,
            "resampled": self.resampled,
            "expected": self.expected,
        }


def paper_checks(
    trials: Mapping[tuple[str, str], TreatmentTrial], rows: Mapping[tuple[str, str], dict[str, Any]], score_name: str
) -> list[DirectionCheck]:
    """What is known of the findings of Rajaee & Pilehvar (EMNLP 2021) on fine-tuned spaces, checked on one.

    Args:
        trials: by checkpoint and treatment.
        rows: the rows of the table `treatments`, by the same.
        score_name: what the score is called.
    """

    def subject_of(treatment: str) -> str:
        return "fine-tuning" if treatment == BASELINE else treatment

    def of_score(number: int, claim: str, expected: str, treatment: str) -> DirectionCheck:
        limits = (rows[AFTER, treatment][key] for key in ("gain", "gain_low", "gain_high"))
        subject = subject_of(treatment)
        return DirectionCheck(number, subject, claim, f"gain in {score_name}", "items", expected, *limits)

    def of_isotropy(number: int, claim: str, expected: str, treatment: str, over: str) -> DirectionCheck:
        ours, theirs = trials[AFTER, treatment], trials[over, BASELINE]
        resampled = ours.resampled_isotropy - theirs.resampled_isotropy
        limits = with_limits("value", ours.mean(LOG_ISOTROPY) - theirs.mean(LOG_ISOTROPY), resampled).values()
        quantity = "difference of log10 I(W)"
        return DirectionCheck(number, subject_of(treatment), claim, quantity, "texts", expected, *limits)

    checks = [
        of_score(1, "raises the score", "above 0", BASELINE),
        of_isotropy(2, "does not raise the isotropy", "not above 0", BASELINE, BEFORE),
    ]
    treatments = [each for each in TREATMENTS if each.name != BASELINE]
    for each in treatments:
        claim = "raises the isotropy of the fine-tuned space"
        checks.append(of_isotropy(3, claim, "above 0", each.name, AFTER))
    for each in treatments:
        claim = "does not raise the score of the fine-tuned model"
        checks.append(of_score(4, claim, "not above 0", each.name))
    for each in treatments:
        if each.has_directions:
            claim = "lowers the score of the fine-tuned model by removing directions"
            checks.append(of_score(4, claim, "below 0", each.name))
    return checks


def tell_checks(rows: list[dict[str, Any]]) -> list[str]:
    """The table of checks as sentences: one for each claim, with every subject that it is made of."""
    claims = dict.fromkeys((row["check"], row["claim"], row["quantity"]) for row in rows)
    sentences = []
    for number, claim, quantity in claims:
        own = [row for row in rows if (row["check"], row["claim"]) == (number, claim)]
        found = [
            f"{verdict} for {', '.join(_with_interval(row) for row in own if row['verdict'] == verdict)}"
            for verdict in dict.fromkeys(row["verdict"] for row in own)
        ]
        sentences.append(f"The claim “{claim}” ({quantity}) is {'; '.join(found)}.")
    return sentences


def _with_interval(row: dict[str, Any]) -> str:
    value, low, high = (format_number(row[key], 3) for key in ("value", "value_low", "value_high"))
    if row["verdict"] == UNDECIDED:
        return f"{row['subject']} {value}, which has no interval"
    with_zero = ", 0 included" if number_or_nan(row["value_low"]) <= 0 <= number_or_nan(row["value_high"]) else ""
    return f"{row['subject']} {value} [{low}, {high}{with_zero}]"
