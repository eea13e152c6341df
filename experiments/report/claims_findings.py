"""What a claim of the paper amounts to: findings, each with a status that a rule makes from records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What becomes of a claim."""

    REPRODUCED = "reproduced"
    IN_PART = "reproduced in part"
    NOT_REPRODUCED = "not reproduced"
    UNDECIDED = "not reproduced (undecided)"
    TIE_ARTIFACT = "an artifact of ties counted for the target"
    ORDER_ARTIFACT = "an artifact of the file's order taken for time"
    NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Finding:
    """What the evidence of one data set amounts to."""

    dataset: str
    status: Status = Status.NOT_TESTED
    evidence: Sequence[str] = ()  # lines
    note: str = ""  # what qualifies the status


@dataclass(frozen=True)
class Claim:
    """What the paper says, and what was found."""

    text: str
    findings: Sequence[Finding]
    rule: str = ""  # that makes its statuses, if differences of models do not

    @property
    def results(self) -> dict[str, Sequence[str]]:
        """The evidence of each result; data sets that were not tested share one."""
        tested = {f"{one.dataset}: {one.status}{one.note}": one.evidence for one in self.findings if one.evidence}
        untested = ", ".join(one.dataset for one in self.findings if not one.evidence)
        return tested | ({f"{untested}: {Status.NOT_TESTED}": ()} if untested else {})

    def format_section(self) -> str:
        """Return the claim with its evidence in Markdown."""
        lines = [f"### {self.text}", "", *([f"Rule: {self.rule}.", ""] if self.rule else [])]
        for result, evidence in self.results.items():
            lines += [f"- **{result}**", *(f"  - {line}" for line in evidence)]
        return "\n".join(lines)


def get_sign(low: float, high: float, is_open: bool) -> str:
    """Return where the interval of a difference lies: above 0 `+`, below 0 `−`, else `?` if it is open, or `0`."""
    return "+" if low > 0 else "−" if high < 0 else "?" if is_open else "0"


def grade(is_full: bool, is_partial: bool) -> Status:
    """Return the status of a claim that holds fully, in part, or not at all."""
    return Status.REPRODUCED if is_full else Status.IN_PART if is_partial else Status.NOT_REPRODUCED
