"""The paper's claims one by one, each with the published evidence and a status.

Rules make each status from records. A status holds only for the data sets and settings of these records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdmr.experiments.report import claims_evidence as evidence
from sdmr.experiments.report.audit_runs import Records
from sdmr.experiments.report.claims_evidence import Finding, Status, check_improvement
from sdmr.experiments.report.writers import make_markdown

SEQUENTIAL = ("prme", "prme-s", "transrec", "caser")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, with the findings on it."""

    text: str
    findings: Sequence[Finding]
    rule: str = ""  # that makes its statuses, if differences of models do not

    @property
    def results(self) -> dict[str, Sequence[str]]:
        """Return the evidence of each result; data sets that were not tested share one."""
        tested = {f"{one.dataset}: {one.status}{one.note}": one.evidence for one in self.findings if one.evidence}
        untested = ", ".join(one.dataset for one in self.findings if not one.evidence)
        return tested | ({f"{untested}: {Status.NOT_TESTED}": ()} if untested else {})

    def format_section(self) -> str:
        """Return the claim with its evidence in Markdown."""
        lines = [f"### {self.text}", "", *([f"Rule: {self.rule}.", ""] if self.rule else [])]
        for result, texts in self.results.items():
            lines += [f"- **{result}**", *(f"  - {line}" for line in texts)]
        return "\n".join(lines)


def judge_claims(results: Path, plots: Path, records: Records) -> list[Claim]:
    """Judge every claim by published records, Figure 5's correlations and the audit's records."""
    return [
        Claim("SDP is better than MF-BPR", check_improvement(results, ["sdp"], ["mf-bpr"])),
        Claim("SDP is better than CML", check_improvement(results, ["sdp"], ["cml"])),
        Claim("SDM is better than the neighborhood models", check_improvement(results, ["sdm"], ["item-knn", "slim"])),
        Claim("SDM is better than CMN++ and NeuMF++", check_improvement(results, ["sdm"], ["cmn", "neumf"])),
        Claim("SDMR is better than SDM on NDCG@10", check_improvement(results, ["sdmr"], ["sdm"], ["NDCG@10"])),
        Claim(
            "SDMR's NDCG@10, on ML-100k .562 at a hit@10 of .695",
            evidence.check_tie_policies(records),
            "reproduced, if the expected tie policy comes within .02 of it, or beyond, at any epoch; an artifact, if "
            "only the optimistic policy does",
        ),
        Claim(
            "SDM and SDMR are better than the sequential models",
            check_improvement(results, ["sdm", "sdmr"], SEQUENTIAL),
        ),
        Claim("Item-KNN is last of the general models", evidence.check_ranking(results, "item-knn")),
        Claim(
            "Item-KNN's values, on ML-100k .166 / .073",
            evidence.check_values(results, "item-knn"),
            "reproduced, if the paper's values are inside our 95 % bootstrap intervals over users",
        ),
        Claim("SLIM's rank among the general models", evidence.check_ranking(results, "slim")),
        Claim(
            "More hops help SDM, except on Ta-Feng",
            evidence.check_hops(results),
            "signs of a t-test over settings (size and seed), not users; `?` where the interval holds both 0 and a "
            f"gain of {evidence.SMALL_GAIN}; on Ta-Feng the claim is that they do not help",
        ),
        Claim(
            "SDM's attention follows PMI more with more hops",
            evidence.check_attention(plots),
            "reproduced, if r grows from hop to hop and the bootstrap intervals of fewest and most hops are apart",
        ),
        Claim(
            "SDM gets .575 / .390 on Epinions",
            evidence.check_file_order(records, results),
            "reproduced (in part), if both metrics (one) are inside the 95 % intervals of Table 3's SDM, whose order "
            "is random; else an artifact, if a rule that knows only the order of ids beats it in that order alone",
        ),
    ]


def format_claims(claims: Sequence[Claim]) -> str:
    """Return a summary of the claims, then each with its evidence, in Markdown."""
    summary = make_markdown([{"claim": claim.text, "status": "; ".join(claim.results)} for claim in claims])
    sections = "\n\n".join(claim.format_section() for claim in claims)
    return f"""## The claims

Two models are compared over the same users and candidates, by their means over seeds. The sign after a difference \
says where its 95 % interval lies (paired t-test over users, not corrected for the number of tests):

- `+` above 0, `−` below 0;
- `?` around both 0 and the paper's difference;
- `0` around 0 alone.

Seeds are averaged. Where a trained model has one seed, another seed may turn a small difference.

- *{Status.REPRODUCED}*: `+` throughout;
- *{Status.PARTLY_REPRODUCED}*: some `+`;
- *{Status.NOT_REPRODUCED}*: no `+`;
- *{Status.UNDECIDED}*: nothing but `?`;
- *{Status.NOT_TESTED}*: no records of the data set or the model.

Differences that the paper prints the other way round are not counted. A claim that is no difference of models names \
its own rule. A status holds for the data set and the settings of its records, those of the published tables.

{summary}

{sections}"""
