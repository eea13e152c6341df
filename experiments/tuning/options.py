"""The options of a search, and what they do not allow."""

from typing import Literal

from pydantic import Field

from sdmr.experiments.core.cluster import ClusterOptions
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import Names, RunOptions
from sdmr.experiments.core.plan import check_overrides
from sdmr.experiments.core.tuned import is_user_data

TRIALS = 20  # of search=tpe


class SearchOptions(RunOptions, ClusterOptions):
    """The options of a search."""

    model: Names = Field(description="models to tune, one after the other")
    dataset: str = Field("ml-100k", description="data set")
    search: Literal["tpe", "grid"] = Field("tpe", description="Optuna's sampler, or every combination of the space")
    trials: int | None = Field(
        None, ge=1, description=f"trials of a model, pruned ones included; null: {TRIALS}, or the grid"
    )
    budget: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="CPU minutes of a model at most; null: those of conf/budgets.yaml",
    )
    prune: bool = Field(True, description="stop trials with a hopeless validation curve; false: continue stopped ones")


def check_options(options: SearchOptions) -> None:
    """Raise UsageError for overrides that a search does not allow."""
    check_overrides(options.overrides, fixed=("settings",))
    for override in options.overrides:
        key = override.partition("=")[0]
        if key == "test":
            raise UsageError(f"{override}: a search never ranks the test items")
        is_other_data = key.startswith("dataset.") and not is_user_data(options.dataset)
        if is_other_data or key.startswith("protocol.") or key == "split_seed":
            raise UsageError(
                f"{override}: tuned settings are for the default protocol, and for {options.dataset} as its name "
                "defines it; for others, search by `sdmr run -m test=false`"
            )
