"""Raw ids: what they are as text or numbers, sorted and distinct."""

import json
import logging
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdmr.datasets.errors import DataError

log = logging.getLogger(__name__)

RawArray = NDArray[Any]  # integers or strings, as in a raw file
# What programs write for a missing value: pandas' words, and those of MySQL, Python and NumPy.
MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", r"\N", "NaT", "none"),
)
AROUND = " ()<>[]{}"  # a missing value, as in (null)
LIKE_MISSING = {word.strip(AROUND).casefold() for word in MISSING} | {"nil", "?", "unknown", "undefined"}


def to_text(value: object, name: str) -> str:
    """Return a value as text.

    Raises:
        DataError: It is bytes that are no text.
    """
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} {value!r:.80} is no text in UTF-8, expected text or numbers") from error


def count_suspicious(ids: RawArray, rows: NDArray[np.int64], name: str) -> Counter[str]:
    """Count distinct ids that may be other ids, and rows whose id looks missing.

    Warns of the latter.

    Args:
        ids: The distinct ids.
        rows: Index of each row's id.
        name: What the ids are of, such as user.
    """
    if ids.dtype.kind in "iuf":
        return Counter()
    texts = pd.Series(ids).astype(str)
    numbers = texts[texts.str.fullmatch(r"\d+\.0+")].str.replace(r"\.0+$", "", regex=True)
    looks_missing = texts.str.strip(AROUND).str.casefold().isin(LIKE_MISSING).to_numpy()
    if n_rows := int(looks_missing[rows].sum()):
        words = json.dumps(texts[looks_missing].str.slice(0, 80).tolist()[:5])
        message = "%s rows have a %s id that looks missing: %s; a file's setting na_values=%s counts them as missing"
        log.warning(message, f"{n_rows:,}", name, words, words)
    return Counter(
        ids_with_blanks_at_an_end=int((texts != texts.str.strip()).sum()),
        ids_equal_to_others_as_numbers=int(numbers.isin(ids).sum()),
        rows_with_an_id_that_looks_missing=n_rows,
    )


def encode_ids(raw: RawArray | pd.Categorical, name: str = "id") -> tuple[RawArray, NDArray[np.int64]]:
    """Return the sorted distinct ids, and the index of each row's id among them.

    Raises:
        ValueError: An id is missing, is bytes that are no text, or a floating-point number that is infinite, or so
            large that two ids may be one.
    """
    if isinstance(raw, pd.Categorical):
        numbers, used = pd.factorize(raw.codes)
        numbers = np.where(raw.codes < 0, -1, numbers)
        distinct = raw.categories.to_numpy()[used]
    else:
        values = np.asarray(raw)
        numbers, distinct = pd.factorize(values.astype(object) if values.dtype.kind == "S" else values)
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
        merged, texts = pd.factorize(np.array([to_text(one, name) for one in distinct], dtype=object))
        numbers, distinct = merged[numbers], np.asarray(texts, dtype=object)  # no fixed width: one id may be long
        # "007" and "7" are two ids: as numbers they would become one.
        if len(distinct) and pd.Series(distinct).str.fullmatch("0|[1-9][0-9]{0,17}").all():
            distinct = distinct.astype(np.int64)
    order = np.argsort(distinct, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return distinct[order], ranks[numbers]
