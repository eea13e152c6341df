"""Compare the paper's models, and a user's own, with the baselines that are best on validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.report.frames import GROUPS, METRICS, Cell, per_user, read_groups, select_best_on_validation
from sdmr.experiments.report.stats import PairedTest, holm, paired_test
from sdmr.experiments.report.writers import format_difference, format_p_value
from sdmr.harness.metrics import TiePolicy

COMPARED_METRIC = "NDCG@10"
PAPER_MODELS = ("sdp", "sdm", "sdmr")
Folders = Mapping[str, Sequence[Path]]  # the run folders of each model's seeds, by its name on the command line


@dataclass(frozen=True)
class Comparison:
    """One of the paper's models against the baseline of a group that is best on validation: NDCG@10 on test."""

    dataset: str
    model: str  # as the paper prints it
    group: str
    baseline: str
    test: PairedTest  # over users
    corrected: float  # the p value by Holm's method, over all comparisons on the data set

    @property
    def mark(self) -> str:
        """g+ or g− (general), s+ or s− (sequential): significantly above or below that baseline; else nothing."""
        return f"{self.group[0]}{'+' if self.test.difference > 0 else '−'}" if self.corrected < 0.05 else ""


@dataclass(frozen=True)
class Gain:
    """What a model gains over the best baseline of a group, in percent: in the paper, and here."""

    dataset: str
    metric: str
    model: str  # as the paper prints it
    group: str
    paper: float | None
    ours: float | None

    @property
    def label(self) -> str:
        return f"{self.model} over the best {self.group} baseline"


def compare_paper_models(dataset: str, folders: Folders, tie_policy: TiePolicy = "expected") -> list[Comparison]:
    """Compare SDP, SDM and SDMR with the best baseline of each group."""
    groups, pairs = read_groups(3), []
    for model, group in product(PAPER_MODELS, GROUPS):
        baselines = {name: paths for name, paths in folders.items() if paths and groups.get(_print_name(name)) == group}
        if folders.get(model) and baselines:
            pairs.append((model, group, select_best_on_validation(baselines)))
    tests = [compare_models(folders, model, baseline, COMPARED_METRIC, tie_policy) for model, _, baseline in pairs]
    return [
        Comparison(dataset, _print_name(model), group, _print_name(baseline), test, corrected)
        for (model, group, baseline), test, corrected in zip(pairs, tests, holm([t.p for t in tests]), strict=True)
    ]


def compare_models(folders: Folders, model: str, other: str, metric: str, tie_policy: TiePolicy) -> PairedTest:
    """Test a model against another over the same users."""
    return paired_test(per_user(folders[model], metric, tie_policy), per_user(folders[other], metric, tie_policy))


def describe_comparisons(dataset: str, folders: Folders, tie_policy: TiePolicy) -> Iterator[str]:
    """Yield a line for each comparison: of the paper's models, then of each user's class with the best baseline."""
    for one in compare_paper_models(dataset, folders, tie_policy):
        yield (
            f"{dataset}, {one.model} − {one.baseline}, the best {one.group} baseline by validation: {COMPARED_METRIC} "
            f"{format_difference(one.test)}, p {format_p_value(one.corrected, '= ')} (paired t-test over users, Holm)"
        )
    baselines = {
        m: paths for m, paths in folders.items() if paths and get_model(m).target.startswith("sdmr.baselines.")
    }
    for model in (model for model, paths in folders.items() if paths and baselines and model not in MODELS):
        best = select_best_on_validation(baselines)
        tests = {metric: compare_models(folders, model, best, metric, tie_policy) for metric in METRICS}
        texts = [f"{metric} {format_difference(t)}, p {format_p_value(t.p, '= ')}" for metric, t in tests.items()]
        yield (
            f"{dataset}, {_print_name(model)} − {_print_name(best)}, the best baseline by validation: "
            f"{'; '.join(texts)} (paired t-test over users)"
        )


def mark_cells(cells: Sequence[Cell], comparisons: Sequence[Comparison]) -> list[Cell]:
    """Return the cells with the marks of their comparisons."""
    marks: dict[tuple[str, str, str], str] = {}
    for one in comparisons:
        key = one.dataset, one.model, COMPARED_METRIC
        marks[key] = f"{marks.get(key, '')} {one.mark}".strip()
    return [replace(cell, marks=marks.get((cell.dataset, cell.model, cell.metric), "")) for cell in cells]


def compute_gains(table: int, cells: Sequence[Cell]) -> list[Gain]:
    """Return the paper's last rows: what SDM and SDMR gain over the best baseline of each group."""
    groups, gains = read_groups(table), []
    for dataset, metric in dict.fromkeys((cell.dataset, cell.metric) for cell in cells):
        block = [cell for cell in cells if (cell.dataset, cell.metric) == (dataset, metric)]
        for group, model in product(GROUPS, ("SDM", "SDMR")):
            baselines = [cell for cell in block if groups.get(cell.model) == group]
            for cell in (cell for cell in block if cell.model == model and baselines):
                paper = _compute_gain(cell.paper, [baseline.paper for baseline in baselines])
                ours = _compute_gain(cell.ours, [baseline.ours for baseline in baselines])
                gains.append(Gain(dataset, metric, model, group, paper, ours))
    return gains


def _compute_gain(value: float | None, others: Sequence[float | None]) -> float | None:
    known = [other for other in others if other is not None]
    return None if value is None or not known else 100 * (value / max(known) - 1)


def _print_name(model: str) -> str:
    return get_model(model).name
