"""What a claim of the paper amounts to: findings, each with a status that a rule makes from records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REPRODUCED, IN_PART, NOT_REPRODUCED = "reproduced", "reproduced in part", "not reproduced"
UNDECIDED = "not reproduced (undecided)"
NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Finding:
    """What the evidence of one data set amounts to."""

    dataset: str
    status: str = NOT_TESTED
    evidence: Sequence[str] = ()  # lines
    note: str = ""  # what qualifies the status


@dataclass(frozen=True)
class Claim:
    """What the paper says, and what was found."""

    text: str
    findings: Sequence[Finding]
    rule: str = ""  # that makes its statuses, if differences of models do not

    @property
    def tested(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status != NOT_TESTED]

    @property
    def untested(self) -> str:
        """The data sets without evidence."""
        return ", ".join(finding.dataset for finding in self.findings if finding.status == NOT_TESTED)

    @property
    def status(self) -> str:
        """The status on each data set, in one line."""
        texts = [f"{finding.dataset}: {finding.status}{finding.note}" for finding in self.tested]
        return "; ".join(texts + [f"{self.untested}: {NOT_TESTED}"] * bool(self.untested))

    def list_lines(self) -> Iterator[str]:
        """Yield the lines of the claim's section in Markdown."""
        yield from (f"### {self.text}", "")
        if self.rule:
            yield from (f"Rule: {self.rule}.", "")
        for finding in self.tested:
            yield f"- {finding.dataset}: ***{finding.status}***{finding.note}"
            yield from (f"  - {line}" for line in finding.evidence)
        if self.untested:
            yield f"- {self.untested}: *{NOT_TESTED}*"
        yield ""


def get_sign(low: float, high: float, is_open: bool) -> str:
    """Return where the interval of a difference lies: above 0 `+`, below 0 `−`, else `?` if it is open, or `0`."""
    return "+" if low > 0 else "−" if high < 0 else "?" if is_open else "0"
