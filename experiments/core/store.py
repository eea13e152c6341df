"""Published records: results/records/EXPERIMENT/DATASET/NAME/{record.json, ranks.npz}.

NAME is the model and the seed, such as `sdm-0`, with what an experiment varies in front. The tuned settings of a
model are beside its records, in `MODEL.yaml` (of schema 1: in `MODEL-chosen.txt`).
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.core.run import Run
from sdmr.experiments.core.run_files import RANKS, RECORD
from sdmr.experiments.core.tuned import get_tuned_path


def get_published_folder(results: Path, experiment: str, dataset: str, name: str = "") -> Path:
    """Return the folder of a published record, or of a data set's records."""
    return results / "records" / experiment / dataset / name


def list_published_folders(results: Path, experiment: str, dataset: str, model: str) -> list[Path]:
    """Return the folders of a model's published records, by seed."""
    parent = get_published_folder(results, experiment, dataset)
    pattern = re.compile(rf"{re.escape(model)}-(\d+)")
    matches = [pattern.fullmatch(path.name) for path in parent.glob(f"{model}-*") if (path / RECORD).exists()]
    return [parent / match.string for match in sorted(filter(None, matches), key=lambda match: int(match[1]))]


def get_published_settings(results: Path, experiment: str, dataset: str, model: str) -> str:
    """Return the settings of a model's published records: default or tuned."""
    files = _list_settings_files(results, experiment, dataset, model)
    return "tuned" if any(path.exists() for path in files) else "default"


def _list_settings_files(results: Path, experiment: str, dataset: str, model: str) -> tuple[Path, Path]:
    """Return the files of published tuned settings: today's, and that of an earlier version."""
    parent = get_published_folder(results, experiment, dataset)
    return parent / f"{model}.yaml", parent / f"{model}-chosen.txt"


def read_published_tuning(results: Path, experiment: str, dataset: str, model: str) -> dict[str, Any]:
    """Return how the settings of published records came about, as far as it is known."""
    return read_tuning_beside(get_published_folder(results, experiment, dataset, f"{model}-0"))


def read_tuning_beside(folder: Path) -> dict[str, Any]:
    """Return how the settings of a published record came about."""
    path = folder.parent / f"{folder.name.rpartition('-')[0]}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    return (content or {}).get("tuning") or {}


def lock_results(results: Path) -> FileLock:
    """Return the lock that a command holds while it publishes. Two at once would leave tables without rows of one."""
    results.mkdir(parents=True, exist_ok=True)
    return FileLock(results / ".publish.lock")


def publish_run(run: Run | FoundRun, folder: Path) -> None:
    """Copy a finished run's record, and its ranks, into a published folder."""
    if folder.resolve() == run.folder.resolve():
        return
    record = (run.folder / RECORD).read_bytes()
    ranks = (run.folder / RANKS).read_bytes() if (run.folder / RANKS).exists() else None
    for name in (RECORD, RANKS):
        (folder / name).unlink(missing_ok=True)  # so that no record stands beside the ranks of another run
    if ranks is not None:
        write_atomic(folder / RANKS, ranks)
    write_atomic(folder / RECORD, record)


def remove_runs(results: Path, experiment: str, dataset: str, model: str) -> None:
    """Remove a model's published records and settings."""
    for folder in list_published_folders(results, experiment, dataset, model):
        shutil.rmtree(folder)
    for path in _list_settings_files(results, experiment, dataset, model):
        path.unlink(missing_ok=True)


def publish_settings(results: Path, experiment: str, dataset: str, model: str, settings: str) -> None:
    """Put a model's tuned settings beside its published records; remove earlier ones."""
    path, old = _list_settings_files(results, experiment, dataset, model)
    if settings == "tuned":
        write_atomic(path, get_tuned_path(dataset, model).read_bytes())
    else:
        path.unlink(missing_ok=True)
    old.unlink(missing_ok=True)
