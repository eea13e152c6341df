"""The layout of published records."""

from pathlib import Path

import pytest

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import store
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.plan import FoundRun
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.store import (
    get_published_folder,
    get_published_settings,
    list_published_folders,
    publish_run,
    publish_settings,
)
from sdmr.experiments.core.tuned import get_tuned_path
from tests.experiments.conftest import run_of
from tests.experiments.report.records import write_random_run

RESULTS = Path(__file__).parents[3] / "results"


def test_seeds_of_a_model_are_in_order_and_its_own(tmp_path: Path) -> None:
    for name in ("sdm-10", "sdm-2", "sdm-released-0", "sdmr-0", "sdm-x"):
        folder = get_published_folder(tmp_path, "table3", "ml-100k", name)
        folder.mkdir(parents=True)
        (folder / "record.json").touch()
    get_published_folder(tmp_path, "table3", "ml-100k", "sdm-3").mkdir()
    folders = list_published_folders(tmp_path, "table3", "ml-100k", "sdm")
    assert [folder.name for folder in folders] == ["sdm-2", "sdm-10"]


def test_published_layout_of_this_repository_has_the_tables_records() -> None:
    assert list_published_folders(RESULTS, "table3", "ml-100k", "sdm")
    assert get_published_settings(RESULTS, "table3", "ml-100k", "sdm") == "tuned"
    assert get_published_settings(RESULTS, "table3", "ml-100k", "nothing") == "default"


@pytest.mark.usefixtures("temporary_cache")
def test_publishing_copies_record_and_ranks_byte_for_byte(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    run = run_of(tmp_path / "runs", "model=popularity", *overrides)
    execute(run)
    publish_run(run, tmp_path / "published")
    for name in ("record.json", "ranks.npz"):
        assert (tmp_path / "published" / name).read_bytes() == (run.folder / name).read_bytes()


@pytest.mark.usefixtures("temporary_cache")
def test_a_record_never_stands_beside_the_ranks_of_another_run(
    tmp_path: Path, overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (run_of(tmp_path / "runs", "model=popularity", *overrides, f"split_seed={n}") for n in range(2))
    for run in (first, second):
        execute(run)
    publish_run(first, tmp_path / "published")

    def stop(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        raise KeyboardInterrupt  # after the first file

    monkeypatch.setattr(store, "write_atomic", stop)
    with pytest.raises(KeyboardInterrupt):
        publish_run(second, tmp_path / "published")
    assert not (tmp_path / "published" / "record.json").exists()


def test_a_run_that_is_published_into_its_own_folder_stays(tmp_path: Path) -> None:
    folder = write_random_run(tmp_path, "sdm", 0)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    publish_run(FoundRun(folder), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_a_lost_run_takes_no_published_record_with_it(tmp_path: Path) -> None:
    run, published = write_random_run(tmp_path, "sdm", 0), tmp_path / "published"
    publish_run(FoundRun(run), published)
    (run / "record.json").unlink()
    with pytest.raises(FileNotFoundError):
        publish_run(FoundRun(run), published)
    assert (published / "record.json").exists()


def test_published_settings_replace_those_of_before(tmp_path: Path) -> None:
    publish_settings(tmp_path, "table3", "ml-100k", "sdm", "tuned")
    path = get_published_folder(tmp_path, "table3", "ml-100k", "sdm.yaml")
    assert path.read_bytes() == get_tuned_path("ml-100k", "sdm").read_bytes()
    publish_settings(tmp_path, "table3", "ml-100k", "sdm", "default")
    assert not path.exists()


def test_published_settings_of_an_earlier_version_are_removed(tmp_path: Path) -> None:
    old = get_published_folder(tmp_path, "table3", "ml-100k", "sdm-chosen.txt")
    old.parent.mkdir(parents=True)
    old.touch()
    publish_settings(tmp_path, "table3", "ml-100k", "sdm", "default")
    assert not old.exists()


def test_a_run_without_ranks_does_not_stand_beside_those_of_another(tmp_path: Path) -> None:
    runs = [write_random_run(tmp_path / name, "sdm", seed) for seed, name in enumerate("ab")]
    (runs[1] / "ranks.npz").unlink()
    for run in runs:
        publish_run(FoundRun(run), tmp_path / "published")
    assert load_record(tmp_path / "published" / "record.json") == load_record(runs[1] / "record.json")
    assert not (tmp_path / "published" / "ranks.npz").exists()
