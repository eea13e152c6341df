"""The commands a person runs; tables, figures and statistics over records."""

import os
from importlib.util import find_spec
from pathlib import Path


def _check_rooms() -> None:
    """A foreign package of the name of one of ours (Hugging Face's `datasets`, say) would fail far from its cause."""
    root = Path(__file__).parent.parent
    for room in ("datasets", "harness", "models", "baselines"):
        spec = find_spec(room)
        place = None if spec is None or spec.origin is None else Path(spec.origin).parent
        if place != root / room:
            raise ImportError(
                f"the package {room!r} in this environment is {place}, not {root / room}: another distribution of "
                "that name hides this suite's. Run from the checkout's folder, or in an environment of its own."
            )


_check_rooms()
# PyTorch reads this when it first allocates: tables of hundreds of MB in large pages, where the system has them. A
# row-wise step then spends its time on rows, not on finding their pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
