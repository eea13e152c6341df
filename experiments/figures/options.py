"""The options of `sdmr figure`.

All figures share some of them. Each figure has some of the others.
"""

from types import ModuleType
from typing import Annotated, Literal

from pydantic import Field

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import FileName, Names, Numbers, RunOptions, check_used
from sdmr.experiments.core.plan import check_overrides

SHARED = ("name", "output", "runs", "results", "plots", "overrides")  # options of every figure
LABELED = ("model.hops", "model.dim", "model.gmf.dim")  # settings that are options of the figures with hops
Text = Annotated[str, Field(strict=False)]  # a number, too


class FigureOptions(RunOptions):
    """Every option of every figure. Null stands for the figure's default."""

    name: Literal["figure5", "figure6", "figure7", "curves", "speed", "published"] = Field(description="the figure")
    output: FileName | None = Field(None, description="name of the files; null: the figure's name")
    dataset: str = Field("ml-100k", description="data set of a figure that shows one")
    datasets: Names | None = Field(None, description="data sets, one panel each; null: ml-100k")
    models: Names | None = Field(None, description="models; null: sdm in figure 6, else the paper's")
    seeds: int = Field(1, ge=1, description="seeds 0 to n − 1 of each model that draws random numbers")
    seed: int = Field(0, ge=0, description="seed of the one model that is shown")
    dim: int = Field(64, ge=1, description="embedding size d")
    dims: Numbers | None = Field(None, description="embedding sizes d; null: [8,16,32,64,128]")
    hops: Numbers | None = Field(None, description="numbers of hops; null: [1,2,3,4], in figure 7 [4]")
    lengths: Numbers | None = Field(None, description="numbers of context items s; null: that of the data set")
    user: Text | None = Field(None, description="raw id of a user")
    target: Text | None = Field(None, description="raw id or title of the target; without a user, of any user")
    settings: Literal["default", "tuned"] = Field("default", description="settings of the models")
    train: bool = Field(True, description="make the missing runs; false: draw the existing ones")
    publish: bool = Field(False, description="copy this machine's records into the published ones")
    plots: str = Field("plots", description="folder of OUTPUT.png, OUTPUT.pdf and OUTPUT.csv")

    @property
    def file_name(self) -> str:
        """Return the name of the files, without the suffix."""
        return self.output or self.name

    @property
    def settings_note(self) -> str:
        """Describe how the runs differ from the default ones, for the line under the figure."""
        changes = ["tuned settings"] * (self.settings == "tuned") + self.overrides
        return f"; made with {', '.join(changes)}" if changes else ""


def check_options(options: FigureOptions, figure: ModuleType) -> None:
    """Raise UsageError for an option or an override that does not fit the figure.

    An override must not contradict the labels.
    """
    check_used(options, (*figure.OPTIONS, *SHARED), options.name)
    for override in options.overrides:
        key = override.partition("=")[0]
        if key in LABELED and "hops" in figure.OPTIONS:
            raise UsageError(f"{override} would make the figure's labels wrong; use the options of the figure instead")
        if key == "protocol.tie_policy":
            raise UsageError(f"{override}: figures count ties with their expected value")
    check_overrides(options.overrides)
