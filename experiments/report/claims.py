"""The paper's claims one by one, each with the published evidence and an answer.

Rules make each answer from records. An answer holds only for the data sets and settings of these records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sdmr.experiments.report import claims_evidence as evidence
from sdmr.experiments.report.audit_runs import Records
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.claims_answers import Direction, Finding
from sdmr.experiments.report.claims_differences import GENERAL, check_improvement, check_ranking
from sdmr.experiments.report.claims_hops import SMALL_GAIN, check_hops
from sdmr.experiments.report.factors import ALL_RELEASED, ORDERS
from sdmr.experiments.report.printed import DATASETS, METRICS, TABLES
from sdmr.experiments.report.ranked_rows import read_seed_spreads
from sdmr.experiments.report.uncertainty import Size
from sdmr.experiments.report.writers import NOTHING, make_markdown

CLAIMED_FACTORS = (ALL_RELEASED.name, *(order.name for order in ORDERS))  # of the audit, whose records claims read
SDMR_VALUES = "SDMR's printed values, by the authors' code"
SEQUENTIAL = ("prme", "prme-s", "transrec", "caser")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper, with the findings on it."""

    text: str
    findings: Sequence[Finding]
    rule: str = ""  # how its answers follow, if not from differences of models

    @property
    def answers(self) -> dict[str, str]:
        """Return the answer on each data set that was tested."""
        return {
            one.dataset: f"{one.answer}{one.note}" for one in self.findings if one.direction != Direction.NOT_TESTED
        }

    def format_section(self) -> str:
        """Return the claim with its evidence in Markdown."""
        lines = [f"### {self.text}", "", *([f"Rule: {self.rule}.", ""] if self.rule else [])]
        for one in self.findings:
            if one.evidence:
                lines += [f"- **{one.dataset}: {one.answer}{one.note}**", *(f"  - {line}" for line in one.evidence)]
        untested = ", ".join(one.dataset for one in self.findings if not one.evidence)
        return "\n".join([*lines, *([f"- **{untested}: {Direction.NOT_TESTED}**"] if untested else [])])


def judge_claims(results: Path, plots: Path, records: Records) -> list[Claim]:
    """Judge every claim by published records, Figure 5's correlations and the audit's records."""
    spreads = read_seed_spreads(results, [*METRICS, *(metric + ALL for metric in METRICS)])

    def is_better(models: Sequence[str], others: Sequence[str], metrics: Sequence[str] = METRICS) -> list[Finding]:
        return check_improvement(results, spreads, models, others, metrics)

    return [
        Claim("SDP is better than MF-BPR", is_better(["sdp"], ["mf-bpr"])),
        Claim("SDP is better than CML", is_better(["sdp"], ["cml"])),
        Claim("SDM is better than Item-KNN and SLIM", is_better(["sdm"], ["item-knn", "slim"])),
        Claim("SDM is better than CMN++ and NeuMF++", is_better(["sdm"], ["cmn", "neumf"])),
        Claim("SDM is better than MF-BPR and CML", is_better(["sdm"], ["mf-bpr", "cml"])),
        Claim("SDMR is better than Item-KNN, SLIM, MF-BPR, CML, NeuMF++ and CMN++", is_better(["sdmr"], GENERAL)),
        Claim("SDMR is better than SDM on NDCG@10", is_better(["sdmr"], ["sdm"], ["NDCG@10"])),
        Claim(
            SDMR_VALUES,
            evidence.check_tie_policies(records),
            f"the tie policies that reach the printed NDCG@10 (come within {evidence.TOLERANCE} of it, or beyond) in "
            f"any epoch; those that reach the printed pair (come within {evidence.TOLERANCE} of both in one epoch)",
        ),
        Claim("SDM and SDMR are better than PRME, PRME_s, TransRec and Caser", is_better(["sdm", "sdmr"], SEQUENTIAL)),
        Claim("Item-KNN is last of the general models", check_ranking(results, spreads, "item-knn", DATASETS[3])),
        Claim(
            "Item-KNN's values, on ML-100k .166 / .073",
            evidence.check_values(results, spreads, "item-knn"),
            "the size of each metric",
        ),
        Claim("SLIM ranks among the general models as printed", check_ranking(results, spreads, "slim", DATASETS[3])),
        Claim(
            "More hops help SDM; on Ta-Feng they do not",
            check_hops(results, spreads),
            "hit@10, which the paper's figure shows: the mean gain over embedding sizes, tested over users and seeds, "
            "with Holm's correction over data sets; on Ta-Feng the claim is that they do not help: yes, if the "
            f"interval excludes a gain of {SMALL_GAIN}",
        ),
        Claim(
            "SDM's attention follows PMI more with more hops",
            evidence.check_attention(plots),
            "yes, if r grows from hop to hop and the bootstrap intervals of one and four hops are apart; in part, if "
            "only the latter; opposite, if they are apart the other way round",
        ),
        Claim(
            "SDM gets .575 / .390 on Epinions",
            evidence.check_id_order(records, results, spreads),
            "the size of each metric in the order of ids, where the authors' test item is nearly always the last; "
            "Table 3 draws it at random, as the paper's text says",
        ),
    ]


def tabulate_claims(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return the answer to each claim on each data set, and how sure it is."""
    rows = [
        (claim.text, one.dataset, one.direction or "", one.answer, one.sure, one.note, one.counts, one.counts_all)
        for claim in claims
        for one in claim.findings
    ]
    columns = ["claim", "dataset", "direction", "answer", "sure", "note", "counts", "counts_all"]
    return pd.DataFrame(rows, columns=columns)


def format_claims(claims: Sequence[Claim]) -> str:
    """Return a summary of the claims, then each with its evidence, in Markdown."""
    tested = [dataset for dataset in TABLES if any(dataset in claim.answers for claim in claims)]
    rows = [
        {"claim": claim.text} | {dataset: claim.answers.get(dataset, NOTHING) for dataset in tested} for claim in claims
    ]
    sections = "\n\n".join(claim.format_section() for claim in claims)
    return f"""## The claims

Each claim gets two answers. *Direction*: is the difference there? *Size*: is it as large as printed? Two models are \
compared over the same users and candidates, by a test that counts users and seeds. The sign after a difference is \
`+` or `−` if p < .05 after Holm's correction over all differences of the claim, those of substitutes apart, and else \
`?`. The intervals in brackets are not corrected.

- *{Direction.YES}*: `+` throughout;
- *{Direction.PARTLY}*: some `+`, no `−`;
- *{Direction.MIXED}*: some `+`, some `−`;
- *{Direction.OPPOSITE}*: no `+`, some `−`;
- *{Direction.NOT_SHOWN}*: nothing but `?`.

The size follows from the sign, and from the 95 % interval for one new run of each model, with other users, seed and \
candidates:

- *{Size.AS_PRINTED}*: `+`, and the interval holds the printed value;
- *{Size.SMALLER}*, *{Size.LARGER}*: `+`, and ours is smaller (larger), since the interval does not hold it;
- *{Size.OPPOSITE}*: `−`;
- *{Size.ABSENT}*: `?`, and the interval does not hold the printed value;
- *{Size.UNDECIDED}*: `?`, and the interval holds it.

Differences that the paper prints the other way round are not counted. The same differences among all items are tested \
apart, if every row of the claim on a data set has such ranks. A claim that is no difference of models names its own \
rule. A trained model with one seed borrows the largest spread of its seeds on another data set or, without one, that \
of any model. An answer holds for the data set and the settings of its records, those of the published tables; \
{NOTHING} stands for no records.

{make_markdown(rows)}

{sections}"""
