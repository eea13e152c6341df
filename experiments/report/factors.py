"""The factors of the audit: the default protocol, and one other choice at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sdmr.experiments.core.plan import PlannedRun
from sdmr.experiments.core.registry import PAPER_MODELS
from sdmr.experiments.report.id_order import RULES
from sdmr.harness.metrics import TIE_POLICIES, TiePolicy

DATASET = "ml-100k"
ORDER_DATASET = "epinions"  # whose order is audited
ID_ORDER_MODEL = "sdmr.experiments.report.id_order.IdOrder"

# hit@10 and NDCG@10 of the authors' own program (d 64, 3 hops, s 5, λ 0.001) on such a split, at its best test epoch.
AUTHORS_RESULTS = {"sdp": "0.663 / 0.376", "sdm": "0.691 / 0.411"}
# The same beside what their README prints, on the test items that they released: those of Epinions are in id order.
AUTHORS_README = {
    **{(DATASET, model): f"{values} (their program, one run)" for model, values in AUTHORS_RESULTS.items()},
    ("ml-1m", "sdp"): "0.703 / 0.424",
    ("ml-1m", "sdm"): "0.833 / 0.611",
    ("epinions-id-order", "sdp"): "0.428 / 0.267",
    ("epinions-id-order", "sdm"): "0.590 / 0.388",
}
BOUNDS_AND_MEAN: tuple[TiePolicy, ...] = ("optimistic", "expected", "pessimistic")  # the tie policies of a history
SHOWN_EPOCHS = (1, 2, 4, 7, 10, 20)  # of SDMR
RELEASED_EPOCHS = {"sdp": 40, "sdm": 16}
RELEASED_PROTOCOL = ("protocol.select_on=test", "protocol.candidates=99", "protocol.tie_policy=argsort-target-last")
SHORT_TRAINING = ("epochs=8", "validation_instances=2000")  # a tenth of the validation items of Epinions


@dataclass(frozen=True)
class Variant:
    """A model, and the settings that make it another one."""

    model: str
    settings: tuple[str, ...] = ()


def make_released(model: str, epochs: Mapping[str, int]) -> Variant:
    """Return the released variant of a model, with epochs of `model` or its parts."""
    settings = (f"{path}.optimization.epochs={number}" for path, number in epochs.items())
    return Variant(f"{model}-released", tuple(settings))


RELEASED = {model: make_released(model, {"model": epochs}) for model, epochs in RELEASED_EPOCHS.items()}
RELEASED["sdmr"] = make_released("sdmr", {f"model.{part}": epochs for part, epochs in RELEASED_EPOCHS.items()})


@dataclass(frozen=True)
class Factor:
    """A row of the audit: its deviating choices, and how it reads ties."""

    name: str
    label: str
    overrides: tuple[str, ...] = ()
    variants: Mapping[str, Variant] = field(default_factory=dict)  # by model: what replaces it
    tie_policy: TiePolicy = "expected"
    further_policies: tuple[TiePolicy, ...] = ()  # by which rows below it read the same runs
    models: tuple[str, ...] = ()  # the only ones that it concerns; none: all

    def plan(self, model: str, dataset: str, seed: int, overrides: Sequence[str] = ()) -> PlannedRun:
        """Plan the run of a model under this factor, with further overrides."""
        variant = self.variants.get(model, Variant(model))
        settings = (*variant.settings, *self.overrides, *overrides)
        return PlannedRun(variant.model, dataset, seed, settings, group=self.name)

    @property
    def rows(self) -> dict[str, TiePolicy]:
        """Return the label of each row, and the tie policy that it reads."""
        label = self.label.partition(",")[0]
        return {self.label: self.tie_policy} | {f"{label}, tie_policy: {one}": one for one in self.further_policies}


SORTED: TiePolicy = "argsort-target-last"
TIE_BOUNDS: tuple[TiePolicy, ...] = ("optimistic", "pessimistic")
DEFAULT = Factor("default", "default protocol, the paper's equations", further_policies=TIE_BOUNDS)
ALL_RELEASED = Factor("released", "all released choices", RELEASED_PROTOCOL, RELEASED, SORTED, TIE_POLICIES)
NEXT_TO_LAST, DROPOUT_OFF = "protocol.validation_item=next-to-last", "model.dropout_at_test=off"
FACTORS = (
    DEFAULT,
    ALL_RELEASED,
    Factor(
        "released-next-to-last",
        "all released choices, validation_item: next-to-last",
        (*RELEASED_PROTOCOL, NEXT_TO_LAST),
        RELEASED,
        SORTED,
    ),
    Factor("argsort", f"tie_policy: {SORTED}", (f"protocol.tie_policy={SORTED}",), tie_policy=SORTED),
    Factor("select-on-test", "select_on: test", ("protocol.select_on=test",)),
    Factor("variant", "released models", variants=RELEASED, models=PAPER_MODELS),
    Factor("candidates-99", "candidates: 99", ("protocol.candidates=99",)),
    Factor("next-to-last", "validation_item: next-to-last", (NEXT_TO_LAST,)),
    Factor("random-test", "test_item: random", ("protocol.test_item=random",)),
    Factor("item-id", "equal_times: item-id", ("protocol.equal_times=item-id",)),
    Factor("dropout-off", "released models, dropout_at_test: off", (DROPOUT_OFF,), RELEASED, models=("sdm",)),
)
# Where SDMR's ties are shown. With baskets of 18 an epoch of SDM takes minutes, so that Ta-Feng gets few.
FEW_EPOCHS = {"model": 4, "model.sdp": 10, "model.sdm": 4}
TIES = {
    DATASET: ALL_RELEASED,
    "ta-feng": replace(ALL_RELEASED, variants={"sdmr": make_released("sdmr", FEW_EPOCHS)}),
}
ID_ORDER_RULES = {rule: Variant(ID_ORDER_MODEL, (f"model.first={rule}",)) for rule in RULES}
ORDERS = (
    Factor("file", "order: file", ("dataset.order=file",), ID_ORDER_RULES),
    Factor("random", "order: random", (), ID_ORDER_RULES),
)
# SASRec by the protocol of its papers, with the settings of Kang & McAuley (2018) for ML-1M, and what they print.
LITERATURE_DATASET = "ml-1m"
LITERATURE_SETTINGS = (
    *("model.loss=bce", "model.negative_sampling=position", "model.optimization.n_negatives=1"),
    *("model.dim=50", "model.context_length=200", "model.dropout=0.2"),
    *("model.optimization.learning_rate=0.001", "model.optimization.batch_size=128"),
)
LITERATURE = Factor(
    "sasrec-papers",
    "the protocol of the SASRec papers",
    (NEXT_TO_LAST, "protocol.test_context=with-validation"),
    {"sasrec": Variant("sasrec", LITERATURE_SETTINGS)},
)
LITERATURE_PRINTED = "0.8245 / 0.5905"
# The released models with the settings of the authors' README, on its data sets. SDM has 16 of its 50 epochs, as on
# ML-100k: one takes minutes.
README = replace(ALL_RELEASED, name="authors-readme", label="all released choices, settings of the authors' README")
README_HOPS = {"ml-1m": 3, "epinions-id-order": 4}
README_EPOCHS = {"sdp": 50, "sdm": RELEASED_EPOCHS["sdm"]}
DEFAULT_NAMES = tuple(factor.name for factor in (*FACTORS, *ORDERS, LITERATURE))
FACTOR_NAMES = (*DEFAULT_NAMES, README.name)


def choose_readme(dataset: str) -> Factor:
    """Return the factor with the README's settings for a data set."""
    settings = {"sdp": ("model.dim=128",), "sdm": ("model.dim=128", f"model.hops={README_HOPS[dataset]}")}
    released = {model: make_released(model, {"model": epochs}) for model, epochs in README_EPOCHS.items()}
    variants = {model: Variant(one.model, (*one.settings, *settings[model])) for model, one in released.items()}
    return replace(README, variants=variants)
