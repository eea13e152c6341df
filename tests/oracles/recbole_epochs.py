"""Train a model of RecBole on an exported task, in RecBole's environment: `recbole_epochs.py DIR NAME MODEL THREADS`.

It prints the seconds of each of three epochs, as a list. Batches have 256 positives with four negatives each.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

for old, new in (("bool8", np.bool_), ("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
    setattr(np, old, new)  # RecBole 1.2.1 is older than NumPy 2

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import get_model, get_trainer, init_seed  # noqa: E402

folder, name, model_name, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
parts = [Path(folder, name, f"{name}.{part}.inter").read_text().splitlines() for part in ("train", "valid", "test")]
lines = [parts[0][0], *(line for part in parts for line in part[1:])]  # its sequential models split by themselves
Path(folder, name, f"{name}.inter").write_text("\n".join(lines) + "\n")
is_pointwise = model_name == "NeuMF"
settings = {
    "data_path": folder,
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "train_neg_sample_args": {"distribution": "uniform", "sample_num": 4, "dynamic": False, "alpha": 1.0},
    "train_batch_size": 256 * (5 if is_pointwise else 4),  # RecBole counts pairs
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
    "MAX_ITEM_LIST_LENGTH": 1,
    "seed": 0,
    "use_gpu": False,
    "show_progress": False,
    "checkpoint_dir": folder,
}
config = Config(model=model_name, dataset=name, config_dict=settings)
init_seed(config["seed"], config["reproducibility"])
train, _, _ = data_preparation(config, create_dataset(config))
model = get_model(config["model"])(config, train.dataset)
trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
seconds = []
for epoch in range(3):
    start = time.perf_counter()
    trainer._train_epoch(train, epoch)
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
