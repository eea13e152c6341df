"""Choose the settings of the next trial: a grid, or Optuna's tree-structured Parzen estimator (TPE)."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sdmr.experiments.tuning.space import Axes, Settings, is_ordered
from sdmr.experiments.tuning.trial import Trial

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "running": TrialState.RUNNING}
ATTEMPTS = 100  # questions to Optuna, before the next untried settings of the grid are taken

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Sampler:
    """The order in which settings are tried.

    Args:
        axes: The values of each setting. Numbers are known to Optuna by their positions, so that neighbors are near.
        default: The default settings. An axis that they are not on has its first value in their place.
        first: Settings that are tried next.
        seed: Of Optuna's sampler, and of the order of a grid.
        is_grid: Whether every combination is tried, in random order. So a search that a cap ends has tried some of
            all parts of the grid.
    """

    def __init__(
        self, axes: Axes, default: Settings, first: Sequence[Settings], seed: int, is_grid: bool = False
    ) -> None:
        self.axes, self.seed, self.is_grid = axes, seed, is_grid
        self.default = {axis: default.get(axis, values[0]) for axis, values in axes.items()}
        self.first = [self.default, *(self.default | settings for settings in first)]
        self.distributions: dict[str, BaseDistribution] = {
            axis: IntDistribution(0, len(values) - 1)
            if is_ordered(values)
            else CategoricalDistribution(range(len(values)))
            for axis, values in axes.items()
        }

    def suggest(self, trials: Sequence[Trial]) -> Settings | None:
        """Return settings that no trial has, or None if there are none.

        The seed of Optuna's sampler depends on the number of trials. So the answer is a function of the trials, and
        two processes that ask one after the other use different seeds.
        """
        tried = [trial.settings for trial in trials]
        untried = [settings for settings in self.first if settings not in tried]
        if untried or self.is_grid:
            return next((settings for settings in untried or self.list_grid() if settings not in tried), None)
        seed = int(np.random.default_rng([self.seed, len(trials)]).integers(2**32))
        sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([self._freeze(trial) for trial in trials if trial.state in STATES])
        for _ in range(ATTEMPTS):
            positions = study.ask(self.distributions).params
            settings = {axis: values[positions[axis]] for axis, values in self.axes.items()}
            if settings not in tried:
                return settings
        return next((settings for settings in self.list_grid() if settings not in tried), None)

    def list_grid(self) -> list[Settings]:
        """Return every combination, in an order that the seed gives."""
        points = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        return [points[number] for number in np.random.default_rng(self.seed).permutation(len(points))]

    def _freeze(self, trial: Trial) -> FrozenTrial:
        """Return a trial as Optuna knows it: each value by its position on the axis."""
        return create_trial(
            state=STATES[trial.state],
            params={axis: self.axes[axis].index(value) for axis, value in trial.settings.items()},
            distributions={axis: self.distributions[axis] for axis in trial.settings},
            value=trial.score if trial.state == "complete" else None,
            intermediate_values={trial.epoch or 0: trial.score} if trial.state == "pruned" else {},
        )
