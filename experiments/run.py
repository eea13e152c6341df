"""Train and rank one model on one data set: `python -m sdmr.experiments.run model=sdm dataset=ml-100k model.hops=3`.

A model of one's own: `python -m sdmr.experiments.run model._target_=my_package.MyModel model.width=3`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sdmr.datasets.errors import DataError
from sdmr.experiments.configs import with_own_classes
from sdmr.experiments.execute import execute, make_run, result_line, told_when_cut_off


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    told: tuple[type[Exception], ...] = (ValueError, OSError)  # in one line, as it says what was asked for in vain
    try:
        run = make_run(resolved, HydraConfig.get().runtime.choices["dataset"], Path(resolved["runs"]))
        told = (DataError,)  # another error may be a model's own
        record = execute(run, resolved["threads"], resolved["force"])
    except Exception as error:  # Hydra goes on with the other runs of a sweep, and tells of one that failed at the end
        if isinstance(error, told) and HydraConfig.get().mode == RunMode.RUN:
            sys.exit(str(error))
        print(f"FAILED {' '.join(HydraConfig.get().overrides.task)}: {type(error).__name__}: {error}", file=sys.stderr)
        raise
    print(result_line(record, run.folder, resolved["protocol"]["tie_policy"]))


if __name__ == "__main__":
    try:
        sys.argv[1:] = with_own_classes(sys.argv[1:])
    except (ValueError, ConfigCompositionException) as error:
        sys.exit(str(error))
    with told_when_cut_off():
        main()
