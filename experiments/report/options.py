"""The options of commands that show metrics."""

from typing import Literal

from pydantic import Field

from sdmr.experiments.core.options import CommandOptions, Names, Numbers, check_choices
from sdmr.experiments.report.averages import ALL
from sdmr.harness.metrics import METRIC_NAMES, list_metrics


class MetricOptions(CommandOptions):
    """The choice of metrics."""

    metrics: Names = Field(["hit", "NDCG"], description=f"metrics to show, of {', '.join(METRIC_NAMES)}")
    cutoffs: Numbers = Field([10], description="k of hit@k and NDCG@k; any k needs no new run")

    def list_columns(self) -> list[str]:
        """Return the metrics among the sampled candidates, then the same ones among all items.

        Raises UsageError for an unknown one.
        """
        check_choices("metrics", self.metrics, METRIC_NAMES)
        metrics = list(dict.fromkeys(list_metrics(self.metrics, self.cutoffs)))
        return [*metrics, *(metric + ALL for metric in metrics)]


class _RowOptions(CommandOptions):
    datasets: Names | None = Field(None, description="default: ml-100k for Table 3, ta-feng for Table 4")
    models: Names | None = Field(
        None, description="default: all; names, paper for the paper's rows, or classes such as package.Class"
    )
    seeds: int = Field(1, ge=1, description="seeds 0 to n − 1 of each model that draws random numbers")
    settings: Literal["default", "tuned"] = Field("default", description="settings of the models")


class AccuracyOptions(MetricOptions, _RowOptions):
    """The choice of cells of Table 3 or 4. The last base's options come first."""
