"""What the audit compares: the default protocol, and one other choice at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sdmr.experiments.core.plan import PlannedRun
from sdmr.experiments.report.id_order import RULES
from sdmr.harness.metrics import TIE_POLICIES, TiePolicy

DATASET = "ml-100k"
ORDER_DATASET = "epinions"  # whose order is audited
ID_ORDER_MODEL = "sdmr.experiments.report.id_order.IdOrder"
PAPER_MODELS = ("sdp", "sdm", "sdmr")

# hit@10 and NDCG@10 of the authors' own program (d 64, 3 hops, s 5, λ 0.001) on such a split, at its best test epoch.
AUTHORS_RESULTS = {"sdp": (0.663, 0.376), "sdm": (0.691, 0.411)}
SHOWN_EPOCHS = (1, 2, 4, 7, 10, 20)  # of SDMR
RELEASED_EPOCHS = {"sdp": 40, "sdm": 16}
RELEASED_PROTOCOL = ("protocol.select_on=test", "protocol.candidates=99", "protocol.tie_policy=argsort-target-last")
# Epinions' tables are large beside a batch: Adam on the batch's rows, few epochs, and a tenth of the validation items.
SHORT_TRAINING = ("model.optimization.optimizer=rowwise", "epochs=8", "validation_instances=2000")


@dataclass(frozen=True)
class Variant:
    """A model, and the settings that make it another one."""

    model: str
    settings: tuple[str, ...] = ()


def released(model: str, epochs: int | None = None, **part_epochs: int) -> Variant:
    """Return the released variant of one of the paper's models, with its epochs and those of its parts."""
    lengths = {"model": epochs} if epochs else {}
    lengths |= {f"model.{part}": number for part, number in part_epochs.items()}
    settings = (f"{path}.optimization.epochs={number}" for path, number in lengths.items())
    return Variant(f"{model}-released", tuple(settings))


RELEASED = {model: released(model, epochs) for model, epochs in RELEASED_EPOCHS.items()}
RELEASED["sdmr"] = released("sdmr", **RELEASED_EPOCHS)


@dataclass(frozen=True)
class Factor:
    """A row of the audit: the choices that its runs make in another way, and how it reads ties."""

    name: str
    label: str
    overrides: tuple[str, ...] = ()
    variants: Mapping[str, Variant] = field(default_factory=dict)  # of some models, in their stead
    models: tuple[str, ...] = ()  # the only ones that it concerns; none: all
    tie_policy: TiePolicy = "expected"
    further_policies: tuple[TiePolicy, ...] = ()  # by which rows below it read the same runs

    def plan(self, model: str, dataset: str, seed: int) -> PlannedRun:
        """Plan the run of a model under this factor."""
        variant = self.variants.get(model, Variant(model))
        return PlannedRun(variant.model, dataset, seed, (*variant.settings, *self.overrides), group=self.name)

    @property
    def rows(self) -> dict[str, TiePolicy]:
        """The label of each row of its runs, and the tie policy that the row reads."""
        label = self.label.partition(",")[0]
        return {self.label: self.tie_policy} | {f"{label}, tie_policy: {one}": one for one in self.further_policies}


DEFAULT = Factor("default", "default protocol, the paper's equations", further_policies=("optimistic", "pessimistic"))
ALL_RELEASED = Factor(
    "released",
    "all released choices",
    RELEASED_PROTOCOL,
    RELEASED,
    tie_policy="argsort-target-last",
    further_policies=TIE_POLICIES,
)
ALL_ITEMS = Factor("all-items", "candidates: all", ("protocol.candidates=all",))
FACTORS = (
    DEFAULT,
    ALL_RELEASED,
    Factor(
        "released-next-to-last",
        "all released choices, validation_item: next-to-last",
        (*RELEASED_PROTOCOL, "protocol.validation_item=next-to-last"),
        RELEASED,
        tie_policy="argsort-target-last",
    ),
    Factor("argsort", "tie_policy: argsort-target-last", RELEASED_PROTOCOL[2:], tie_policy="argsort-target-last"),
    ALL_ITEMS,
    Factor("select-on-test", "select_on: test", ("protocol.select_on=test",)),
    Factor("variant", "released models", (), RELEASED, PAPER_MODELS),
    Factor("candidates-99", "candidates: 99", ("protocol.candidates=99",)),
    Factor("next-to-last", "validation_item: next-to-last", ("protocol.validation_item=next-to-last",)),
    Factor("random-test", "test_item: random", ("protocol.test_item=random",)),
    Factor("item-id", "equal_times: item-id", ("protocol.equal_times=item-id",)),
    Factor(
        "dropout-off",
        "released models, dropout_at_test: off",
        ("model.dropout_at_test=off",),
        {"sdm": RELEASED["sdm"]},
        ("sdm",),
    ),
)
# Where SDMR's ties are shown. With baskets of 18 an epoch of SDM takes minutes, so that Ta-Feng gets few.
TIES = {
    DATASET: ALL_RELEASED,
    "ta-feng": replace(ALL_RELEASED, variants={"sdmr": released("sdmr", 4, sdp=10, sdm=4)}),
}
ID_ORDER_RULES = {rule: Variant(ID_ORDER_MODEL, (f"model.first={rule}",)) for rule in RULES}
ORDERS = (
    Factor("file", "order: file", ("dataset.order=file",), ID_ORDER_RULES),
    Factor("random", "order: random", (), ID_ORDER_RULES),
)
FACTOR_NAMES = tuple(factor.name for factor in (*FACTORS, *ORDERS))
