"""Anyone's own class, named on the command line: its settings, the error of one that does not fit, its row."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdmr.datasets.sources import list_project
from sdmr.experiments.core import execute as execute_module
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.errors import ConfigError, UsageError
from sdmr.experiments.core.execute import execute
from sdmr.experiments.core.plan import is_stochastic, plan_runs
from sdmr.experiments.core.registry import MODELS, get_model
from sdmr.experiments.core.run import compose_run, make_recommender
from sdmr.experiments.core.trained import load_trained
from sdmr.harness.evaluation import rank
from sdmr.harness.generators import seed_generators
from sdmr.harness.recommender import ModelError
from sdmr.harness.records import compute_source_digest, read_ranks
from sdmr.harness.training.optimizer import OptimizationConfig
from tests.experiments.core.conftest import Sdmr
from tests.experiments.small import FACTORS

CHECKOUT = Path(execute_module.__file__).parents[2]
MODULE = f'''{FACTORS}
import gc
import random
import numpy as np
import torch
from sdmr.datasets.task import Task
from sdmr.models.sdp import SDP

class Power:
    """Popularity to a power."""
    def __init__(self, power: float, context_length: int = 3, tags: tuple[str, ...] = ("a",), **others):
        self.power, self.context_length = power, context_length
    def fit(self, training):
        self.count = np.asarray(training.matrix.sum(axis=0)).ravel()
        self.rng = np.random.default_rng(training.seed)
    def score(self, users, contexts, candidates):
        assert contexts.shape == (len(users), self.context_length)
        return self.count[candidates].astype(float) ** self.power

class Random(Power):
    def __init__(self):
        super().__init__(1.0, 20)
    def score(self, users, contexts, candidates):
        return self.rng.normal(size=candidates.shape)

class ByPosition(Random):
    def score(self, users, contexts, candidates):
        return np.tile(np.arange(candidates.shape[1], dtype=float), (len(users), 1))

class Flat(Random):
    def score(self, users, contexts, candidates):
        return self.count[candidates].astype(float).ravel()

class Integers(Random):
    def score(self, users, contexts, candidates):
        return self.count[candidates].astype(int)

class Softmax(Random):
    def score(self, users, contexts, candidates):
        scores = np.exp(self.count[candidates] - self.count.max())
        return scores / scores.sum(axis=1, keepdims=True)

class Vandal(Random):
    """Writes to all that it gets."""
    def fit(self, training):
        super().fit(training)
        for side in (training.instances, training.validation):
            for array in (side.users, side.targets, *vars(side.contexts).values()):
                if isinstance(array, np.ndarray):
                    array[:] = array[::-1].copy()
        training.validation.candidates[:] = 0
        for array in (training.matrix.data, training.matrix.indices, training.matrix.indptr):
            array[:] = 0
    def score(self, users, contexts, candidates):
        scores = self.count[candidates].astype(float)
        users[:], contexts[:], candidates[:] = 0, 0, 0
        return scores

class Thief(Random):
    """Finds what models share, and writes to it."""
    def fit(self, training):
        super().fit(training)
        for task in gc.get_objects():
            if type(task) is Task and np.array_equal(task.training.instances.targets, training.instances.targets):
                targets = task.training.instances.targets
                targets.flags.writeable = True
                targets[:] = targets[::-1].copy()

class Drawing(Power):
    """Draws from what all models share: where it is made, fitted, and asked."""
    def __init__(self):
        super().__init__(1.0, 20)
        self.first = random.random()
    def fit(self, training):
        self.table = np.random.rand(training.n_items) + torch.rand(training.n_items).numpy() + self.first
    def score(self, users, contexts, candidates):
        return self.table[candidates] + 0.5 * np.random.rand(*candidates.shape)

class OnDrawing(Drawing):
    def __init__(self, part: Drawing):
        super().__init__()
        self.part = part
    def score(self, users, contexts, candidates):
        return self.table[candidates] + self.part.first

class NotANumber(Random):
    def score(self, users, contexts, candidates):
        return np.full(candidates.shape, np.nan)

class NoScore:
    def fit(self, training): ...

class NoFit:
    def score(self, users, contexts, candidates): ...

class OtherArguments(NoScore):
    def score(self, users, candidates): ...

class NoSetting(Power):
    def __init__(self, table=np.zeros(3)): ...

class OnTop(Factors):
    def __init__(self, sdp: SDP, dim: int = 2):
        super().__init__(dim)
        self.sdp = sdp

class Heir(OnTop):
    """Has its parent's constructor."""

class NoForward(TorchRecommender):
    def build(self, n_users, n_items): ...
'''

STRICT = """
class Net:
    def __init__(self, width: int = 3):
        if width > 5:
            raise ValueError("width must be at most 5")
    def fit(self, training): ...
    def score(self, users, contexts, candidates): ...
"""


@pytest.fixture(autouse=True)
def module(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module `own_models`, on the path."""
    folder = tmp_path_factory.getbasetemp() / "own"
    folder.mkdir(exist_ok=True)
    (folder / "own_models.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """40 users with 6 of 130 items each."""
    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("data") / "small.csv"
    rows = [
        f"{user},{item},{time}" for user in range(40) for time, item in enumerate(rng.choice(130, 6, replace=False))
    ]
    path.write_text("\n".join(["user,item,time", *rows]) + "\n")
    return ["dataset=csv", f"dataset.path={path}", "dataset.time=time"]


# --- settings ---


def test_settings_of_a_users_class_are_its_constructors() -> None:
    config, _ = compose_config(["model._target_=own_models.Power", "model.power=3"])
    assert config["model"] == {"_target_": "own_models.Power", "power": 3, "context_length": 5, "tags": ["a"]}


def test_model_and_target_name_the_same_class() -> None:
    assert compose_config(["model=own_models.Power", "model.power=2"]) == compose_config(
        ["model._target_=own_models.Power", "model.power=2"]
    )


def test_torch_class_has_the_settings_of_training() -> None:
    overrides = ["model._target_=own_models.Factors", "model.optimization.batch_size=7", "epochs=4"]
    config, _ = compose_config(overrides)
    optimization = config["model"]["optimization"]
    assert optimization.pop("_target_").endswith(".OptimizationConfig")
    assert OptimizationConfig(**optimization) == OptimizationConfig(
        learning_rate=0.05, batch_size=7, epochs=4, patience=10
    )


@pytest.mark.parametrize("name", ["OnTop", "Heir"])
def test_part_is_a_config_of_its_own(name: str) -> None:
    config, _ = compose_config([f"model._target_=own_models.{name}", "model.sdp.dim=3"])
    assert (config["model"]["sdp"]["_target_"], config["model"]["sdp"]["dim"]) == ("sdmr.models.sdp.SDP", 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.powr=3", r"own_models\.Factors has no argument 'powr'; its arguments are: dim, optimization$"),
        ("model.optimization.lr=3", r"OptimizationConfig has no argument 'lr'; its arguments are: learning_rate, "),
    ],
)
def test_unknown_argument_is_an_error_that_lists_the_arguments(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compose_config(["model._target_=own_models.Factors", override])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoScore", r"must have a method score\(users, contexts, candidates\), and has none"),
        ("NoFit", r"must have a method fit\(training\), and has none"),
        ("OtherArguments", r"method score\(users, contexts, candidates\), and has score\(self, users, candidates\)"),
        ("NoForward", r"must have a method forward\(users, contexts, candidates\), and has none"),
        ("Nothing", "no such class can be imported"),
        ("NoSetting", "the default of table is a ndarray"),
    ],
)
def test_class_that_is_no_recommender_is_an_error_that_names_the_method(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s)^(model=)?own_models\.{name}: .*{message}"):
        compose_config([f"model._target_=own_models.{name}"])


# --- runs ---


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ByPosition", "came in another order"),
        ("Softmax", "came in two halves: a score must not depend on the other candidates"),
        ("Flat", r"returned shape \(1616,\) for candidates of shape \(16, 101\)"),
        ("NotANumber", "every score must be finite"),
    ],
)
def test_wrong_scores_are_an_error(name: str, message: str, data: list[str], tmp_path: Path) -> None:
    run = compose_run([f"model._target_=own_models.{name}", *data], tmp_path)
    with pytest.raises(ModelError, match=rf"^{name}.*{message}"):
        execute(run)
    assert run.record is None


@pytest.mark.parametrize("protocol", [[], ["protocol.candidates=all"]])
@pytest.mark.parametrize("name", ["Vandal", "Integers"])
def test_what_a_model_writes_to_is_its_own(name: str, protocol: list[str], data: list[str], tmp_path: Path) -> None:
    settings = [*data, *protocol]
    popularity = execute(compose_run(["model=popularity", *settings], tmp_path / "before"))
    run = compose_run([f"model=own_models.{name}", *settings], tmp_path)
    record = execute(run)
    assert execute(compose_run(["model=popularity", *settings], tmp_path / "after")).test == popularity.test
    np.testing.assert_array_equal(read_ranks(run.folder / "ranks.npz")[0], run.load_task().test.users)
    if name == "Integers":
        assert record.test == popularity.test


def test_change_of_what_models_share_is_an_error_that_names_the_model(data: list[str], tmp_path: Path) -> None:
    popularity = execute(compose_run(["model=popularity", *data], tmp_path / "before"))
    with pytest.raises(ModelError, match=r"^Thief has changed task\.training\.instances\.targets, which models share"):
        execute(compose_run(["model=own_models.Thief", *data], tmp_path))
    assert execute(compose_run(["model=popularity", *data], tmp_path / "after")).test == popularity.test


@pytest.mark.parametrize("name", ["Drawing", "OnDrawing"])
def test_the_seed_of_a_run_fixes_what_a_model_draws_anywhere(name: str, data: list[str], tmp_path: Path) -> None:
    ranks = []
    for state in (1, 2):  # that another model has left
        seed_generators(state)
        run = compose_run([f"model=own_models.{name}", *data], tmp_path / str(state))
        execute(run)
        seed_generators(state)
        model, task = load_trained(run.folder)
        ranks.append((read_ranks(run.folder / "ranks.npz")[1].above, rank(model, task.test).above))
    np.testing.assert_array_equal(*ranks)
    if name == "OnDrawing":  # whose scores are not random
        np.testing.assert_array_equal(*ranks[0])
    other = compose_run([f"model=own_models.{name}", *data, "seed=1"], tmp_path)
    assert execute(other).test != execute(run).test


def test_a_part_is_made_as_if_it_were_alone() -> None:
    model = make_recommender({"_target_": "own_models.OnDrawing", "part": {"_target_": "own_models.Drawing"}}, 5)
    assert model.part.first == make_recommender({"_target_": "own_models.Drawing"}, 5).first
    assert model.part.first != make_recommender({"_target_": "own_models.Drawing"}, 6).first


def run_elsewhere(package: Path, folder: Path, data: list[str]) -> None:
    """A run in `folder`, where its class stands, with the suite in `package`; its record is that of a run here."""
    (folder / "own_models.py").write_text(MODULE)
    overrides = ["model._target_=own_models.Power", "model.power=3", *data]
    process = subprocess.run(
        [sys.executable, "-m", "sdmr.experiments.run", *overrides],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.startswith("own_models.Power on csv, test: hit@10 ")
    (record,) = (folder / "runs" / "csv").glob("Power-*/record.json")
    assert compose_run(overrides, folder / "runs").folder == record.parent


def test_users_class_runs_from_any_folder(data: list[str], tmp_path: Path) -> None:
    run_elsewhere(CHECKOUT, tmp_path, data)


@pytest.mark.slow
def test_installed_package_needs_no_checkout(data: list[str], tmp_path: Path) -> None:
    clone, installed = tmp_path / "clone", tmp_path / "installed"  # a build writes into the folder it builds from
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(clone)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed), str(clone)]
    subprocess.run(pip, check=True)
    shutil.rmtree(clone)
    run_elsewhere(installed, tmp_path, data)


# --- planned runs ---


def test_users_class_has_every_seed_and_its_own_name() -> None:
    assert get_model("own_models.Random").name == "own_models.Random"
    assert is_stochastic("own_models.Random")
    assert not {get_model(f"{module}.SLIM").name for module in ("mine", "theirs")} & {m.name for m in MODELS.values()}


@pytest.mark.parametrize("settings", ["default", "tuned"])
def test_users_class_is_planned_with_its_constructors_settings(settings: str) -> None:
    (run,) = plan_runs(["own_models.Random"], ["ml-100k"], 1, settings, ["protocol.candidates=99"])
    assert run.overrides == ("model=own_models.Random", "dataset=ml-100k", "seed=0", "protocol.candidates=99")


def test_a_model_that_ends_the_program_is_a_failure_that_names_it(
    module: Path, data: list[str], tmp_path: Path
) -> None:
    methods = ("def fit(self, training): raise SystemExit", "def score(self, users, contexts, candidates): ...")
    (module / "own_ending.py").write_text("\n    ".join(("class Net:", *methods)))
    run = compose_run(["model=own_ending.Net", *data], tmp_path)
    with pytest.raises(ModelError, match=r"Net-\w+: the model has ended the program by SystemExit\(None\)"):
        execute(run)
    assert (run.folder / "failure.json").exists()


def test_import_error_and_refused_value_are_usage_errors(module: Path, data: list[str], tmp_path: Path) -> None:
    (module / "own_broken.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match=r"Net cannot be imported: ZeroDivisionError.*own_broken\.py, line 1$"):
        compose_config(["model=own_broken.Net"])
    (module / "own_script.py").write_text("import sys\nsys.exit()\n")
    with pytest.raises(UsageError, match=r"Net cannot be imported: SystemExit.*own_script\.py, line 2$"):
        compose_config(["model=own_script.Net"])
    (module / "own_loud.py").write_text(f"import numpy as np\nnp.seterr(all='raise')\n{STRICT}")
    before = np.geterr()
    compose_config(["model=own_loud.Net"])
    assert np.geterr() == before
    (module / "own_strict.py").write_text(STRICT)
    with pytest.raises(UsageError, match=r"^own_strict\.Net: width must be at most 5$"):
        execute(compose_run(["model=own_strict.Net", "model.width=9", *data], tmp_path))


# --- people's habits ---

HABITS = """
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from sdmr.harness.training import Embedding, TorchRecommender
if TYPE_CHECKING:
    from nowhere import Thing

class Base:
    def fit(self, training): ...
    def score(self, users, contexts, candidates):
        return candidates * 1.0

class Containers(Base):
    def __init__(
        self, layers: list[int] = [64, 32], pair: tuple[int, float] = (1, 2.0), table: dict = {"a": [1]},
        weights: dict[int, float] = {1: 0.5}, *, free=(1, [2]),
    ):
        self.arguments = layers, pair, table, weights, free

@dataclass
class Data(Base):
    layers: list = field(default_factory=lambda: [4])
    table: dict[str, int] = field(default_factory=dict)

class Open(Base):
    def __init__(self, width: int = 3, **kwargs):
        self.arguments = width, kwargs

class OpenTorch(TorchRecommender):
    def __init__(self, dim: int = 2, **kwargs):
        super().__init__(**kwargs)
    def build(self, n_users, n_items): ...
    def forward(self, users, contexts, candidates): ...

class Unresolved(Base):
    def __init__(self, thing: "Thing | None" = None, width: "int" = 3):
        self.arguments = thing, width

class Odd(Base):
    def __init__(self, f=print): ...

class Clipped(Base):
    def __init__(self, clip: float = float("inf")): ...

class Free(Base):
    def __init__(self, **kwargs):
        self.arguments = kwargs

class Changing(Base):
    def __init__(self):
        import os
        os.chdir("/")

class Ending(Base):
    def __init__(self):
        raise SystemExit("no licence")

def make(): ...
instance = Base()
"""


@pytest.fixture
def habits(module: Path) -> Path:
    (module / "own_habits.py").write_text(HABITS)
    return module


def make_model(*overrides: str) -> Any:
    return make_recommender(compose_config(overrides).settings["model"])


def test_lists_dicts_and_tuples_arrive_as_such(habits: Path) -> None:
    model = "model=own_habits.Containers"
    arguments = make_model(model).arguments
    assert arguments == ([64, 32], (1, 2.0), {"a": [1]}, {1: 0.5}, (1, [2]))
    assert [type(value) for value in arguments] == [list, tuple, dict, dict, tuple]
    assert type(arguments[2]["a"]) is type(arguments[4][1]) is list
    arguments = make_model(
        model, "model.layers=[8]", "model.pair=[3,4]", "model.table={b:2}", "model.weights.2=1"
    ).arguments
    assert arguments == ([8], (3, 4.0), {"a": [1], "b": 2}, {1: 0.5, 2: 1.0}, (1, [2]))


def test_factories_of_a_dataclass_make_its_defaults(habits: Path) -> None:
    assert vars(make_model("model=own_habits.Data")) == {"layers": [4], "table": {}}
    assert vars(make_model("model=own_habits.Data", "model.layers=[]", "model.table={a:1}")) == {
        "layers": [],
        "table": {"a": 1},
    }


def test_numbers_that_no_record_can_hold_are_one_line(habits: Path) -> None:
    with pytest.raises(ConfigError, match="the default of clip is a float; expected null, a finite number"):
        make_model("model=own_habits.Clipped")
    for value in ("inf", "nan", "[1.0,-inf]"):
        with pytest.raises(ConfigError, match=r"^model\.clip=.*: expected a finite number$"):
            make_model("model=own_habits.Free", f"+model.clip={value}")


def test_a_constructor_that_changes_the_process_or_ends_it_is_one_line(habits: Path) -> None:
    folder = Path.cwd()
    with pytest.raises(ConfigError, match="Changing has changed the current folder"):
        make_model("model=own_habits.Changing")
    assert Path.cwd() == folder
    with pytest.raises(ConfigError, match=r"^own_habits\.Ending: no licence$"):
        make_model("model=own_habits.Ending")


def test_further_arguments_reach_kwargs_and_those_of_training_the_base_class(habits: Path) -> None:
    assert make_model("model=own_habits.Open", "+model.depth=[2]").arguments == (3, {"depth": [2]})
    made = make_model("model=own_habits.OpenTorch", "epochs=4", "model.optimization.learning_rate=0.5")
    assert (made.optimization.epochs, made.optimization.learning_rate) == (4, 0.5)
    with pytest.raises(UsageError, match=r"own_habits\.OpenTorch: .*unexpected keyword argument 'x'"):
        make_model("model=own_habits.OpenTorch", "model.x=1")


def test_annotation_that_cannot_be_resolved_counts_as_none_and_the_others_are_checked(habits: Path) -> None:
    assert make_model("model=own_habits.Unresolved", "model.thing=x").arguments == ("x", 3)
    with pytest.raises(UsageError, match=r"^model\.width=x: must be a valid integer"):
        make_model("model=own_habits.Unresolved", "model.width=x")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("own_habits.make", "this is a function, expected a class with fit and score"),
        ("own_habits.instance", "this is a Base, expected a class with fit and score"),
        ("own_habits.Odd", "the default of f is a builtin_function_or_method; expected null, a finite number"),
        ("__main__.Net", "a run must know the code of its class"),
    ],
)
def test_target_that_no_run_can_use_is_one_line(target: str, message: str, habits: Path, sdmr: Sdmr) -> None:
    answer = sdmr("run", f"model={target}")
    assert answer.status == 2
    assert f"{target}: {message}" in answer.error


@pytest.mark.parametrize("way", ["import {0}", "from {0} import F", "from . import {1}", "from .{1} import F"])
def test_edited_helper_of_a_users_class_is_a_new_run(
    way: str, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"own_project_{abs(hash(way))}"
    package, helper = tmp_path / name, "own_helper" if "." in way else f"{name}_helper"
    package.mkdir()
    model = f"{way.format(helper, helper)}\nclass Net:\n    def fit(self, training): ...\n"
    model += "    def score(self, users, contexts, candidates): ...\n"
    (package / "__init__.py").touch()
    (package / "net.py").write_text(model)
    inner = (package if "." in way else tmp_path) / f"{helper}.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    folders = []
    for value in (1, 1, 2):
        inner.write_text(f"F = {value}\n")
        compute_source_digest.cache_clear()
        folders.append(compose_run([f"model={name}.net.Net", *data], tmp_path).folder)
    assert folders[0] == folders[1] != folders[2]


def test_edited_module_of_a_part_that_settings_name_is_a_new_run(
    module: Path, data: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(module)
    folders = []
    for value in (1, 1, 2):
        (module / "own_part.py").write_text(f"from own_models import Drawing\nclass Q(Drawing):\n    X = {value}\n")
        compute_source_digest.cache_clear()
        target = ["model=own_models.OnDrawing", "model.part._target_=own_part.Q"]
        folders.append(compose_run([*target, *data], tmp_path).folder)
    assert folders[0] == folders[1] != folders[2]


@pytest.mark.parametrize("is_hidden", [True, False])
def test_helper_with_a_name_of_the_standard_library_counts_if_python_imports_it(
    is_hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_hiding", "sched"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "own_hiding.py").write_text("import sched\nimport json\n")
    (tmp_path / ("none.py" if is_hidden else "sched.py")).write_text("F = 1\n")
    list_project.cache_clear()
    assert list_project("own_hiding", tmp_path) == (("own_hiding",) if is_hidden else ("own_hiding", "sched"))


# --- settings without effect ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("model=popularity epochs=3", "epochs=3 has no effect on model=popularity"),
        ("model=prme context_length=3", "context_length=3 has no effect on model=prme"),
        ("model=sdm hydra.run.dir=x", "hydra.run.dir=x has no effect without -m"),
        ("model=sdm +ks=[1,50]", "ks: there is no such setting"),
        ("model=sdm ++metrics=[MRR]", "metrics: there is no such setting"),
        ("model=sdm settings=null", "settings=null: expected one name"),
        ("model=null", "model=null: expected one name"),
        ("~model", "~model: expected key=value"),
    ],
)
def test_setting_without_effect_is_refused(arguments: str, message: str, sdmr: Sdmr) -> None:
    answer = sdmr("run", *arguments.split())
    assert (answer.status, answer.out) == (2, "")
    assert answer.error.startswith(f"sdmr run: {message}")
