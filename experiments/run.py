"""Train and rank one model on one data set: `python -m experiments.run model=sdm dataset=ml-100k model.hops=3`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from experiments.configs import register
from experiments.execute import execute, make_run

register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    run = make_run(resolved, HydraConfig.get().runtime.choices["dataset"], Path(resolved["runs"]))
    record = execute(run, resolved["threads"], resolved["force"])
    side = "test" if "test" in record else "development"
    values = [f"{name} {record[side][name]['expected']:.3f}" for name in ("hit@10", "NDCG@10")]
    print(f"{record['model']} on {record['dataset']}, {side}: {', '.join(values)} ({run.folder}/record.json)")


if __name__ == "__main__":
    main()
