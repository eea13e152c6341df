"""The cases that are run with the old code and with today's, in the names of commit d2b9968.

`names.TABLE` translates them, so that nothing here changes when a setting is renamed.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Commands whose results must be the same. They run one after the other, in one `runs` folder."""

    name: str
    commands: tuple[tuple[str, ...], ...]  # the overrides of each
    output: str = "run"  # what is compared: a "run", the files of an "export", or the printed "config"
    is_killed: bool = False  # the first command is killed after its first epoch, and then started again
    same_as: str | None = None  # the name of a case that must have the same results on each side
    required: str | None = None  # a real data set, without which the case is skipped


GENERAL = ("dataset=csv", "dataset.path=general.csv", "dataset.time=time")
BASKETS = ("dataset=csv", "dataset.path=baskets.csv", "dataset.basket=basket")
TWO_EPOCHS = ("epochs=2",)
DIM = {
    "popularity": (),
    "item-knn": (),
    "slim": (),
    "neumf": ("model.gmf.dim=8", "model.mlp.dim=8"),
    "cmn": ("model.gmf.dim=8",),
    "sdmr": ("model.sdp.dim=8", "model.sdm.dim=8"),
}
MODELS = (
    *("popularity", "item-knn", "slim", "mf-bpr", "cml", "neumf", "cmn"),
    *("prme", "prme-s", "transrec", "caser", "sdp", "sdm", "sdmr"),
)
GMF, MLP = "model._target_=baselines.neumf.GMF", "model._target_=baselines.neumf.MLP"
# The released training, in two epochs instead of 50.
RELEASED_TWO_EPOCHS = ("model.variant=released", "model.optimisation.epochs=2")
DATASETS = ("ml-100k", "ml-1m", "epinions", "ta-feng", "ijcai-15", "netflix", "netflix-sample", "csv", "inter", "ncf")
# Parts have the epochs of their own setting, the small data sets those of the command.
OPTIONS = {
    "gmf": {
        "log": (),
        "bpr": ("model.objective=bpr",),
        "bpr-hardest": ("model.objective=bpr", "model.optimisation.negatives=hardest"),
    },
    "mlp": {"plain": (), "three-layers": ("model.layers=3",)},
    "item-knn": {"cosine": ("model.weighting=cosine", "model.neighbours=5")},
    "slim": {"other": ("model.l1=0.5", "model.l2=10", "model.tolerance=0.0001")},
    "mf-bpr": {
        "item-bias": ("model.item_bias=true",),
        "all-negatives": ("model.optimisation.negatives=all",),
        "hardest-of-one": ("model.optimisation.n_negatives=1",),
        "hardest-of-seven": ("model.optimisation.n_negatives=7",),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
        "sgd": ("model.optimisation.optimizer=sgd", "model.optimisation.learning_rate=0.05"),
        "regularise-all": ("model.optimisation.regularise=all",),
        "no-regularisation": ("model.optimisation.regularisation=0",),
        "halved": ("model.optimisation.halve_every=1", "epochs=3"),
        "select-by-hit": ("model.optimisation.select_by=hit@10", "epochs=5", "model.optimisation.learning_rate=0.05"),
        "some-development": ("model.optimisation.development_instances=20", "epochs=4"),
        "some-development-above": ("development_instances=20", "epochs=4", "model.optimisation.learning_rate=0.05"),
        "small-batches": ("model.optimisation.batch_size=7",),
        "device": ("model.optimisation.device=cpu",),
        "stopped-early": ("epochs=30", "patience=2", "model.optimisation.learning_rate=0.1"),
        "seed": ("seed=1",),
        "split-seed": ("split_seed=1",),
    },
    "cml": {"rowwise": ("model.optimisation.optimizer=rowwise", "model.optimisation.learning_rate=0.3")},
    "neumf": {
        "sgd": ("model.optimisation.optimizer=sgd", "model.optimisation.learning_rate=0.001"),
        "three-layers": ("model.mlp.layers=3", "model.gmf.dim=4", "model.gmf.optimisation.epochs=3"),
    },
    "cmn": {
        "one-hop-with-self": ("model.hops=1", "model.keep_self=true", "model.optimisation.negatives=all"),
        "three-hops-rowwise": ("model.hops=3", "model.optimisation.optimizer=rowwise"),
    },
    "prme": {
        "one-space": ("model.spaces=1", "model.alpha=0.2", "model.context_length=3"),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
    },
    "prme-s": {"ten": ("context_length=10", "model.optimisation.negatives=all")},
    "transrec": {
        "not-squared": ("model.squared=false",),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
        "sgd-all-negatives": ("model.optimisation.optimizer=sgd", "model.optimisation.negatives=all"),
    },
    "caser": {
        "no-dropout": ("model.dropout=0", "model.horizontal=3", "model.vertical=2", "model.context_length=3"),
        "dropout-at-test": ("model.dropout_at_test=on",),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
    },
    "sdp": {
        "released": RELEASED_TWO_EPOCHS,
        "two-layers": ("model.layers=2",),
        "three-layers-torch-dropout": ("model.layers=3", "model.initialisation=torch", "model.dropout=0.3"),
        "absolute": ("model.distance=absolute",),
        "dropout": ("model.dropout=0.2",),
        "dropout-at-test": ("model.dropout=0.2", "model.dropout_at_test=on"),
        "all-negatives": ("model.optimisation.negatives=all",),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
        "sgd": ("model.optimisation.optimizer=sgd",),
        "released-in-part": (*RELEASED_TWO_EPOCHS, "model.distance=square", "model.optimisation.regularise=batch"),
    },
    "sdm": {
        "released": RELEASED_TWO_EPOCHS,
        "one-hop": ("model.hops=1",),
        "four-hops": ("model.hops=4",),
        "one-context-item": ("model.context_length=1",),
        "ten-context-items": ("context_length=10",),
        "dropout": ("model.dropout=0.2",),
        "dropout-at-test": ("model.dropout=0.2", "model.dropout_at_test=on"),
        "layer": ("model.before_sum=layer",),
        "negated": ("model.mixed=negated",),
        "scaled": ("model.padding=scaled",),
        "left-over": ("model.short=left-over",),
        "torch-layer": ("model.initialisation=torch", "model.before_sum=layer"),
        "all-negatives": ("model.optimisation.negatives=all",),
        "rowwise": ("model.optimisation.optimizer=rowwise",),
        "sgd": ("model.optimisation.optimizer=sgd",),
        "regularise-all": ("model.optimisation.regularise=all",),
    },
    "sdmr": {
        "released": (
            *RELEASED_TWO_EPOCHS,
            *("model.sdp.optimisation.epochs=2", "model.sdm.optimisation.epochs=2", "model.dropout_at_test=off"),
        ),
        "released-of-paper-parts": (*RELEASED_TWO_EPOCHS, "model.sdp.variant=paper", "model.sdm.variant=paper"),
        "sum": ("model.combine=sum",),
        "sum-beta": ("model.combine=sum", "model.beta=0.3"),
        "identity": ("model.activation=identity",),
        "dropout-at-test": ("model.dropout=0.2", "model.dropout_at_test=on"),
        "parts-in-training": ("model.parts_in=training", "model.sdp.dropout=0.2", "model.sdm.dropout=0.2"),
        "two-sizes": ("model.sdp.dim=4", "model.sdp.layers=2", "model.sdm.hops=2", "model.sdm.context_length=3"),
    },
}
PROTOCOL = {
    "test-selects": ("protocol.select_on=test",),
    "ties-optimistic": ("protocol.ties=optimistic",),
    "ties-pessimistic": ("protocol.ties=pessimistic",),
    "ties-in-a-sort": ("protocol.ties=argsort-target-last",),
    "candidates-99": ("protocol.candidates=99",),
    "candidates-all": ("protocol.candidates=all",),
    "candidates-all-in-a-sort": ("protocol.candidates=all", "protocol.ties=argsort-target-last"),
    "test-item-random": ("protocol.test_item=random",),
    "dev-item-next-to-last": ("protocol.dev_item=next-to-last",),
    "both-items": ("protocol.test_item=random", "protocol.dev_item=next-to-last"),
    "last-tie-item-id": ("protocol.last_tie=item-id",),
}
AS_RELEASED = ("protocol.select_on=test", "protocol.candidates=99", "protocol.ties=argsort-target-last")
TWELVE_EPOCHS = ("epochs=12", "patience=12", "model.optimisation.batch_size=4")  # long enough to be killed


def list_cases() -> list[Case]:
    """Return all cases. A name says what is special."""
    every = [*_models(), *_options(), *_protocol(), *_data(), *_threads(), *_resumed(), *_real(), *_configs()]
    duplicates = {case.name for case in every if sum(case.name == other.name for other in every) > 1}
    assert not duplicates, duplicates
    return every


def _model(choice: str) -> tuple[str, ...]:
    """Return the overrides of a small model, by its name on the command line."""
    named = {"gmf": GMF, "mlp": MLP}.get(choice, f"model={choice}")
    return (named, *DIM.get(choice, ("model.dim=8",)))


def _single(name: str, *overrides: str, **more: str) -> Case:
    """Return a case of one command. Of settings that come twice, the last one counts."""
    return Case(name, (_keep_last(overrides),), **more)


def _keep_last(overrides: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({each.partition("=")[0]: each for each in overrides}.values())


def _models() -> Iterator[Case]:
    for choice in MODELS:
        yield _single(f"{choice}/general", *GENERAL, *TWO_EPOCHS, *_model(choice))
        yield _single(f"{choice}/baskets", *BASKETS, *TWO_EPOCHS, *_model(choice))


def _options() -> Iterator[Case]:
    for choice, options in OPTIONS.items():
        for name, overrides in options.items():
            yield _single(f"{choice}/{name}", *GENERAL, *TWO_EPOCHS, *_model(choice), *overrides)
    for choice in ("sdp", "sdm"):
        yield _single(f"{choice}/released-baskets", *BASKETS, *TWO_EPOCHS, *_model(choice), *RELEASED_TWO_EPOCHS)
    yield _single("sdm/two-context-items-baskets", *BASKETS, *TWO_EPOCHS, *_model("sdm"), "context_length=2")
    yield Case(
        "sdm/searched-then-tested",
        tuple((*GENERAL, *TWO_EPOCHS, *_model("sdm"), test) for test in ("test=false", "test=true")),
    )
    yield Case(
        "mf-bpr/forced",
        tuple((*GENERAL, *TWO_EPOCHS, *_model("mf-bpr"), force) for force in ("test=true", "force=true")),
    )
    yield _single("sdmr/not-tested", *GENERAL, *TWO_EPOCHS, *_model("sdmr"), "test=false")


def _protocol() -> Iterator[Case]:
    for name, overrides in PROTOCOL.items():
        for choice in ("popularity", "sdp"):
            yield _single(f"protocol/{name}/{choice}", *GENERAL, *TWO_EPOCHS, *_model(choice), *overrides)
    for name in ("test-selects", "candidates-all", "test-item-random", "dev-item-next-to-last"):
        yield _single(f"protocol/{name}/baskets", *BASKETS, *TWO_EPOCHS, *_model("prme-s"), *PROTOCOL[name])
    yield _single("protocol/test-selects/sdmr", *GENERAL, *TWO_EPOCHS, *_model("sdmr"), "protocol.select_on=test")
    yield _single("protocol/as-released", *GENERAL, *TWO_EPOCHS, *_model("sdm"), *RELEASED_TWO_EPOCHS, *AS_RELEASED)


def _data() -> Iterator[Case]:
    """Yield exports of the split and the candidates, and runs on other formats of files."""
    data = {
        "general": GENERAL,
        "baskets": BASKETS,
        "general-split-seed": (*GENERAL, "split_seed=3"),
        "baskets-split-seed": (*BASKETS, "split_seed=3"),
        "without-times": GENERAL[:2],
        "file-order": (*GENERAL[:2], "dataset.order=file"),
        "least": (*GENERAL, "dataset.least=4"),
        "core": (*GENERAL, "dataset.least=4", "dataset.iterated=true"),
        "inter": ("dataset=inter", "dataset.path=general.inter"),
        "layout": ("dataset=ncf", "dataset.path=layout"),
    }
    split_names = ("test-item-random", "dev-item-next-to-last", "both-items", "candidates-99")
    data |= {f"general-{name}": (*GENERAL, *PROTOCOL[name]) for name in (*split_names, "last-tie-item-id")}
    data |= {f"baskets-{name}": (*BASKETS, *PROTOCOL[name]) for name in split_names}
    for name, overrides in data.items():
        yield Case(f"export/{name}", (overrides,), output="export")
    for name in ("without-times", "file-order", "core", "inter", "layout"):
        yield _single(f"data/{name}", *data[name], *TWO_EPOCHS, *_model("prme-s"))


def _threads() -> Iterator[Case]:
    """Yield runs of sizes at which threads share the work."""
    yield _single("threads/sdm", *GENERAL, *TWO_EPOCHS, *_model("sdm"), "model.dim=128", "threads=2")
    yield _single("threads/sdp", *GENERAL, *TWO_EPOCHS, *_model("sdp"), "model.dim=512", "threads=2")
    yield _single("threads/mf-bpr", *GENERAL, *TWO_EPOCHS, *_model("mf-bpr"), "model.dim=8192", "threads=2")
    yield _single("threads/caser", *GENERAL, *TWO_EPOCHS, *_model("caser"), "model.dim=128", "threads=2")


def _resumed() -> Iterator[Case]:
    runs = {
        "mf-bpr-rowwise": (*_model("mf-bpr"), "model.optimisation.optimizer=rowwise"),
        "sdm-dropout": (*_model("sdm"), "model.dropout=0.2", "model.optimisation.halve_every=2"),
        "sdmr": (*_model("sdmr"), "model.sdp.optimisation.batch_size=4", "model.sdm.optimisation.batch_size=32"),
    }
    for name, overrides in runs.items():
        yield _single(f"whole/{name}", *GENERAL, *TWELVE_EPOCHS, *overrides)
        commands = ((*GENERAL, *TWELVE_EPOCHS, *overrides),)
        yield Case(f"resumed/{name}", commands, is_killed=True, same_as=f"whole/{name}")


def _real() -> Iterator[Case]:
    for choice in ("popularity", "sdp", "sdm", "cmn"):
        yield _single(f"ml-100k/{choice}", "dataset=ml-100k", "epochs=1", *_model(choice), required="ml-100k")
    yield Case("export/ml-100k", (("dataset=ml-100k",),), output="export", required="ml-100k")
    for choice in ("popularity", "prme-s"):
        yield _single(f"ta-feng/{choice}", "dataset=ta-feng", "epochs=1", *_model(choice), required="ta-feng")


def _configs() -> Iterator[Case]:
    """Yield every model and data set, whose resolved settings are compared, with those that no record holds."""
    for choice in MODELS:
        yield Case(f"config/{choice}", ((f"model={choice}",),), output="config")
    for choice in ("sdp", "sdm", "sdmr"):
        yield Case(f"config/{choice}-released", ((f"model={choice}", "model.variant=released"),), output="config")
    for dataset in DATASETS:
        missing = {"csv": "path=x", "inter": "path=x", "ncf": "path=x", "netflix": "month=2005-12"}
        settings = (f"dataset.{missing[dataset]}",) if dataset in missing else ()
        yield Case(f"config/{dataset}", (("model=sdm", f"dataset={dataset}", *settings),), output="config")
