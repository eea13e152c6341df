"""Rank without fresh contexts: `python -m tests.experiments.report.measure_older_contexts RUN`.

RUN is the folder of a run on histories with times in seconds. Each context keeps the items that are at least an hour
older than the target. Instances without any such item are left out. Both rankings are of the same fitted model.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sdmr.datasets.readers import bind_reader
from sdmr.experiments.core.record import load_record
from sdmr.experiments.core.run_files import RECORD
from sdmr.experiments.core.trained import load_trained
from sdmr.harness.evaluation import rank

HOUR = 3600


def main(folder: Path) -> None:
    recommender, task = load_trained(folder)
    data = bind_reader(load_record(folder / RECORD).config["dataset"])()
    times = pd.Series(data.times, index=[data.user_ids[data.users], data.item_ids[data.items]])
    user_ids, item_ids, test = task.training.user_ids, task.training.item_ids, task.test
    counts = []
    for n, (user, target) in enumerate(zip(test.users, test.targets, strict=True)):
        history, contexts = times[user_ids[user]], test.contexts
        items = contexts.items[contexts.start[n] : contexts.start[n] + contexts.count[n]]
        counts.append(int((history[item_ids[items]] <= history[item_ids[target]] - HOUR).sum()))
    count = np.array(counts)
    part = test.take(np.flatnonzero(count))
    older = replace(part, contexts=replace(part.contexts, position=count[count > 0], count=count[count > 0]))
    print(f"{len(part)} of {len(test)} test items have a context that is an hour older")
    for name, instances in {"contexts of all items": part, "contexts an hour older": older}.items():
        ranks = rank(recommender, instances)
        print(f"{name}: hit@10 {ranks.hit(10).mean():.3f}, NDCG@10 {ranks.ndcg(10).mean():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
