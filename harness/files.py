"""Write files atomically, and read them back."""

import io
import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic


def save_tensors(state: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values, for `torch.load`."""
    content = io.BytesIO()
    torch.save(state, content)
    write_atomic(path, content.getvalue())


def load_tensors(path: Path, device: torch.device | str) -> dict[str, Any]:
    """Read what `save_tensors` has written; raise DataError if it is damaged."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError, ValueError, LookupError) as error:
        raise DataError(f"{path} is damaged: delete it, and its content is computed again ({error!r})") from error


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write compressed arrays, for `numpy.load`."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def save_json(value: Any, path: Path) -> None:
    """Write a value as indented JSON; NaN and infinities, which JSON lacks, are errors."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
