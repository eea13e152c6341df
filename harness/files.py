"""Write files atomically, and read them back."""

import hashlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import write_atomic

log = logging.getLogger(__name__)


def save_tensors(state: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values, for `torch.load`, then the sha256 of these bytes.

    The name of the folder is among the values: it is that of the run.
    """
    content = io.BytesIO()
    torch.save({**state, "folder": path.resolve().parent.name}, content)
    content.write(hashlib.sha256(content.getbuffer()).digest())
    write_atomic(path, content.getvalue())


def load_tensors(path: Path, device: torch.device | str) -> dict[str, Any]:
    """Read what `save_tensors` has written; raise DataError if it is damaged."""
    content = path.read_bytes()
    if hashlib.sha256(memoryview(content)[:-32]).digest() != content[-32:]:  # PyTorch checks no checksum
        raise DataError(f"{path} is damaged or of an older version: its content must be computed again")
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return state


def load_tensors_of(path: Path, device: torch.device | str, **identity: Any) -> dict[str, Any] | None:
    """Read tensors that were saved in this folder with the same identity.

    Returns None if there are none; what is damaged or belongs to another run is named in a warning.
    """
    if not path.exists():
        return None
    try:
        state = load_tensors(path, device)
    except DataError as error:
        log.warning("%s", error)
        return None
    identity["folder"] = path.resolve().parent.name
    if different := [name for name, value in identity.items() if state.get(name) != value]:
        log.warning("%s is of another run (other %s): its content is computed again", path, ", ".join(different))
        return None
    return state


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write compressed arrays, for `numpy.load`."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    write_atomic(path, content.getvalue())


def save_json(value: Any, path: Path) -> None:
    """Write a value as indented JSON; NaN and infinities, which JSON lacks, are errors."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
