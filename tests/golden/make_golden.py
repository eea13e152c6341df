"""Write the golden files: `python -m tests.golden.make_golden`, from the checkout whose numbers must stay.

Those in git are of commit d2b9968, but for `validation_candidates.npz`: since then, validation candidates are drawn
without knowledge of the test items. Write a file again only if its numbers must change, which a change of names never
needs. They hold what any processor reproduces: integers exactly, parameters after two epochs to 1e-4.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.golden import subjects

HERE = Path(__file__).parent
REAL = ("ml-100k", "ta-feng")


def main() -> None:
    arrays = draw_interactions()
    tasks = {name: subjects.make_task(name, arrays) for name in subjects.TASKS}
    splits = {
        f"{name}: {key}": array for name, task in tasks.items() for key, array in subjects.list_numbers(task).items()
    }
    candidates = {name: task.training.validation.candidates for name, task in tasks.items()}
    _save("validation_candidates.npz", {name: _to_int16(array) for name, array in candidates.items()})
    ranks = {}
    for name in subjects.RANKED:
        for data in ("general", "baskets"):
            _check_no_near_ties(name, tasks[data])
            counts = subjects.compute_ranks(name, tasks[data])
            ranks |= {f"{name} on {data}: {key}": array for key, array in counts.items()}
    _save("splits.npz", {name: _to_int16(array) for name, array in (arrays | splits | ranks).items()})

    floats = {"slim on general": subjects.compute_slim_scores(tasks["general"]).astype(np.float32)}
    pairs = [*((name, "general") for name in subjects.TRAINED), *((name, "baskets") for name in subjects.BASKET_MODELS)]
    for name, data in pairs:
        parameters = subjects.train_parameters(name, tasks[data])
        floats |= {f"{name} on {data}: {number:02}": array for number, array in enumerate(parameters)}
    _save("parameters.npz", floats)

    real = {name: task for name in REAL if (task := subjects.load_real_task(name))}
    text = json.dumps({name: subjects.compute_digests(task) for name, task in real.items()}, indent=1)
    (HERE / "real.json").write_text(text + "\n")


def draw_interactions() -> dict[str, NDArray[np.int64]]:
    """Return interactions with preferences, tied times, users with too few items, and repeated basket items.

    Items come in four groups; each user prefers one of them.
    """
    rng = np.random.default_rng(1)
    weight = 1 / (1 + np.arange(48)) ** 0.5
    general, baskets = [], []
    for user in range(30):
        number = user + 1 if user < 3 else int(rng.integers(6, 20))
        preferred = weight * np.where(np.arange(48) % 4 == user % 4, 5, 1)
        items = rng.choice(48, number, replace=False, p=preferred / preferred.sum())
        general += [(user, item, position // 2) for position, item in enumerate(items)]
        for _ in range(int(rng.integers(1, 4))):
            items = rng.choice(48, int(rng.integers(1, 8)), replace=False, p=preferred / preferred.sum())
            number = baskets[-1][2] + 1 if baskets else 0
            baskets += [(user, item, number) for item in items]
    shuffled = np.array(general)[rng.permutation(len(general))]
    columns = {}
    for name, table in (("general", shuffled), ("baskets", np.array(baskets))):
        named = zip(subjects.COLUMNS[name == "baskets"], table.T, strict=True)
        columns |= {f"{name} {column}": values for column, values in named}
    return columns


def _check_no_near_ties(name: str, task: subjects.Task) -> None:
    """Raise ValueError unless scores are far apart, or equal on any processor: integers, or 0."""
    recommender = subjects.make_ranked(name)
    recommender.fit(task.training)
    scores = recommender.score(task.test.users, task.test.contexts.last_n(0), task.test.candidates)
    target = scores[np.arange(len(scores)), task.test.target_columns][:, None]
    apart = np.abs(scores - target) > 1e-6
    same = (scores == target) & ((scores == 0) | (scores == scores.round()))
    same[np.arange(len(scores)), task.test.target_columns] = True
    if not (apart | same).all():
        raise ValueError(f"{name}: scores are too close for every processor to rank them alike")


def _to_int16(array: NDArray[np.int64]) -> NDArray[np.int16]:
    small = array.astype(np.int16)
    assert np.array_equal(small, array)
    return small


def _save(name: str, arrays: dict[str, NDArray]) -> None:
    np.savez_compressed(HERE / name, **arrays)


if __name__ == "__main__":
    main()
