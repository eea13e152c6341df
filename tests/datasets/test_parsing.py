import bz2
import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from sdmr.datasets import parsing
from sdmr.datasets.errors import DataError
from sdmr.datasets.parsing import (
    Layout,
    check_no_duplicates,
    check_totals,
    check_values,
    drop_duplicates,
    read_columns,
)
from sdmr.datasets.raw import open_raw
from sdmr.datasets.reads import track_reads

RATINGS = Layout({"user": int, "item": int, "rating": float})
QUOTED = Layout({"user": str, "price": float}, separator=",", header=True, quoted=True)
SOUND = b"1\t10\t3.5\n2\t20\t4\n1\t30\t5\n"


def write_file(folder: Path, content: bytes, name: str = "raw.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_requested_columns_are_read_with_their_types(tmp_path: Path) -> None:
    table = read_columns(write_file(tmp_path, SOUND), RATINGS, ["item", "rating"])
    assert table.to_dict("list") == {"item": [10, 20, 30], "rating": [3.5, 4.0, 5.0]}
    assert table["item"].dtype == "int64"


def test_reading_in_chunks_gives_the_same_rows_and_the_same_error_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_columns(write_file(tmp_path, SOUND), RATINGS, ["user", "rating"])
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 24)
    pd.testing.assert_frame_equal(read_columns(write_file(tmp_path, SOUND), RATINGS, ["user", "rating"]), expected)
    with pytest.raises(DataError, match="line 5: Expected 3 columns, got 2"):
        read_columns(write_file(tmp_path, SOUND + b"1\t2\t3\n1\t2\n"), RATINGS, ["user"])


def test_separator_of_two_characters_is_read(tmp_path: Path) -> None:
    layout = Layout({"user": int, "item": int}, separator="::")
    assert read_columns(write_file(tmp_path, b"1::2\n3::4\n"), layout, ["user", "item"]).to_numpy().tolist() == [
        [1, 2],
        [3, 4],
    ]
    with pytest.raises(DataError, match="line 2: Expected 2 columns, got 1: 3;4; expected 2 fields separated by '::'"):
        read_columns(write_file(tmp_path, b"1::2\n3;4\n"), layout, ["user"])


def test_a_field_may_hold_a_part_of_the_separator(tmp_path: Path) -> None:
    layout = Layout({"item": int, "title": str}, separator="::", encoding="iso-8859-1")
    path = write_file(tmp_path, "1::Star Wars: Épisode V\n".encode("iso-8859-1"))
    assert read_columns(path, layout).to_numpy().tolist() == [[1, "Star Wars: Épisode V"]]


def test_byte_order_mark_header_and_quotes_are_removed(tmp_path: Path) -> None:
    path = write_file(tmp_path, b'\xef\xbb\xbf"USER","PRICE"\r\n"007","1.5"\r\n"a,b","2"\r\n')
    assert read_columns(path, QUOTED, ["user", "price"]).to_numpy().tolist() == [["007", 1.5], ["a,b", 2.0]]


def test_words_such_as_NA_are_ids_not_missing_values(tmp_path: Path) -> None:
    path = write_file(tmp_path, b"user,price\nNA,1\nnull,2\n")
    assert read_columns(path, QUOTED, ["user"])["user"].tolist() == ["NA", "null"]


def test_compressed_files_are_read_as_their_content(tmp_path: Path) -> None:
    (tmp_path / "raw.gz").write_bytes(gzip.compress(SOUND))
    (tmp_path / "raw.bz2").write_bytes(bz2.compress(SOUND))
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("inside.txt", SOUND)
    for name in ("raw.gz", "raw.bz2", "raw.zip"):
        with open_raw(tmp_path / name) as content:
            assert content.read() == SOUND
        assert len(read_columns(tmp_path / name, RATINGS, ["user"])) == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"2\t20", r"line 2: Expected 3 columns, got 2: 2\\t20; expected 3 fields"),
        (b"2\t20\t4\t9", "line 2: Expected 3 columns, got 4"),
        (b"", "column user: line 2: no value"),
        (b"2\tx\t4", r"column item: line 2: .* invalid value 'x'; expected .* item \(int\)"),
        (b"2\t2.5\t4", "column item: line 2: .* invalid value '2.5'"),
        (b"2\t\t4", "column item: line 2: no value"),
        (b"2\t20\tfour", r"column rating: line 2: .* invalid value 'four'; expected .* rating \(float\)"),
        (b"99999999999999999999\t20\t4", "column user: line 2: .* invalid value '9+'"),
        (b"2\t20\t\xff", "column rating: line 2: .* invalid value"),
    ],
)
def test_error_names_the_wrong_line_and_its_fault(tmp_path: Path, line: bytes, message: str) -> None:
    path = write_file(tmp_path, b"1\t10\t3.5\n" + line + b"\n1\t30\t5\n")
    with pytest.raises(DataError, match=f"raw.txt: .*{message}"):
        read_columns(path, RATINGS, ["user"])


@pytest.mark.parametrize(("line", "number"), [(b"1\t2\t3\t4\n", 4), (b"1\t2\n", 2)])
def test_error_names_a_wrong_first_line(tmp_path: Path, line: bytes, number: int) -> None:
    for content in (line + SOUND, line * 3):
        with pytest.raises(DataError, match=f"line 1: Expected 3 columns, got {number}"):
            read_columns(write_file(tmp_path, content), RATINGS, ["user"])


def test_error_names_an_empty_text_field(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column user: line 3: no value"):
        read_columns(write_file(tmp_path, b'user,price\n"a",1\n"",2\n'), QUOTED, ["user"])


def test_an_unclosed_quote_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw.txt: .*line 3: .{,300} expected 2 fields"):
        read_columns(write_file(tmp_path, b'user,price\n"a",1\n"b,2\n' + b"c,3\n" * 50_000), QUOTED, ["user"])


@pytest.mark.parametrize(("layout", "content"), [(RATINGS, b""), (QUOTED, b""), (QUOTED, b"user,price\n")])
def test_an_empty_file_is_an_error(tmp_path: Path, layout: Layout, content: bytes) -> None:
    with pytest.raises(
        DataError, match=r"raw.txt: the file (is empty|has no row below its header); expected \d fields"
    ):
        read_columns(write_file(tmp_path, content), layout, ["user"])


@pytest.mark.parametrize("name", ["raw.gz", "raw.bz2", "raw.zip"])
@pytest.mark.parametrize("damage", ["truncated", "not an archive"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, name: str, damage: str) -> None:
    content = SOUND * 1000
    packed = gzip.compress(content) if name == "raw.gz" else bz2.compress(content)
    if name == "raw.zip":
        with zipfile.ZipFile(tmp_path / "complete.zip", "w") as archive:
            archive.writestr("inside.txt", content)
        packed = (tmp_path / "complete.zip").read_bytes()
    path = write_file(tmp_path, packed[: len(packed) // 2] if damage == "truncated" else b"no archive", name)
    with pytest.raises(DataError, match=f"{name} cannot be read"):
        read_columns(path, RATINGS, ["user"])


def test_an_archive_of_two_files_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        archive.writestr("one", SOUND)
        archive.writestr("two", SOUND)
    with pytest.raises(DataError, match="expected an archive of one file, found 2"):
        read_columns(tmp_path / "raw.zip", RATINGS, ["user"])


def test_error_names_the_first_value_that_is_not_valid() -> None:
    ages = pd.Series([3, -1, -2], name="age")
    check_values(Path("f.csv"), ages, ages < 9, "a positive number")
    with pytest.raises(DataError, match=r"f.csv, line 3: age is .*-1.*, expected a positive number"):
        check_values(Path("f.csv"), ages, ages > 0, "a positive number", first_line=2)


def test_packed_files_of_several_parts_are_read_whole(tmp_path: Path) -> None:
    for name, pack in (("raw.gz", gzip.compress), ("raw.bz2", bz2.compress)):
        path = write_file(tmp_path, pack(SOUND) + pack(SOUND), name)
        assert len(read_columns(path, RATINGS)) == 6


def test_duplicate_error_names_both_lines() -> None:
    table = pd.DataFrame({"user": [1, 1, 2, 1], "item": [5, 6, 5, 6]})
    with pytest.raises(DataError, match=r"f.csv, line 5: user 1, item 6 is already in line 3, expected no dup"):
        check_no_duplicates(Path("f.csv"), table, ["user", "item"], first_line=2)
    check_no_duplicates(Path("f.csv"), table[:3], ["user", "item"])


def test_dropped_duplicates_are_counted_in_the_attributes() -> None:
    table = pd.DataFrame({"user": [1, 1, 2, 1], "item": [5, 6, 5, 6], "time": [1, 2, 3, 4]})
    distinct = drop_duplicates(table, ["user", "item"])
    assert distinct["time"].tolist() == [1, 2, 3]
    assert distinct.attrs == {"dropped": {"duplicate_rows": 1}}


def test_wrong_totals_are_an_error() -> None:
    table = pd.DataFrame({"user": [1, 1, 2], "item": [5, 6, 5]})
    check_totals(Path("f.csv"), table, (2, 2, 3))
    with pytest.raises(DataError, match="found 2 users, 2 items and 3 rows, expected 2 users, 2 items and 1,000 rows"):
        check_totals(Path("f.csv"), table, (2, 2, 1000))


def test_only_reads_within_the_context_are_tracked(tmp_path: Path) -> None:
    one, two = write_file(tmp_path, SOUND, "one"), write_file(tmp_path, SOUND, "two")
    with track_reads() as files:
        read_columns(one, RATINGS, ["user"])
        read_columns(one, RATINGS, ["user"])
    read_columns(two, RATINGS, ["user"])
    assert files == {one}


def test_error_names_the_line_of_a_missing_value_in_a_later_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 8)
    path = write_file(tmp_path, b"1\t10\n2\t20\n3\t30\n4\t\n5\t50\n")
    with pytest.raises(DataError, match="column item: line 4: no value"):
        read_columns(path, Layout({"user": int, "item": int}))
