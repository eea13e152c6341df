"""Raw ids: what they are as text or numbers, sorted and distinct."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError

RawArray = NDArray[Any]  # integers or strings, as in a raw file


def decode(raw: Any) -> Any:
    """Return bytes as text, and other values as they are."""
    values = np.asarray(raw)
    return values.astype(str) if values.dtype.kind == "S" else raw


def count_suspicious(ids: RawArray) -> Counter[str]:
    """Count distinct ids that may be other ids, written in another way."""
    if ids.dtype.kind in "iuf":
        return Counter()
    texts = pd.Series(ids).astype(str)
    numbers = texts[texts.str.fullmatch(r"\d+\.0+")].str.replace(r"\.0+$", "", regex=True)
    return Counter(
        ids_with_blanks_at_an_end=int((texts != texts.str.strip()).sum()),
        ids_equal_to_others_as_numbers=int(numbers.isin(ids).sum()),
    )


def encode_ids(raw: RawArray | pd.Categorical, name: str = "id") -> tuple[RawArray, NDArray[np.int64]]:
    """Return the sorted distinct ids, and the index of each row's id among them.

    Raises:
        ValueError: An id is missing, or a floating-point number that is infinite, or so large that two ids may be one.
    """
    if isinstance(raw, pd.Categorical):
        numbers, used = pd.factorize(raw.codes)
        numbers = np.where(raw.codes < 0, -1, numbers)
        distinct = raw.categories.to_numpy()[used]
    else:
        numbers, distinct = pd.factorize(np.asarray(decode(raw)))
    if len(numbers) and numbers.min() < 0:
        raise ValueError(f"the id of row {numbers.argmin()} (from 0) is missing")
    distinct = np.asarray(distinct)
    if distinct.dtype.kind == "f":
        is_exact = np.abs(distinct) < 2 / np.finfo(distinct.dtype).eps
        if not is_exact.all():
            fault = f"{name} {distinct[~is_exact][0]} is a {distinct.dtype} number, which has lost digits of an id"
            raise DataError(f"{fault}: expected text or an integer type")
        if (distinct == np.round(distinct)).all():  # whole numbers beside missing values
            distinct = distinct.astype(np.int64)
    if distinct.dtype.kind not in "iu":
        merged, texts = pd.factorize(
            np.array([one.decode() if isinstance(one, bytes) else str(one) for one in distinct], dtype=object)
        )
        numbers, distinct = merged[numbers], np.asarray(texts, dtype=object)  # no fixed width: one id may be long
        # "007" and "7" are two ids: as numbers they would become one.
        if len(distinct) and pd.Series(distinct).str.fullmatch("0|[1-9][0-9]{0,17}").all():
            distinct = distinct.astype(np.int64)
    order = np.argsort(distinct, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return distinct[order], ranks[numbers]
