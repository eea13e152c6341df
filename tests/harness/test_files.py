"""Write files atomically, and read them back."""

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from sdmr.harness.files import save_arrays, save_json


def test_json_is_read_back(tmp_path: Path) -> None:
    value = {"λ": 0.001, "nested": [1, None, {"name": "µ – ü"}], "tiny": 1e-300}
    save_json(value, tmp_path / "new folder" / "a.json")
    text = (tmp_path / "new folder" / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "λ" in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_nan_and_the_old_file_stays(value: float, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    save_json({"loss": 1.0}, path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json({"loss": 1.0, "deep": [{"worse": value}]}, path)
    assert json.loads(path.read_text()) == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "record.json"
    save_json({"loss": 1.0}, path)

    def fail(descriptor: int) -> None:
        os.truncate(descriptor, 3)
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            save_json({"loss": 2.0}, path)
    assert json.loads(path.read_text()) == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_are_read_back(tmp_path: Path) -> None:
    arrays = {"users": np.arange(5), "scores": np.linspace(0, 1, 6).reshape(2, 3)}
    save_arrays(tmp_path / "ranks.npz", **arrays)
    with np.load(tmp_path / "ranks.npz") as saved:
        assert set(saved.files) == set(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(saved[name], values)
            assert saved[name].dtype == values.dtype
