"""The record of a run: one typed, versioned schema, checked when it is read. `docs/reproducing` documents it."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdmr.datasets.errors import DataError
from sdmr.experiments.core.messages import explain_validation_error
from sdmr.harness.files import save_json
from sdmr.harness.records import collect_environment, read_record
from sdmr.harness.schema1 import TASKS

Metric = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Metrics = dict[str, dict[str, Metric]]  # {"hit@10": {"expected": ..., "optimistic": ..., "pessimistic": ...}, ...}


class _FrozenModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TieCounts(_FrozenModel):
    """The share of tied targets, and the mean number of candidates that tie with them."""

    tied_share: float  # share of the test instances whose target ties
    mean_tied: float  # candidates that tie with it there, on average


class Environment(_FrozenModel):
    """The machine and the software that made a run."""

    commit: str | None = None  # of the checkout, with "+" if it had uncommitted changes; None outside a checkout
    threads: int | None = None
    processor: str | None = None
    # That PyTorch uses, such as AVX2. Processors of one name may differ in it, and then in the last bits of a sum.
    instruction_set: str | None = None
    gpu: str | None = None
    platform: str | None = None
    python: str | None = None
    cores: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)


def read_environment() -> Environment:
    """Return the machine and the software of this process."""
    return Environment(**collect_environment(), instruction_set=torch.backends.cpu.get_cpu_capability())


class Record(_FrozenModel):
    """The settings of a run, and its results."""

    schema_version: Literal[2] = 2
    run: str  # the name of the run's folder: class and key
    model: str  # dotted path of the class
    dataset: str
    config: dict[str, Any]  # the settings that make the key
    data: str  # sha256 of split and candidates
    test_items: str | None = None  # sha256 of the raw ids of the test items and their users; None: an older record
    test_candidates: str | None = None  # sha256 of the test items' candidates, likewise
    source: str  # sha256 of the code that computes the run; of scores made elsewhere, of their file
    data_report: dict[str, int] = Field(default_factory=dict)  # rows and users that were dropped, or only train
    deviations: dict[str, Any] = Field(default_factory=dict)  # from the paper's protocol and model
    parts: dict[str, str] = Field(default_factory=dict)  # argument -> run of the pre-trained part
    trained: str | None = None  # the run that trained the parameters, if not this one
    selection: str | None = None  # the run that chose the epochs, and made `validation`, of a retrained one
    ids: str | None = None  # folder beside that of the run, with the raw ids: users.csv, items.csv
    validation: Metrics  # empty for scores made elsewhere, which are of the test items
    test: Metrics | None = None  # None: a search run, which never ranks the test items
    test_all: Metrics | None = None  # among all unseen items; None: `test` is so already, or the record is older
    test_all_sample: tuple[int, int] | None = None  # m, n: of a fixed random sample of m of the n test instances
    ties: TieCounts | None = None
    test_new: dict[str, Any] | None = None  # metrics of targets that the user has not had before
    test_repeated: dict[str, Any] | None = None
    seconds: dict[str, float]  # of the wall clock, by phase: prepare, fit, rank, rank_all, parts, selection
    # Of all threads, by phase: fit, rank, rank_all. Empty: an older record, which did not count them.
    cpu_seconds: dict[str, float] = Field(default_factory=dict)
    load: tuple[float, float] | None = None  # of the machine, the last minute's mean: at the start and at the end
    peak_memory_mib: float
    environment: Environment
    best_epoch: int | None = None
    best_among_last_5_allowed: bool | None = None
    history: list[dict[str, Any]] | None = None  # an entry an epoch, 0 before training; None: not trained by gradient

    @property
    def class_name(self) -> str:
        return self.model if "scores" in self.config else self.model.rpartition(".")[2]  # scores have any name

    @property
    def separate_runs(self) -> dict[str, list[str]]:
        """Return the other runs that this one needs, by the phase whose seconds are theirs."""
        return {"parts": list(self.parts.values()), "selection": [self.selection] if self.selection else []}

    @property
    def runtime(self) -> float:
        """Return the seconds of the run, without those of separate runs."""
        return sum(seconds for phase, seconds in self.seconds.items() if phase not in self.separate_runs)

    def metrics(self) -> Metrics:
        """Return the test metrics or, of a search run, the validation metrics."""
        return self.validation if self.test is None else self.test


def load_record(path: Path) -> Record:
    """Read a record of any schema. Raises DataError for a file that is damaged or lacks a field."""
    try:
        return Record.model_validate(read_record(path))
    except ValidationError as error:
        raise DataError(f"{path}: {explain_validation_error(error)}") from error
    except (ValueError, TypeError, AttributeError) as error:  # no JSON, or no record
        raise DataError(f"{path} is damaged: {error}") from error


def save_record(record: Record, path: Path) -> None:
    """Write a record, without the fields that it has not."""
    save_json(record.model_dump(exclude_none=True), path)


def translate_task(data: str) -> str:
    """Return a record's digest of its split and candidates by today's rules.

    Earlier versions drew other validation candidates, and the same test candidates.
    """
    return TASKS.get(data, data)
