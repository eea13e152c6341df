"""What test items measure: leakage over time, ties, sessions, repeats, and order."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from sdmr.datasets.files import write_atomic
from sdmr.datasets.interactions import IntArray, Interactions
from sdmr.datasets.readers import bind_reader
from sdmr.datasets.task import Instances, Task
from sdmr.datasets.time_split import has_common_clock
from sdmr.experiments.core.record import Record, translate_task
from sdmr.experiments.core.run import check_task_overrides, compose_run, load_task
from sdmr.experiments.report.gaps import find_rows, measure_test_gaps
from sdmr.experiments.report.writers import NOTHING, make_markdown, write_csv

REACH = 5  # positions between the two items of a transition, at most
SESSION = 60  # seconds since the interaction before, at most
SHUFFLES = 3  # of the histories, whose mean the real one is compared with
MAX_INTERACTIONS = 2_000_000  # more of them take minutes to look at
FACTS = "datasets.csv"  # in the results, with the published facts
Facts = Mapping[str, float | None]  # None: unknown

# The shares of `describe_dataset`, and what they are shares of.
SHARES = {
    "later_training": "of the training interactions are later than a test item, the mean over test items",
    "equal_times": "of the test items have the same time as another interaction of their user",
    "sessions": "of the test items come within 60 s of their user's interaction before",
    "repeated_targets": "of the test items are training items of their user, too",
    "users_left_out": "of the users are filtered out, or have no test item",
}
DUPLICATES = "rows repeat an item of their user (with baskets: of the same basket), and are dropped"
COLD = "test items are no training item of anyone: misses"


def describe_dataset(task: Task, data: Interactions | Task) -> dict[str, float | None]:
    """Describe what the test items of a task measure.

    Args:
        task: The task.
        data: What the task was made from, which has the times. Without comparable times, or with baskets, what needs
            them is None.

    Returns:
        The numbers of users, items, interactions and test items; the shares of `SHARES`; the numbers of dropped
        duplicates and of cold targets; and `order_effect`: how many times as often transitions recur as in shuffled
        histories.
    """
    training, test, report = task.training, task.test, task.report
    n_rows = len(training.instances) + len(training.validation) + len(test)
    n_left_out = training.n_users - len(np.unique(test.users)) + report.get("users_left_out", 0)
    n_duplicates = sum(report.get(name, 0) for name in ("duplicate_rows", "repeated_training_rows"))
    is_repeated = np.asarray(training.matrix[test.users, test.targets]).ravel() > 0
    facts: dict[str, float | None] = {
        "users": training.n_users,
        "items": training.n_items,
        "interactions": n_rows,
        "test_items": len(test),
        **dict.fromkeys(("later_training", "equal_times", "sessions")),
        "repeated_targets": float(is_repeated.mean()),
        "users_left_out": n_left_out / (training.n_users + report.get("users_left_out", 0)),
        "duplicates": n_duplicates,
        "cold_targets": report.get("cold_test_targets", 0),
        "order_effect": measure_order(training.instances),
    }
    return facts | (describe_times(task, data) if isinstance(data, Interactions) and has_common_clock(data) else {})


def describe_times(task: Task, data: Interactions) -> dict[str, float | None]:
    """Return what times tell of the test items."""
    assert data.times is not None
    order = np.lexsort((data.times, data.users))
    users, times = data.users[order], data.times[order]
    is_same = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    is_tied = np.append(False, is_same) | np.append(is_same, False)
    test_rows, training_rows = (find_rows(task, side, data, order) for side in (task.test, task.training.instances))
    n_before = np.searchsorted(np.sort(times[training_rows]), times[test_rows], side="right")
    gaps = measure_test_gaps(task, data)
    return {
        "later_training": float(1 - n_before.mean() / len(training_rows)),
        "equal_times": float(is_tied[test_rows].mean()),
        "sessions": None if gaps is None else float((gaps <= SESSION).mean()),
    }


def measure_order(instances: Instances) -> float | None:
    """Return how many times as often transitions recur as in shuffled histories.

    None stands for no recurring transition there. A transition is an ordered pair of items, the second one at most
    `REACH` positions after the first. Shuffling leaves each user's items as they are. So 1 means that the order of the
    items does not matter.
    """
    rng, sequences, items = np.random.default_rng(0), instances.contexts.start, instances.targets
    orders = (np.lexsort((rng.random(len(items)), sequences)) for _ in range(SHUFFLES))
    shuffled = float(np.mean([count_recurring(sequences, items[order]) for order in orders]))
    return count_recurring(sequences, items) / shuffled if shuffled else None


def count_recurring(sequences: IntArray, items: IntArray) -> int:
    """Count the pairs of equal transitions, for items sequence after sequence."""
    keys = []
    for distance in range(1, REACH + 1):
        is_same = sequences[distance:] == sequences[:-distance]
        keys.append((items[:-distance] * (items.max(initial=0) + 1) + items[distance:])[is_same])
    counts = np.unique(np.concatenate(keys), return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def check_dataset(dataset: str, overrides: Sequence[str], results: Path | None = None) -> list[str]:
    """Return what the test items measure, and write it into the results, if any."""
    check_task_overrides([override for override in overrides if not override.startswith("protocol.retrain=")])
    run = compose_run(["model=popularity", f"dataset={dataset}", *overrides])
    facts = describe_dataset(run.load_task(), bind_reader(run.config["dataset"])())
    if results is None:
        return format_facts(facts)
    results.mkdir(parents=True, exist_ok=True)
    with FileLock(results / f".{FACTS}.lock"):  # two commands at once would lose the row of one
        publish_facts(results / FACTS, dataset, overrides, run.data, facts)
    return [*format_facts(facts), f"written to {results / FACTS}"]


def publish_facts(path: Path, dataset: str, overrides: Sequence[str], data: str, facts: Facts) -> None:
    """Write facts into the published ones, as CSV and Markdown.

    They replace earlier ones of the same settings. Tables find them by `data`, the fingerprint of the task.
    """
    key = {"dataset": dataset, "settings": " ".join(overrides)}
    texts = _format_values(facts)
    before = read_facts(path)
    is_same = (before[list(key)] == pd.Series(key)).all(axis=1)
    frame = pd.concat([before[~is_same], pd.DataFrame([key | {"data": data} | texts])])
    frame = frame.sort_values(list(key), ignore_index=True)
    shares = {name: frame[name].map(_format_percent) for name in SHARES}
    shown = frame.assign(**shares).drop(columns="data").rename(columns=lambda name: name.replace("_", " "))
    meanings = "\n".join(f"- {name.replace('_', ' ')}: % {meaning};" for name, meaning in SHARES.items())
    text = f"""# What the test items measure

{make_markdown(shown)}

{meanings}
- duplicates: rows that repeat an item of their user (with baskets: of the same basket), and are dropped;
- cold targets: test items that are no training item of anyone;
- order effect: how many times as often transitions recur as in shuffled histories. 1 means that their order does not \
matter.

An empty cell is unknown, such as that of a data set without times. `sdmr check dataset=NAME publish=true` writes a row.
"""
    write_csv(path, frame)
    write_atomic(path.with_suffix(".md"), text.encode())


def read_facts(path: Path) -> pd.DataFrame:
    """Return the published facts as text."""
    if not path.exists():
        return pd.DataFrame(columns=["dataset", "settings", "data"], dtype=str)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def describe_test_items(results: Path, records: Iterable[Record]) -> list[str]:
    """Return a line on what the records' test items measure, if it is published."""
    keys = {translate_task(record.data) for record in records}
    facts = read_facts(results / FACTS)
    rows = facts[facts["data"].map(translate_task).isin(keys)].to_dict("records")
    return [_describe_facts(row) for row in rows]


def describe_task(record: Record) -> list[str]:
    """Return a line on what the test items of a record measure.

    There is none for more than `MAX_INTERACTIONS`.
    """
    task = load_task(record.config)[0]
    if len(task.training.instances) > MAX_INTERACTIONS:
        return []
    facts = describe_dataset(task, bind_reader(record.config["dataset"])())
    return [_describe_facts({"dataset": record.dataset, **_format_values(facts)})]


def _format_values(facts: Facts) -> dict[str, str]:
    return {name: "" if value is None else f"{value:.4f}".removesuffix(".0000") for name, value in facts.items()}


def _describe_facts(row: Mapping[Any, str]) -> str:
    """Return published facts in a sentence. Cold targets count as misses, so the others have higher metrics."""
    parts = [f"{_format_percent(row[name])} {meaning}" for name, meaning in SHARES.items() if row[name]]
    parts.append(f"{int(row['duplicates']):,} {DUPLICATES}")
    if row["order_effect"]:
        parts.append(f"transitions recur {float(row['order_effect']):.2f} times as often as in shuffled histories")
    text, n, cold = "; ".join(parts), int(row["test_items"]), int(row["cold_targets"] or 0)
    if cold:
        text += (
            f"; {cold:,} are cold (no training item of anyone), and so misses in every row, behind all items in a mean "
            "rank"
        )
    if 0 < cold < n:
        text += f": hit and NDCG of the other {n - cold:,} are {n / (n - cold):.3f} times those shown"
    return f"The {n:,} test items of {row['dataset']}: {text}."


def _format_percent(value: str) -> str:
    return f"{float(value):.1%}" if value else ""


def format_facts(facts: Facts) -> list[str]:
    """Return a line for each fact."""
    counts = ", ".join(f"{facts[name]:,} {name.replace('_', ' ')}" for name in list(facts)[:4])
    lines = [f"{_format(facts[name], '{:.1%}')}  {meaning}" for name, meaning in SHARES.items()]
    lines.append(f"{_format(facts['duplicates'], '{:,}')}  {DUPLICATES}")
    if facts["cold_targets"]:
        lines.append(f"{_format(facts['cold_targets'], '{:,}')}  {COLD}")
    order = _format(facts["order_effect"], "{:.2f}")
    lines.append(
        f"{order}  times as many transitions within {REACH} positions recur as in shuffled histories "
        "(1: the order of items does not matter)"
    )
    if facts["later_training"] is None:
        lines.append(f"{NOTHING}: unknown, since the data have baskets, or no times that can be compared between users")
    elif facts["sessions"] is None:
        lines.append(f"{NOTHING}: unknown, since the unit of the times is unknown")
    return [counts, *lines]


def _format(value: float | None, template: str) -> str:
    return f"{NOTHING if value is None else template.format(value):>7}"
