"""The metrics of compared rows, and their differences from the first one, also on parts."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.record import translate_task
from sdmr.experiments.core.run import Run, load_task
from sdmr.experiments.report.averages import ALL
from sdmr.experiments.report.compared_rows import ComparedRow, have_same_candidates
from sdmr.experiments.report.comparisons import Comparison, compare_rows
from sdmr.experiments.report.places import is_lower_better
from sdmr.experiments.report.ranked_rows import Row
from sdmr.experiments.report.row_values import Values, load_values
from sdmr.experiments.report.strata import label_instances
from sdmr.experiments.report.uncertainty import SeedPart, correct_by_holm, estimate_mean

STRATA = {"gap": "time gap", "popularity": "popularity", "history": "history"}  # option -> stratum
MIN_INSTANCES = 10  # fewer say nothing
KEY = ["stratum", "range", "instances"]
Strata = Mapping[str, pd.Series]  # the part of each test instance, by stratum


class Results(NamedTuple):
    """The rows of `metrics` have a mean each, those of `differences` the fields of `Comparison`."""

    metrics: pd.DataFrame
    differences: pd.DataFrame


def label_strata(row: ComparedRow, names: Sequence[str]) -> dict[str, pd.Series]:
    """Return the parts of the test instances, by strata that `STRATA` has.

    Raises UsageError for a stratum that the data do not have, DataError for data that have changed since.
    """
    record, folder = row.records[0], row.folders[0]
    data = load_task(record.config)[1]
    if translate_task(data) != translate_task(record.data):
        raise DataError(f"{folder}: the data have changed since this run was made; leave out by=...")
    run = Run(record.config, data, record.source, record.dataset, folder)
    strata = label_instances(run)
    for name in names:
        if STRATA[name] not in strata:
            raise UsageError(
                f"by={name}: needs histories whose times are dates or epoch times; "
                f"{record.dataset} has {', '.join(key for key in STRATA if STRATA[key] in strata)}"
            )
    return {STRATA[name]: strata[STRATA[name]] for name in names}


def compare_with_first(
    rows: Sequence[ComparedRow], metrics: Sequence[str], spreads: pd.DataFrame, strata: Strata
) -> Results:
    """Return metrics, and the differences of the first row and each other one.

    Both have a stratum and a range, which are empty for all instances. Of metrics among all items, two rows are
    compared on the instances that both have ranked, if they ranked these among as many items. Of the other metrics,
    they are compared if they have the same candidates. What has fewer than `MIN_INSTANCES` is left out. `corrected` is
    the p value by Holm's method, over all differences of a stratum. `borrowed` tells whether the seed part of an
    interval is that of other runs.

    Args:
        rows: Of the same test instances.
        metrics: Those among all items, of rows that have none, are left out.
        spreads: The s² that a row with one seed borrows from.
        strata: The parts of the instances.
    """
    loaded = {(row.name, metric): load_values(row, metric, spreads) for row in rows for metric in metrics}
    is_fair = {row.name: have_same_candidates(rows[0], row) for row in rows}
    means, tests = [], []
    for (stratum, part, numbers), row, metric in product(_list_parts(strata), rows, metrics):
        first, values = loaded[rows[0].name, metric], loaded[row.name, metric]
        if values is not None and (n := len(index := _find(values, numbers))) >= MIN_INSTANCES:
            means.append((stratum, part, n, metric, row.name, *_describe_mean(_take(values, index))))
        is_compared = row is not rows[0] and (metric.endswith(ALL) or is_fair[row.name])
        if is_compared and first is not None and values is not None:
            n, test = compare_values(first, values, numbers)
            if test:
                test = test._replace(wins=test.losses, losses=test.wins) if is_lower_better(metric) else test
                tests.append((stratum, part, n, metric, rows[0].name, row.name, *test))
    frame = pd.DataFrame(tests, columns=[*KEY, "metric", "model", "baseline", *Comparison._fields])
    corrected = frame.groupby("stratum", sort=False)["p"].transform(lambda p: correct_by_holm(p.tolist()))
    columns = [*KEY, "metric", "model", "mean", "spread", "low", "high", "seeds", "borrowed"]
    return Results(pd.DataFrame(means, columns=columns), frame.assign(corrected=corrected))


def compare_values(first: Values, other: Values, numbers: IntArray | None = None) -> tuple[int, Comparison | None]:
    """Compare two rows on instances that both have ranked, all or a part.

    Returns the number of these instances, and the comparison. It is None of fewer than `MIN_INSTANCES`, and where the
    rows ranked an instance among different numbers of items.
    """
    common = np.intersect1d(first.instances, other.instances[_find(other, numbers)])
    pairs = [(one, _find(one, common)) for one in (first, other)]
    counts = [one.others[index] for one, index in pairs if one.others is not None]
    if len(common) < MIN_INSTANCES or any(not np.array_equal(counts[0], one) for one in counts[1:]):
        return len(common), None
    return len(common), compare_rows(*(_take(one, index) for one, index in pairs))


def _list_parts(strata: Strata) -> Iterator[tuple[str, str, IntArray | None]]:
    """Yield stratum, range and instances of each part; first all instances, without names."""
    yield "", "", None
    for stratum, labels in strata.items():
        for part in labels.cat.categories:
            yield stratum, str(part), np.flatnonzero(labels == part)


def _find(values: Values, numbers: IntArray | None) -> IntArray:
    """Return where the instances with these numbers are."""
    return (
        np.flatnonzero(np.isin(values.instances, numbers)) if numbers is not None else np.arange(len(values.instances))
    )


def _take(values: Values, index: IntArray) -> Row:
    """Return a row of some of its instances.

    The s² of several seeds is that of their means over these instances. A borrowed one grows as instances become fewer,
    as that of independent instances does.
    """
    row, share = values.row, len(index) / len(values.instances)
    if share == 1:
        return row
    part = row.values[:, index]

    def restrict(seed: SeedPart) -> SeedPart:
        variance = float(part.mean(axis=1).var(ddof=1)) if seed.seeds > 1 else seed.variance / share
        return seed._replace(variance=variance)

    return Row(row.users[index], part, tuple(map(restrict, row.seeds)))


def _describe_mean(row: Row) -> tuple[float, float, float, float, int, bool]:
    """Return mean, spread, interval, number of seeds, and whether the seed part is borrowed."""
    estimate = estimate_mean(*row)
    spread = float(row.values.mean(axis=1).std(ddof=1)) if len(row.values) > 1 else np.nan
    return estimate.value, spread, *estimate.interval(), len(row.values), any(s.seeds == 1 for s in row.seeds)
