"""The commands a person runs; tables, figures and statistics over records."""

import os
import sys
from pathlib import Path


def _move_checkout_last() -> None:
    """Put the checkout behind everything else on the import path.

    `python -m` puts the current folder first. Where that is the checkout, its folders `datasets`, `models` … would
    hide packages of these names, such as Hugging Face's `datasets`.
    """
    checkout = Path(__file__).resolve().parent.parent
    others = [entry for entry in sys.path if Path(entry).resolve() != checkout]
    if len(others) < len(sys.path):
        sys.path[:] = [*others, str(checkout)]


_move_checkout_last()
# PyTorch reads this when it first allocates: tables of hundreds of MB in large pages, where the system has them. A step
# then spends its time on rows, not on finding their pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# OpenMP reads this when PyTorch is imported. A thread that waits sleeps: on a busy machine, threads that spin take the
# time that the others need, and an epoch takes several times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
