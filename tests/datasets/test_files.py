import hashlib
import os
from pathlib import Path

import pytest

from sdmr.datasets.files import compute_sha256, write_atomic


def test_checksum_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, b"content")
    assert compute_sha256(path) == hashlib.sha256(b"content").hexdigest()


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
