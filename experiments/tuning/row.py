"""A row whose settings are searched: what varies, and what is fixed."""

from contextlib import suppress
from copy import deepcopy
from functools import reduce
from itertools import product
from operator import getitem
from pathlib import Path

from sdmr.experiments.core.arguments import SHARED_SETTINGS, flatten
from sdmr.experiments.core.config import compose_config
from sdmr.experiments.core.datasets import list_datasets
from sdmr.experiments.core.errors import NotTunedError
from sdmr.experiments.core.registry import GRID
from sdmr.experiments.core.run import Run, compose_run, make_run
from sdmr.experiments.core.tuned import is_user_data, read_tuned
from sdmr.experiments.tuning.options import SearchOptions
from sdmr.experiments.tuning.space import Parts, Settings, Space, format_overrides, get_model_key, parse_override
from sdmr.harness.records import compute_run_key


class SearchedRow:
    """A model on a data set, whose settings are searched.

    `default` is its run without a varied setting, `axes` are the settings that vary, each with its values.
    Raises UsageError for options that fit no run.
    """

    def __init__(self, name: str, options: SearchOptions) -> None:
        self.name, self.options, self.space = name, options, Space.load(name)
        self.overrides = dict(map(parse_override, options.overrides))
        self.overridden = {*self.overrides, *map(get_model_key, self.overrides)}
        self.parts, self.fixed = Parts(), self.space.fixed
        self.default = self._compose_default()
        if self.space.parts:
            self.parts = self.space.read_parts(options.dataset, self.default.config["dataset"])
            self.fixed = self.space.fixed | self.parts.settings
            self.default = self._compose_default()
        left_out = set(self.overridden)
        if options.search == "grid":
            left_out.update(self.space.beyond_paper, self.space.readings)
        self.axes = self.space.select_axes(self.default.load_task().training.instances.has_baskets, left_out)
        self._check_last_values()

    @property
    def file_name(self) -> str:
        """Return the name of the list of trials. Searches with other fixed settings have lists of their own."""
        names = ("seed", *SHARED_SETTINGS)
        fixed = {k: v for k, v in self.overrides.items() if k.startswith(("model.", "dataset.")) or k in names}
        return f"{self.name}-{compute_run_key(fixed, '', '')}.csv" if fixed else f"{self.name}.csv"

    @property
    def shared_settings(self) -> Settings:
        """Return the overridden settings of the model, which all trials share."""
        settings = {key: value for key, value in self.overrides.items() if key.startswith("model.")}
        axes = {get_model_key(key): value for key, value in self.overrides.items()}
        return settings | {key: value for key, value in axes.items() if key in self.space.axes}

    def get_tuned_settings(self, settings: Settings) -> Settings:
        """Return the settings that make a trial's model, on any data and machine."""
        overrides = {k: v for k, v in self.overrides.items() if k.startswith("model.") or k in SHARED_SETTINGS}
        return self._drop_overridden(self.fixed | settings) | overrides

    def list_overrides(self, settings: Settings) -> tuple[str, ...]:
        """Return the command line of the run with these settings."""
        first = (f"model={self.space.model or self.name}", f"dataset={self.options.dataset}", "test=false")
        varied = format_overrides(self._drop_overridden(self.fixed | settings))
        return (*first, *varied, *self.options.overrides)

    def list_first_settings(self) -> list[Settings]:
        """Return tuned settings: of other data sets, and of this row inside the paper's grid."""
        name, dataset = self.name, self.options.dataset
        names = dict.fromkeys([name.removesuffix(GRID), name])
        rows = [row for row in product(list_datasets(), names) if row[0] != dataset and not is_user_data(row[0])]
        if name.endswith(GRID):
            rows.append((dataset, name))
        settings = []
        for row in rows:
            with suppress(NotTunedError):
                tuned = {get_model_key(key): value for key, value in flatten(read_tuned(*row)).items()}
                pairs = [(axis, values, tuned.get(get_model_key(axis))) for axis, values in self.axes.items()]
                settings.append({axis: values[values.index(one)] for axis, values, one in pairs if one in values})
        return settings

    def make_run(self, settings: Settings) -> Run:
        """Return the run of settings, as `compose_run` does, in less time."""
        config = deepcopy(self.default.config)
        for key, value in settings.items():
            *path, last = get_model_key(key).split(".")
            reduce(getitem, path, config)[last] = value
        return make_run(config, self.options.dataset, Path(self.options.runs))

    def _compose_default(self) -> Run:
        return compose_run(self.list_overrides({}), Path(self.options.runs))

    def _check_last_values(self) -> None:
        """Raise UsageError if the model refuses values of its space."""
        compose_config(self.list_overrides({axis: values[-1] for axis, values in self.axes.items()}))

    def _drop_overridden(self, settings: Settings) -> Settings:
        return {key: value for key, value in settings.items() if key not in self.overridden}
