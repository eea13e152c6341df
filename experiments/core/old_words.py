"""Words of the command line that were replaced: an error that one of them causes names the new word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sdmr.harness.schema1 import ARGUMENTS, PROTOCOL

# A key (or a part of a dotted one), or an option with its value -> what is written today. `docs/changes` repeats it.
OLD_WORDS = {
    **ARGUMENTS,
    **PROTOCOL,
    "variant": "model=sdp-released, model=sdm-released or model=sdmr-released",
    "select_on=dev": "select_on=validation",
    "settings=chosen": "settings=tuned",
    "settings=plain": "settings=default",
    "search=carried": "search=transferred",
    "factors=honest": "factors=default",
    "config": "settings",
    "jobs": "workers",
    "from": "source",
    "most": "top",
}


def explain_old_word(arguments: Sequence[str], message: str) -> str:
    """Return a line that names the new word, if an old one among the arguments caused the message; else ''.

    Old words are looked for after an error only: a user's class may have arguments of these names.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        parts = key.split(".")
        for old, new in OLD_WORDS.items():
            word, has_value, old_value = old.partition("=")
            is_used = word == parts[-1] and old_value in value.strip("[]").split(",") if has_value else word in parts
            if is_used and re.search(rf"\b{old_value or word}\b", message):
                return f"{old} is now {new}" if has_value else f"{argument}: {old} is now {new}"
    return ""
