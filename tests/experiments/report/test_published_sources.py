"""Which published records the checkout's code would make, and their size."""

from pathlib import Path

from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.run import compute_source
from sdmr.experiments.report.published_sources import describe_sizes, describe_sources
from tests.experiments.report.published import publish_model
from tests.experiments.report.records import change_record


def test_records_of_this_code_are_counted(tmp_path: Path) -> None:
    folder, config = tmp_path / "records" / "table3" / "ml-100k", compose_config(["model=popularity"]).settings
    for name, changes in {
        "popularity": {"config": config, "source": compute_source(config)},
        "sdp": {"config": config, "source": "older"},
        "sdm": {"config": config | {"model": {"_target_": "sdmr.models.replaced.SDM"}}},
        "elsewhere": {"config": {"scores": "scores.parquet"}},
    }.items():
        publish_model(folder, name, 0.5, seeds=1)
        change_record(folder / f"{name}-0", **changes)
    (count,) = describe_sources(tmp_path)
    assert count == f"{tmp_path}/records/table3: 1 of 4 records are as this checkout's code would make them"


def test_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "records" / "table3").mkdir(parents=True)
    (tmp_path / "records" / "table3" / "ranks.npz").write_bytes(bytes(1_500_000))
    assert list(describe_sizes(tmp_path)) == [
        f"{tmp_path}/records: 1.5 MB (.npz 1.5)",
        f"{tmp_path}/sweeps: 0.0 MB",
    ]
