"""Damaged and unusual files are one line."""

import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.raw import open_raw
from sdmr.datasets.tabular import load_csv

CONTENT = b"user,item\n1,2\n3,4\n"


def make_zip(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_member_of_an_archive_is_chosen_by_its_name(tmp_path: Path) -> None:
    make_zip(tmp_path / "two.zip", one=b"1", two=CONTENT)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(CONTENT)
    with tarfile.open(tmp_path / "two.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "one", "one")
        archive.add(tmp_path / "two", "two")
    for name in ("two.zip", "two.tar.gz"):
        with open_raw(tmp_path / name, "two") as raw:
            assert raw.read() == CONTENT
        with pytest.raises(DataError, match="found 2; choose a member of: one, two"), open_raw(tmp_path / name):
            pass
        with pytest.raises(DataError, match="no member 'x'; expected one of: one, two"), open_raw(tmp_path / name, "x"):
            pass
    with pytest.raises(DataError, match="member=x has no effect"), open_raw(tmp_path / "one", "x"):
        pass


@pytest.mark.parametrize(
    ("suffix", "pack"), [("xz", lzma.compress), ("zst", pa.Codec("zstd").compress), ("gz", gzip.compress)]
)
def test_compressed_files_are_unpacked(suffix: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / f"mine.csv.{suffix}").write_bytes(pack(CONTENT))
    assert len(load_csv(str(tmp_path / f"mine.csv.{suffix}"))) == 2


@pytest.mark.parametrize(
    ("offset", "central_offset", "value", "message"), [(6, 8, 1, "is encrypted"), (8, 10, 97, "not supported")]
)
def test_an_encrypted_archive_or_an_unknown_compression_is_one_line(
    tmp_path: Path, offset: int, central_offset: int, value: int, message: str
) -> None:
    make_zip(tmp_path / "mine.zip", member=CONTENT)
    damaged = bytearray((tmp_path / "mine.zip").read_bytes())
    damaged[offset] = damaged[damaged.index(b"PK\x01\x02") + central_offset] = value
    (tmp_path / "mine.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=rf"mine\.zip cannot be read: .*{message}"):
        load_csv(str(tmp_path / "mine.zip"))


def test_a_truncated_archive_of_many_rows_is_one_line(tmp_path: Path) -> None:
    packed = gzip.compress(b"user,item\n" + b"".join(b"%d,%d\n" % (n * n, n) for n in range(100_000)))
    (tmp_path / "tall.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"tall\.csv\.gz cannot be read: [^\n]*$"):
        load_csv(str(tmp_path / "tall.csv.gz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,item\n" + "," * 1_000_000, "line 2: Expected 2 columns, got 1000001"),
        ("," * 1_000_000 + "\n", "line 1: found 1000001 columns, expected 2 to 10,000"),
        ("x" * 1_000_000 + "\n", "line 1: field larger than field limit"),
        ("user,item\n1,\x1b[31m,3\n", r"got 3: 1,\\x1b\[31m,3; expected 2 fields"),
        ("user\x1b[31m,thing\n1,2\n", r"found no column 'user', expected it among user\\x1b\[31m, thing"),
    ],
)
def test_a_message_is_short_and_shows_control_characters_as_escapes(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(DataError, match=message) as error:
        load_csv(str(tmp_path / "mine.csv"))
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()


def test_what_a_message_quotes_is_cut_and_escaped() -> None:
    assert quote("é\t\x07" + "y" * 100) == "é\\t\\x07" + "y" * 77 + "..."


def test_one_long_id_does_not_widen_the_others(tmp_path: Path) -> None:
    rows = "".join(f"u{row},{row % 7}\n" for row in range(1000))
    (tmp_path / "mine.csv").write_text("user,item\n" + "L" * 20_000 + ",1\n" + rows)
    assert load_csv(str(tmp_path / "mine.csv")).user_ids.nbytes < 100_000
