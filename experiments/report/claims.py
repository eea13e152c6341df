"""The paper's claims one by one, each with the evidence that is published here, and what it amounts to.

Rules make each status from records. A status holds only for the data sets and settings of these records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdmr.experiments.report.audit_runs import AuditRecord
from sdmr.experiments.report.claims_causes import (
    SMALL_GAIN,
    check_attention,
    check_file_order,
    check_hops,
    check_tie_policies,
)
from sdmr.experiments.report.claims_findings import IN_PART, NOT_REPRODUCED, NOT_TESTED, REPRODUCED, UNDECIDED, Claim
from sdmr.experiments.report.claims_models import SEQUENTIAL, check_improvement, check_ranking, check_values
from sdmr.experiments.report.frames import METRICS
from sdmr.experiments.report.writers import markdown_table


def judge_claims(results: Path, plots: Path, records: Sequence[AuditRecord]) -> list[Claim]:
    """Judge every claim by the published records, Figure 5's correlations, and the records of the audit."""
    return [
        Claim("SDP is better than MF-BPR", check_improvement(results, ["sdp"], ["mf-bpr"])),
        Claim("SDP is better than CML", check_improvement(results, ["sdp"], ["cml"])),
        Claim("SDM is better than the neighborhood models", check_improvement(results, ["sdm"], ["item-knn", "slim"])),
        Claim("SDM is better than CMN++ and NeuMF++", check_improvement(results, ["sdm"], ["cmn", "neumf"])),
        Claim("SDMR is better than SDM on NDCG@10", check_improvement(results, ["sdmr"], ["sdm"], METRICS[1:])),
        Claim(
            "SDMR's NDCG@10, on ML-100k .562 at a hit@10 of .695",
            check_tie_policies(records),
            f"{REPRODUCED}, if the expected tie policy comes within .02 of it, or beyond, at any epoch; an artifact, "
            "if of all policies only the optimistic one does",
        ),
        Claim(
            "SDM and SDMR are better than the sequential models",
            check_improvement(results, ["sdm", "sdmr"], SEQUENTIAL),
        ),
        Claim("Item-KNN is last of the general models", check_ranking(results, "item-knn")),
        Claim(
            "Item-KNN's values, on ML-100k .166 / .073",
            check_values(results, "item-knn"),
            f"{REPRODUCED}, if the paper's values are inside our 95 % bootstrap intervals over users",
        ),
        Claim("SLIM's rank among the general models", check_ranking(results, "slim")),
        Claim(
            "More hops help SDM, except on Ta-Feng",
            check_hops(results),
            "signs of a t-test over settings (embedding size and seed), not over users; `?` where the interval holds "
            f"both 0 and a gain of {SMALL_GAIN}; on Ta-Feng the claim is that they do not help",
        ),
        Claim(
            "SDM's attention follows PMI more with more hops",
            check_attention(plots),
            f"{REPRODUCED}, if r grows from hop to hop and the bootstrap intervals of the fewest and the most hops "
            "are apart",
        ),
        Claim(
            "SDM gets .575 / .390 on Epinions",
            check_file_order(records, results),
            f"{REPRODUCED} ({IN_PART}), if both metrics (one) are inside the 95 % intervals of Table 3's SDM, whose "
            "order is random; else an artifact, if a rule that knows only the file's order is above it in the file's "
            "order and below it in a random order",
        ),
    ]


def format_claims(claims: Sequence[Claim]) -> str:
    """Return a summary of the claims, then each with its evidence, in Markdown."""
    summary = markdown_table([{"claim": claim.text, "status": claim.status} for claim in claims])
    details = "\n".join(line for claim in claims for line in claim.list_lines()).rstrip()
    return f"""## The claims

Two models are compared over the same users and candidates, by their means over seeds. The sign after a difference \
says where its 95 % interval lies (paired t-test over users, not corrected for the number of tests):

- `+` above 0, `−` below 0;
- `?` around both 0 and the paper's difference;
- `0` around 0 alone.

Seeds are averaged. Where a trained model has one seed, another seed may turn a small difference.

- *{REPRODUCED}*: `+` throughout;
- *{IN_PART}*: some `+`;
- *{NOT_REPRODUCED}*: no `+`;
- *{UNDECIDED}*: nothing but `?`;
- *{NOT_TESTED}*: no records of the data set or the model.

Differences that the paper prints the other way round are not counted. A claim that is no difference of models names \
its own rule. A status holds for the data set and the settings of its records, those of the published tables.

{summary}

{details}"""
