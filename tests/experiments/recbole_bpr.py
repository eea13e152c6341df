"""Train RecBole's BPR on an exported task, in RecBole's environment: `recbole_bpr.py DIR NAME EPOCHS`.

It writes DIR/RecBole-BPR.csv. RecBole 1.2.1 is older than NumPy 2 and PyTorch 2.6, hence the patches.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

for old, new in (("bool8", np.bool_), ("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
    setattr(np, old, new)

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.model.general_recommender import BPR  # noqa: E402
from recbole.trainer import Trainer  # noqa: E402
from recbole.utils import init_seed  # noqa: E402

folder, name, epochs = sys.argv[1:]
settings = {
    "data_path": folder,
    "benchmark_filename": ["train", "valid", "test"],
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"order": "RO", "group_by": "user", "mode": "full", "split": {"RS": [0.8, 0.1, 0.1]}},
    "metrics": ["NDCG"],
    "topk": [10],
    "valid_metric": "NDCG@10",
    "epochs": int(epochs),
    "stopping_step": 5,
    "seed": 0,
    "use_gpu": False,
    "show_progress": False,
    "checkpoint_dir": folder,
}
config = Config(model="BPR", dataset=name, config_dict=settings)
init_seed(config["seed"], config["reproducibility"])
dataset = create_dataset(config)
train, valid, _ = data_preparation(config, dataset)
model = BPR(config, train.dataset)
trainer = Trainer(config, model)
trainer.fit(train, valid, show_progress=False)
model.load_state_dict(torch.load(trainer.saved_model_file, weights_only=False)["state_dict"])
model.eval()

rows = []  # instance, user, candidate
for instance, line in enumerate(Path(f"{folder}/{name}/{name}.test.negative").read_text().splitlines()):
    pair, *others = line.split("\t")
    user, target = pair.strip("()").split(",")
    rows += [(instance, user, candidate) for candidate in (target, *others)]
table = pd.DataFrame(rows, columns=["instance", "user", "candidate"])
ids = {"user_id": table["user"], "item_id": table["candidate"]}
batch = {field: torch.from_numpy(dataset.token2id(field, names.to_numpy(object))) for field, names in ids.items()}
with torch.no_grad():
    table["score"] = model.predict(batch).numpy()
table[["instance", "candidate", "score"]].to_csv(f"{folder}/RecBole-BPR.csv", index=False)
