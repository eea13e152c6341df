"""What the audit compares: the honest protocol, and what departs from it, one choice at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ORDER = "epinions"  # the data set whose order is audited
RULE = "sdmr.experiments.id_order.IdOrder"
OWN = ("sdp", "sdm", "sdmr")

# What the authors' own program gave on such a split (d 64, 3 hops, s 5, λ 0.001), the best of so many epochs on test.
THEIRS = {"sdp": (0.663, 0.376), "sdm": (0.691, 0.411)}
RELEASED_EPOCHS = {"sdp": 40, "sdm": 16}
EPOCHS = (1, 2, 4, 7, 10, 20)  # of SDMR, that are shown


def released_sdmr(**epochs: int) -> tuple[str, ...]:
    """SDMR's overrides, with its parts trained for so many epochs."""
    return ("model.variant=released", *(f"model.{part}.optimization.epochs={n}" for part, n in epochs.items()))


RELEASED = {
    model: ("model.variant=released", f"model.optimization.epochs={epochs}")
    for model, epochs in RELEASED_EPOCHS.items()
} | {"sdmr": released_sdmr(**RELEASED_EPOCHS)}
AS_RANKED = ("protocol.select_on=test", "protocol.candidates=99", "protocol.tie_policy=argsort-target-last")
# Its tables are large beside a batch: Adam on the batch's rows, few epochs, and a tenth of the validation items.
SHORT = ("model.optimization.optimizer=rowwise", "epochs=8", "validation_instances=2000")


@dataclass(frozen=True)
class Factor:
    """A row: runs with these overrides, read in one way."""

    name: str
    label: str
    overrides: tuple[str, ...] = ()
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # further ones, of some models
    models: tuple[str, ...] = ()  # all that are asked for, if none are named
    reading: str = "expected"  # of ties


FACTORS = (
    Factor("honest", "honest protocol, the paper's equations"),
    Factor("released", "all of the released choices", AS_RANKED, RELEASED, reading="argsort-target-last"),
    Factor(
        "released-next-to-last",
        "all of the released choices, dev: next-to-last",
        (*AS_RANKED, "protocol.validation_item=next-to-last"),
        RELEASED,
        reading="argsort-target-last",
    ),
    Factor("argsort", "tie_policy: argsort-target-last", AS_RANKED[2:], reading="argsort-target-last"),
    Factor("all-items", "candidates: all", ("protocol.candidates=all",)),
    Factor("select-on-test", "select_on: test", ("protocol.select_on=test",)),
    Factor("variant", "variant: released", (), RELEASED, OWN),
    Factor("candidates-99", "candidates: 99", ("protocol.candidates=99",)),
    Factor("next-to-last", "dev: next-to-last", ("protocol.validation_item=next-to-last",)),
    Factor("random-test", "test: random", ("protocol.test_item=random",)),
    Factor("item-id", "equal_times: item-id", ("protocol.equal_times=item-id",)),
    Factor(
        "dropout-off",
        "variant: released, dropout_at_test: off",
        ("model.dropout_at_test=off", *RELEASED["sdm"]),
        {},
        ("sdm",),
    ),
)
READ = (  # rows that are other readings of a factor's runs, and follow it
    ("honest", "tie_policy: optimistic", "optimistic"),
    ("honest", "tie_policy: pessimistic", "pessimistic"),
    ("released", "all of the released choices, tie_policy: expected", "expected"),
    ("released", "all of the released choices, tie_policy: optimistic", "optimistic"),
    ("released", "all of the released choices, tie_policy: pessimistic", "pessimistic"),
)
# SDMR with all of the released choices where it is run for its ties alone: data set, table, overrides. With baskets of
# 18 an epoch of SDM takes minutes, so that it gets a few.
TIES = {
    "ml-100k": (3, RELEASED["sdmr"]),
    "ta-feng": (4, (*released_sdmr(sdp=10, sdm=4), "model.optimization.epochs=4")),
}
ORDERS = {
    "file": Factor("file", "order: file", ("dataset.order=file",)),
    "random": Factor("random", "order: random"),
}
