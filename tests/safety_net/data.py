"""Write tiny data sets for the cases, the same on every machine."""

import os
from pathlib import Path

import numpy as np

REAL = {  # a data set whose raw file a case reads -> its possible paths in a data folder
    "ml-100k": ("ml-100k/u.data",),
    "ta-feng": ("ta-feng/ta_feng.csv.zip", "ta-feng/ta_feng_all_months_merged.csv"),
}


def write_datasets(folder: Path) -> None:
    """Write every synthetic data set into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    general = _make_histories(np.random.default_rng(7))
    _write_csv(folder / "general.csv", "user,item,time", general)
    (folder / "general.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\n" + "".join("\t".join(map(str, row)) + "\n" for row in general)
    )
    _write_csv(folder / "baskets.csv", "user,basket,item", _make_baskets(np.random.default_rng(8)))
    _write_ncf(folder, general, np.random.default_rng(9))


def find_real_folder(name: str) -> Path | None:
    """Return the folder that holds a real data set: SDMR_DATA or the cache. None if neither does."""
    cache = Path(os.environ.get("SDMR_CACHE") or Path.home() / ".cache" / "sdmr-benchmark") / "raw"
    folders = [Path(os.environ["SDMR_DATA"]), cache] if os.environ.get("SDMR_DATA") else [cache]
    matches = (folder for folder in folders for file in REAL[name] if (folder / file).is_file())
    return next((folder.resolve() for folder in matches), None)


def _make_histories(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return 60 users with 1 to 25 of 160 items, with popular and preferred items more often, and tied times."""
    rows = []
    weight = 1 / (1 + np.arange(160)) ** 0.5
    for user in range(60):
        count = (1, 2, 3)[user] if user < 3 else int(rng.integers(8, 26))
        preferred = weight * np.where(np.arange(160) % 4 == user % 4, 4, 1)
        items = rng.choice(160, count, replace=False, p=preferred / preferred.sum())
        rows += [(user, int(item), position // 3) for position, item in enumerate(items)]
    return [rows[n] for n in rng.permutation(len(rows))]


def _make_baskets(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Return 40 users with 1 to 4 baskets of 1 to 8 of 160 items, some of which repeat in a later basket."""
    rows, weight = [], 1 / (1 + np.arange(160)) ** 0.7
    for user in range(40):
        for basket in range(int(rng.integers(1, 5))):
            items = rng.choice(160, int(rng.integers(1, 9)), replace=False, p=weight / weight.sum())
            rows += [(user, basket, int(item)) for item in items]
    return rows


def _write_ncf(folder: Path, histories: list[tuple[int, int, int]], rng: np.random.Generator) -> None:
    """Write the layout of He et al.: each user's last row is the test item, ranked among 20 others."""
    train, test, negatives = [], [], []
    for user in range(3, 60):
        *earlier, last = sorted((row for row in histories if row[0] == user), key=lambda row: row[2])
        seen = {item for _, item, _ in (*earlier, last)}
        others = rng.choice([item for item in range(160) if item not in seen], 20, replace=False)
        train += [f"{user}\t{item}\t1\t{time}\n" for _, item, time in earlier]
        test.append(f"{user}\t{last[1]}\t1\t{last[2]}\n")
        negatives.append("\t".join([f"({user},{last[1]})", *map(str, others)]) + "\n")
    for name, lines in (("train.rating", train), ("test.rating", test), ("test.negative", negatives)):
        (folder / f"layout.{name}").write_text("".join(lines))


def _write_csv(path: Path, header: str, rows: list[tuple[int, int, int]]) -> None:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
