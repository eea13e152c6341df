"""The command that checks a model's interface: a line for each check, and what each fault of a model prints."""

import re
from pathlib import Path

import pytest
import torch

from sdmr.experiments.report.dataset_check import DUPLICATES
from tests.experiments.core.conftest import Sdmr, sdmr
from tests.experiments.report.published import publish_model
from tests.experiments.report.records import change_record
from tests.experiments.small import FACTORS

__all__ = ["sdmr"]
MODELS = f"""{FACTORS}
import numpy as np
import torch

class Good:
    def __init__(self, power: float = 1.0):
        self.power = power
    def fit(self, training):
        self.count = np.asarray(training.matrix.sum(axis=0)).ravel()
    def score(self, users, contexts, candidates):
        return self.count[candidates] ** float(self.power)

class FitFails(Good):
    def fit(self, training):
        raise ArithmeticError("no " + "data")

class Exits(Good):
    def fit(self, training):
        raise SystemExit(3)

class SetsPrecision(Good):
    def fit(self, training):
        torch.set_default_dtype(torch.float64)

class SetsPrecisionLate(Good):
    def score(self, users, contexts, candidates):
        torch.set_default_dtype(torch.float64)
        return super().score(users, contexts, candidates)

class Flat(Good):
    def score(self, users, contexts, candidates):
        return super().score(users, contexts, candidates).ravel()

class NotANumber(Good):
    def score(self, users, contexts, candidates):
        return super().score(users, contexts, candidates) * np.nan

class ByPosition(Good):
    def score(self, users, contexts, candidates):
        return super().score(users, contexts, candidates) + np.arange(candidates.shape[1])

class ByBatch(Good):
    def score(self, users, contexts, candidates):
        return super().score(users, contexts, candidates) + len(users)

class Sequences(Good):
    reads_baskets = False

class Writes(Good):
    def score(self, users, contexts, candidates):
        scores = super().score(users, contexts, candidates)
        users[:] = 0
        return scores

class Spoils(Good):
    def fit(self, training):
        super().fit(training)
        training.instances.targets[:] = 0

class SetsDiagonal(Good):
    def fit(self, training):
        super().fit(training)
        training.matrix.setdiag(9)

class ScoresAll(Good):
    def score_all(self, users, contexts):
        return np.tile(self.count ** float(self.power), (len(users), 1))

class ScoresAllOtherwise(Good):
    def score_all(self, users, contexts):
        return np.tile(self.count[::-1], (len(users), 1))

class TooFew(Good):
    def score_all(self, users, contexts):
        return np.tile(self.count[1:], (len(users), 1))

class Renames(Good):
    def fit(self, training):
        super().fit(training)
        training.user_ids[:] = 0

class Misnames(Good):
    def fit(self, training):
        super().fit(training)
        training.user_ids[0] = "me"

class Unseeded(Good):
    def fit(self, training):
        self.count = np.random.default_rng().normal(size=training.n_items) ** 2

class Draws(Good):
    def fit(self, training):
        self.count = np.random.rand(training.n_items) + torch.rand(training.n_items).numpy()

class KeepsOn(Good):
    rng = np.random.default_rng(0)
    def fit(self, training):
        self.count = self.rng.random(training.n_items)

class Unsaved(Factors):
    def build(self, n_users, n_items):
        super().build(n_users, n_items)
        self.bias = torch.rand(n_items)
    def forward(self, users, contexts, candidates):
        return super().forward(users, contexts, candidates) + self.bias[candidates]

class Counts(Factors):
    steps = 0
    def loss(self, scores):
        self.steps += 1
        return super().loss(scores) * self.steps
"""


@pytest.fixture(autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder: Path = tmp_path_factory.getbasetemp() / "checked"
    folder.mkdir(exist_ok=True)
    (folder / "own_checked.py").write_text(MODELS)
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(("name", "number"), [("Good", 13), ("ScoresAll", 15), ("Factors", 17), ("Draws", 13)])
def test_model_that_keeps_to_the_interface_passes_every_check(name: str, number: int, sdmr: Sdmr) -> None:
    answer = sdmr("check", f"model=own_checked.{name}")
    assert (answer.status, answer.err) == (0, "")
    *lines, last = answer.out.splitlines()
    assert last == f"all {number} checks passed"
    assert [line.partition(" ")[0] for line in lines] == ["passed"] * number


def test_check_that_is_left_out_does_not_count(sdmr: Sdmr) -> None:
    *lines, last = sdmr("check", "model=own_checked.Sequences").out.splitlines()
    assert lines[-1].startswith("note    baskets: left out")
    assert last == f"all {len(lines) - 1} checks passed"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FitFails", r"histories: fit: ArithmeticError: no data (.*own_checked.py, line)"),
        ("Exits", r"histories: fit: SystemExit: 3 \(.*own_checked.py, line"),
        ("SetsPrecision", r"histories: fit: SetsPrecision has changed torch.set_default_dtype \(torch.float32 is now"),
        ("SetsPrecisionLate", "score returns a finite number .*SetsPrecisionLate has changed torch.set_default_dtype"),
        ("Flat", "score returns a finite number for each candidate: .*Flat.score returned shape "),
        ("NotANumber", "score returns a finite number for each candidate: .*every score must be finite"),
        ("ByPosition", "score is independent of other candidates and instances: .*came in another order"),
        ("ByBatch", "other candidates and instances: .*the instances came in two halves: a score must not depend"),
        ("Writes", "leave their arguments as they are: score has changed its argument users: write to a copy"),
        (
            "ScoresAllOtherwise",
            "score_all returns the numbers of score: ScoresAllOtherwise.score_all scored user",
        ),
        (
            "TooFew",
            r"score gives finite numbers for all items: TooFew.score_all returned shape \(\d+, 89\) for .* \(\d+, 90\)",
        ),
        ("Spoils", "leave their arguments as they are: Spoils has changed training.instances.targets, which models"),
        ("SetsDiagonal", "leave their arguments as they are: SetsDiagonal has changed training.matrix."),
        ("Renames", "leave their arguments as they are: Renames has changed training.user_ids, which models share"),
        ("Misnames", "leave their arguments as they are: Misnames has changed training.user_ids, which models share"),
        ("Unseeded", "the same seed gives the same scores: two fits with the same seed differ"),
        ("KeepsOn", "the same seed gives the same scores: two fits with the same seed differ"),
        ("Unsaved", "save and load: Unsaved scores otherwise with its saved parameters"),
        ("Counts", "fit resumes after an interruption: a fit that is resumed has other scores"),
    ],
)
def test_fault_of_a_model_fails_the_check_that_names_it(name: str, message: str, sdmr: Sdmr) -> None:

    answer = sdmr("check", f"model=own_checked.{name}")
    assert torch.get_default_dtype() == torch.float32
    failed = [line for line in answer.out.splitlines() if line.startswith("FAILED")]
    assert (answer.status, answer.err) == (1, "")
    assert any(re.search(message, line) for line in failed), answer.out
    assert "checks failed" in answer.out


def test_option_that_a_check_does_not_use_is_refused(sdmr: Sdmr) -> None:
    answer = sdmr("check", "model=own_checked.Good", "split_seed=1")
    assert answer.status == 2
    assert answer.error.startswith("sdmr check: split_seed=1: a check has no such option, only model.NAME")
    for arguments in ((), ("model=own_checked.Good", "dataset=ml-100k")):
        answer = sdmr("check", *arguments)
        assert answer.status == 2
        assert "a check has one subject: set one of model=..., dataset=..., table=..., submission=..." in answer.error
    others = (
        ("dataset=ml-100k", "context_length=3"),
        ("table=3", "publish=true"),
        ("table=3", "runs=SDM-0"),
        ("table=3", "model.dim=3"),
    )
    for arguments in others:
        answer = sdmr("check", *arguments)
        assert (answer.status, "has no such option; it has " in answer.error) == (2, True)
    assert "has no argument 'powr'" in sdmr("check", "model=own_checked.Good", "model.powr=2").error


def test_check_of_a_data_set_prints_what_its_test_items_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sdmr: Sdmr
) -> None:
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    rows = [f"{user},{item},{10**9 + 50 * item + user}" for user in range(20) for item in range(user % 3, 9)]
    (tmp_path / "mine.csv").write_text("\n".join(["user,item,time", *rows, rows[0]]) + "\n")
    arguments = ("dataset=csv", f"dataset.path={tmp_path}/mine.csv", "dataset.time=time")
    answer = sdmr("check", *arguments)
    assert answer.status == 0
    assert "20 users, 9 items, 161 interactions, 13 test items" in answer.out  # others have every item
    assert "100.0%  of the test items come within 60 s of their user's interaction before" in answer.out
    assert f"      1  {DUPLICATES}" in answer.out
    answer = sdmr("check", *arguments, "protocol.test_item=global-time", "protocol.validation_cut=0.5")
    assert "0.0%  of the training interactions are later than a test item" in answer.out
    assert "test items are no training item of anyone: misses" in answer.out
    assert "model.dim has no effect here" in sdmr("check", *arguments, "model.dim=3").error
    answer = sdmr("check", *arguments, "publish=true", f"results={tmp_path}/results")
    assert answer.out.endswith(f"written to {tmp_path}/results/datasets.csv\n")
    assert "| csv " in (tmp_path / "results" / "datasets.md").read_text()


def test_check_of_a_table_fails_if_a_row_is_not_comparable(tmp_path: Path, sdmr: Sdmr) -> None:
    folder = tmp_path / "records" / "table3" / "ml-100k"
    for model in ("sdp", "sdm", "cml"):
        publish_model(folder, model, 0.5, seeds=1)
    arguments = ("check", "table=3", f"results={tmp_path}")
    empty = sdmr("check", "table=3", f"results={tmp_path}/elsewhere")
    assert (empty.status, "has no published row of it" in empty.error) == (2, True)
    answer = sdmr(*arguments)
    assert (answer.status, "ml-100k, SDM: One seed\n" in answer.out) == (0, True)
    assert "records are as this checkout's code would make them" in answer.out
    assert f"{tmp_path}/records: " in answer.out
    change_record(folder / "cml-0", deviations={"candidates": 99})
    answer = sdmr(*arguments)
    assert answer.status == 1
    assert "\nrows that are not comparable with the others of their data set: 1\n" in answer.out
