"""Tell which published records the checkout's code would make, and how large they are."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.record import Record, load_record
from sdmr.experiments.core.run import compute_source
from sdmr.experiments.core.run_files import RECORD

MEGABYTE = 10**6


def describe_sources(results: Path) -> Iterator[str]:
    """Yield how many published records of each experiment the checkout's code would make."""
    for experiment in sorted((results / "records").glob("*")):
        if paths := sorted(experiment.rglob(RECORD)):
            same = sum(is_current(load_record(path)) for path in paths)
            yield f"{experiment}: {same} of {len(paths)} records are as this checkout's code would make them"


def is_current(record: Record) -> bool:
    """Tell whether the code that made a record is that of the checkout. Scores made elsewhere have none."""
    if not {"model", "dataset"} <= record.config.keys():
        return False
    try:
        return record.source == compute_source(record.config)
    except (UsageError, DataError):  # a class or a reader that there is no more
        return False


def describe_sizes(results: Path) -> Iterator[str]:
    """Yield the size of the published records, and that of the searches, by file type."""
    for folder in ("records", "sweeps"):
        sizes: Counter[str] = Counter()
        for path in (path for path in (results / folder).rglob("*") if path.is_file()):
            sizes[path.suffix] += path.stat().st_size
        types = ", ".join(f"{suffix} {size / MEGABYTE:.1f}" for suffix, size in sizes.most_common())
        yield f"{results / folder}: {sizes.total() / MEGABYTE:.1f} MB{f' ({types})' if types else ''}"
