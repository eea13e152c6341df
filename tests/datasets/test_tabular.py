import gzip
import os
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sdmr.datasets import parsing
from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import Interactions
from sdmr.datasets.tabular import load_csv, load_frame, load_inter
from sdmr.datasets.times import find_unit


def write_file(folder: Path, content: str, name: str = "mine.csv") -> str:
    (folder / name).write_text(content)
    return str(folder / name)


def get_rows(data: Interactions) -> list[tuple[object, object]]:
    return list(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def test_columns_are_selected_by_name(tmp_path: Path) -> None:
    path = write_file(tmp_path, "when;what;who\n3;apple;b\n1;pear;a\n3;apple;a\n")
    data = load_csv(path, user="who", item="what", time="when", separator=";")
    assert get_rows(data) == [("b", "apple"), ("a", "pear"), ("a", "apple")]
    assert data.times is not None
    assert data.times.tolist() == [3, 1, 3]
    assert data.baskets is None
    assert load_csv(path, user="who", item="what", separator=";").times is None


@pytest.mark.parametrize(
    "times",
    [
        ["2", "10", "2", "-1"],
        ["0.25", "0.5", "0.25", "0.1"],
        ["2019-05-13", "2020-01-01", "2019-05-13", "1999-12-31"],
        ["2019-05-13T10:00:00", "2019-05-13T10:00:01", "2019-05-13T10:00:00", "2019-05-13"],
    ],
)
def test_times_are_numbers_or_dates_and_keep_their_order_and_ties(tmp_path: Path, times: list[str]) -> None:
    path = write_file(tmp_path, "user,item,t\n" + "".join(f"1,{row},{time}\n" for row, time in enumerate(times)))
    data = load_csv(path, time="t")
    assert data.times is not None
    assert np.unique(data.times, return_inverse=True)[1].tolist() == [1, 2, 1, 0]


def test_error_names_the_line_of_a_wrong_time(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,t\n1,1,2019-05-13\n1,2,yesterday\n")
    with pytest.raises(DataError, match=r"line 3: time is 'yesterday', expected numbers or ISO 8601 dates"):
        load_csv(path, time="t")


def test_an_empty_separator_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"separator=.* expected characters"):
        load_csv(write_file(tmp_path, "user,item\n1,1\n"), separator="")


def test_an_escaped_tab_is_a_separator(tmp_path: Path) -> None:
    assert get_rows(load_csv(write_file(tmp_path, "user\titem\n1,5\t2\n"), separator=r"\t")) == [("1,5", 2)]


def test_error_names_the_line_of_invalid_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"user,item,note\n" + b"".join(b"%d,1,\n" % n for n in range(50)) + b"Ren\xe9,2,\n")
    with pytest.raises(DataError, match=r"mine\.csv: column user: line 52: .* invalid UTF8 data"):
        load_csv(str(path))
    path.write_text("user,item\nRené,2\nこ,3\n", encoding="utf-8")
    assert get_rows(load_csv(str(path))) == [("René", 2), ("こ", 3)]


def test_error_names_a_truncated_archive(tmp_path: Path) -> None:
    packed = gzip.compress(b"user,item,note\n" + b"".join(b"%d,%d,\n" % (n * n, n) for n in range(1000)))
    for length in (5, 12, len(packed) // 2):
        (tmp_path / "mine.csv.gz").write_bytes(packed[:length])
        with pytest.raises(DataError, match=r"mine\.csv\.gz"):
            load_csv(str(tmp_path / "mine.csv.gz"))
        with pytest.raises(DataError, match=r"mine\.csv\.gz"):  # the last column is none of those that are read
            load_csv(str(tmp_path / "mine.csv.gz"), user="item", item="user")


def test_equal_basket_names_of_two_users_are_two_baskets(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,day\n1,1,mon\n2,1,mon\n1,2,tue\n1,1,tue\n1,1,tue\n")
    data = load_csv(path, basket="day")
    assert get_rows(data) == [(1, 1), (2, 1), (1, 2), (1, 1)]  # the second of two equal items in one basket is dropped
    assert data.baskets is not None
    assert data.baskets.tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"time": "day", "basket": "day"}, "time='day' has no effect: within basket='day'"),
        ({"user": "item"}, "item='item' is also the column of users or baskets, expected another one"),
        ({"iterative": True}, "iterative=true has no effect"),
        ({"min_count": -5}, "min_count must be ≥ 1, not -5"),
        ({"min_count": True}, "min_count must be ≥ 1, not True"),
        ({"min_count": 2.5}, "min_count must be ≥ 1, not 2.5"),
        ({"rating": "day", "min_rating": float("nan")}, "min_rating must be .*, not nan"),
        ({"rating": "day", "min_rating": "4"}, "min_rating must be .*, not '4'"),
        ({"filter": "day!=1 and day!=2"}, "expected one comparison"),
        ({"filter": "day!=7"}, "no row has '7', expected a value such as 2, 1"),
        ({"filter": "day=='x'"}, "no row has 'x', expected a value such as 2, 1"),
    ],
)
def test_settings_without_effect_and_of_other_types_are_refused(
    tmp_path: Path, settings: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        load_csv(write_file(tmp_path, "user,item,day\n1,1,2\n1,2,1\n1,3,2\n"), **settings)


def test_a_filter_may_have_its_value_in_quotes(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,event\n1,1,view\n1,2,buy\n")
    assert get_rows(load_csv(path, filter="event!='view'")) == [(1, 2)]


def test_fractions_of_seconds_in_utc_are_times(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,t\n1,1,2017-10-30 21:38:53.500000 UTC\n1,2,2017-10-30 21:38:53.000000 UTC\n")
    times = load_csv(path, time="t").times
    assert times is not None
    assert np.diff(times).tolist() == [-500_000]


def test_duplicate_pairs_are_dropped_and_counted(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n1,1\n1,2\n1,1\n1,1\n")
    data = load_csv(path)
    assert get_rows(data) == [(1, 1), (1, 2)]
    assert data.dropped == {"duplicate_rows": 2}


def test_file_order_with_a_time_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("user,item,time\n1,2,3\n")
    with pytest.raises(ValueError, match=r"order=file has no effect: time='time' and basket=None set the order"):
        load_csv(str(path), time="time", order="file")


def test_file_order_with_a_basket_is_an_error_since_baskets_keep_it(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,day\n1,3,mon\n1,1,mon\n1,2,mon\n")
    assert get_rows(load_csv(path, basket="day")) == [(1, 3), (1, 1), (1, 2)]
    with pytest.raises(ValueError, match=r"order=file has no effect: time=None and basket='day' set the order"):
        load_csv(path, basket="day", order="file")


def test_order_and_min_count_are_applied(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n1,1\n1,2\n2,1\n2,2\n3,1\n")
    data = load_csv(path, order="file", min_count=2)
    assert get_rows(data) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert data.times is not None
    assert data.times.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user,thing\n1,2\n", "line 1: found no column 'item', expected it among user, thing"),
        ("user,user\n1,2\n", r"line 1: found no column 'user', expected it among user \(0\), user \(1\)"),
        ("", "the file is empty, expected 2 columns or more"),
        ("user,item\n", "the file has no row below its header; expected 2 fields"),
        ("# by me\nuser,item\n1,2\n", "line 1 looks like a comment: # by me; remove it$"),
        ("# by me\n# 1\n1,2\n", "line 1 looks like a comment: # by me; remove it$"),
        ("# by, me\nuser,item\n1,2\n", "found no column 'user', .*; if the line is a comment, remove it$"),
        ("user,item\r1,2\r", r"line 1: a carriage return, expected lines that end in \\n or"),
        ("user,item,note\n1,2,x\n3,4\n", "line 3: Expected 3 columns, got 2"),
        ("user,item,note\n1,2,x\n3,4,\n5,,x\n", r"line 4: item is missing, expected an id \(missing_ids"),
        ("user,item\n1,2\n3,4,5\n", "line 3: Expected 2 columns, got 3"),
    ],
)
def test_error_names_file_line_and_fault(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=f"mine.csv.*{message}"):
        load_csv(write_file(tmp_path, content))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent.csv cannot be read"):
        load_csv(str(tmp_path / "absent.csv"))


def test_unused_columns_may_be_empty(tmp_path: Path) -> None:
    assert get_rows(load_csv(write_file(tmp_path, "note,user,item,end\n,1,2,\nx,3,4,y\n"))) == [(1, 2), (3, 4)]


def test_recbole_file_is_read_with_and_without_timestamps(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\trating:float"
    path = write_file(tmp_path, f"{header}\ttimestamp:float\n1\t7\t3\t20.5\n1\t8\t3\t10.5\n", "a.inter")
    data = load_inter(path)
    assert get_rows(data) == [(1, 7), (1, 8)]
    assert data.times is not None
    assert data.times.tolist() == [1, 0]
    assert load_inter(write_file(tmp_path, f"{header}\n1\t7\t3\n", "b.inter")).times is None
    with pytest.raises(DataError, match="no column 'item_id:token'"):
        load_inter(write_file(tmp_path, "user_id:token\tartist_id:token\n1\t7\n", "c.inter"))


def test_quotes_mean_nothing_in_tab_separated_files(tmp_path: Path) -> None:
    rows = '1\t1\tone\n1\t2\t"two\n1\t3\tthree\n2\t1\tone\n2\t4\t"four\n2\t5\tfive\n'
    expected = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 4), (2, 5)]
    assert get_rows(load_csv(write_file(tmp_path, "user\titem\ttitle\n" + rows, "a.tsv"))) == expected
    assert get_rows(load_csv(write_file(tmp_path, "user\titem\ttitle\n" + rows), separator=r"\t")) == expected
    header = "user_id:token\titem_id:token\ttitle:token\n"
    assert get_rows(load_inter(write_file(tmp_path, header + rows, "a.inter"))) == expected


@pytest.mark.parametrize("end", ["", 'and "'])
def test_a_quote_that_hides_a_line_end_is_an_error_unless_it_is_asked_for(tmp_path: Path, end: str) -> None:
    path = write_file(tmp_path, f'user,item,note\n1,1,a\n1,2,"two\n1,3,{end}b"\n2,1,x\n2,2,"y"\n')
    with pytest.raises(DataError, match=r"mine\.csv: line 3: a quote is still open at the end of the line: 1,2,\"two;"):
        load_csv(path)
    if not end:
        assert get_rows(load_csv(path, quoting="multiline")) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert get_rows(load_csv(path, quoting="none")) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]


@pytest.mark.parametrize("quoting", ["auto", "multiline"])
def test_a_quote_that_is_open_at_the_end_of_the_file_is_an_error(
    tmp_path: Path, quoting: Literal["auto", "multiline"]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text('user,item\n1,5" wide\n2,"x' + "\n3,4\n" * (quoting == "multiline"))
    with pytest.raises(DataError, match=r"a quote is still open at the end of the (line|file)"):
        load_csv(str(path), quoting=quoting)


def test_multiline_quotes_are_read_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "CHUNK_BYTES", 64)
    rows = [(user, item) for user in range(20) for item in range(5)]
    path = write_file(tmp_path, "user,item,note\n" + "".join(f'{user},{item},"a\n\nb"\n' for user, item in rows))
    assert get_rows(load_csv(path, quoting="multiline")) == rows


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("keep", "time"), [("first", 1), ("last", 9)])
def test_the_pair_to_keep_goes_by_time_not_by_the_file(
    tmp_path: Path, newest_first: bool, keep: Literal["first", "last"], time: int
) -> None:
    rows = ["1,7,1", "1,8,5", "1,7,9", "2,7,3"]
    path = write_file(tmp_path, "\n".join(["user,item,time", *(rows[::-1] if newest_first else rows)]) + "\n")
    data = load_csv(path, time="time", keep=keep)
    assert data.times is not None
    kept = dict(zip(get_rows(data), data.times.tolist(), strict=True))
    assert kept == {(1, 7): time, (1, 8): 5, (2, 7): 3}
    assert data.dropped == {"duplicate_rows": 1}


def test_without_times_the_pair_to_keep_goes_by_the_file(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n1,7\n1,8\n1,7\n")
    assert get_rows(load_csv(path)) == [(1, 7), (1, 8)]
    assert get_rows(load_csv(path, keep="last")) == [(1, 8), (1, 7)]


@pytest.mark.parametrize("word", ["", "NA", "NaN", "null", r"\N", "n/a", "#N/A", "none", "NaT", "-1.#IND"])
def test_a_missing_id_is_an_error_or_a_counted_row(tmp_path: Path, word: str) -> None:
    path = write_file(tmp_path, f"user,item\na,1\n{word},2\n{word},3\nb,1\n")
    with pytest.raises(DataError, match=r"mine\.csv, line 3: user is .*, expected an id \(missing_ids: drop leaves"):
        load_csv(path)
    data = load_csv(path, missing_ids="drop")
    assert get_rows(data) == [("a", 1), ("b", 1)]
    assert data.dropped["missing_id_rows"] == 2
    if word:
        assert get_rows(load_csv(path, missing_ids="text"))[1:3] == [(word, 2), (word, 3)]


@pytest.mark.parametrize("times", [["1", "2", "NaN", "4"], ["1", "2", "", "4"], ["2020-01-01", "2020-01-02", "NaN"]])
def test_error_names_the_line_of_a_missing_time(tmp_path: Path, times: list[str]) -> None:
    path = write_file(tmp_path, "user,item,t\n" + "".join(f"1,{row},{time}\n" for row, time in enumerate(times)))
    with pytest.raises(DataError, match=r"mine\.csv, line 4: time is ('NaN'|missing), expected"):
        load_csv(path, time="t")


def test_a_pipe_or_a_folder_is_an_error_and_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(DataError, match=f"{name} is (not a regular file|a folder, expected a file)"):
            load_csv(str(tmp_path / name))


@pytest.mark.parametrize(
    ("times", "time_format", "order"),
    [
        (["Tue May 13 16:53:20 +0000 2014", "Mon May 12 16:53:20 +0000 2014"], None, [1, 0]),
        (["05/13/2014 16:53", "05/12/2014 16:54"], None, [1, 0]),
        (["13/05/2014 16:53", "12/06/2014 16:54"], None, [0, 1]),
        (["05/13/2014 04:53 PM", "05/13/2014 11:53 AM"], None, [1, 0]),
        (["2014-05-13 16:53:20 UTC", "2014-05-13 16:53:19 UTC"], None, [1, 0]),
        (["05/06/2014", "04/07/2014"], "%d/%m/%Y", [0, 1]),
        (["05/06/2014", "04/07/2014"], "%m/%d/%Y", [1, 0]),
        (["1400000000.0", "1399999999.0"], None, [1, 0]),
    ],
)
def test_times_are_read_in_common_formats_and_in_a_format_that_is_set(
    tmp_path: Path, times: list[str], time_format: str | None, order: list[int]
) -> None:
    path = write_file(tmp_path, "user,item,t\n" + "".join(f"1,{row},{time}\n" for row, time in enumerate(times)))
    data = load_csv(path, time="t", time_format=time_format)
    assert data.times is not None
    assert np.unique(data.times, return_inverse=True)[1].tolist() == order


def test_times_that_fit_two_formats_are_an_error(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,t\n1,1,05/06/2014\n1,2,04/07/2014\n")
    with pytest.raises(
        DataError, match=r"times such as 05/06/2014 can be read as %m/%d/%Y or %d/%m/%Y; set time_format"
    ):
        load_csv(path, time="t")


@pytest.mark.parametrize(
    ("comparison", "items"),
    [
        ("event==buy", [1, 3]),
        ("'event' == \"buy\"", [1, 3]),
        ("event!=buy", [2, 4]),
        ("price>=10", [2, 3]),
        ("price == 9.50", [1]),
        ("price<9.9", [1]),
    ],
)
def test_rows_are_filtered_by_one_comparison_and_counted(tmp_path: Path, comparison: str, items: list[int]) -> None:
    path = write_file(tmp_path, "user,item,event,price\n1,1,buy,9.5\n1,2,view,10\n1,3,buy,100\n1,4,,9.9\n")
    data = load_csv(path, filter=comparison)
    assert data.item_ids.tolist() == items
    assert data.dropped == {"filtered_rows": 4 - len(items)}


def test_low_ratings_are_dropped_and_counted_with_users_that_have_no_other_row(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,stars\n1,1,4\n1,2,3.5\n2,1,1\n")
    data = load_csv(path, rating="stars", min_rating=4)
    assert get_rows(data) == [(1, 1)]
    assert data.dropped == {"low_rating_rows": 2, "users_left_out": 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filter": "event"}, "filter=event: expected one comparison such as event==purchase"),
        ({"filter": "item>2"}, r"no row of 2 is left: 2 filtered rows"),
        ({"filter": "user>x"}, r"line 2: filter is '1', expected numbers for filter=user>x"),
        ({"filter": "thing==1"}, "found no column 'thing'"),
        ({"min_rating": 3.0}, "rating=None and min_rating=3.0: set both or none"),
        ({"time_format": "%Y"}, "time_format=%Y has no effect"),
        ({"encoding": "latin-7b"}, "encoding=latin-7b is unknown"),
        ({"format": "jsonl", "separator": ";"}, "separator=; has no effect"),
        ({"member": "a"}, "member=a has no effect"),
        ({"user": 0}, r"found no column '0', .* columns go by number in a file without header: dataset\.header=false"),
        ({"separator": ";"}, r"found no column 'user', expected it among user,item; set dataset\.separator"),
        ({"min_count": 3}, "no row of 2 is left with min_count=3"),
    ],
)
def test_a_setting_that_cannot_have_an_effect_is_one_line(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_csv(write_file(tmp_path, "user,item\n1,1\n1,2\n"), **settings)


def test_blank_last_lines_and_columns_named_by_numbers_are_accepted(tmp_path: Path) -> None:
    path = write_file(tmp_path, "0,1\nann,5\nann,6\n\n\r\n")
    assert get_rows(load_csv(path, user=0, item="1")) == [("ann", 5), ("ann", 6)]
    assert get_rows(load_csv(path, user=0, item=1, header=False)) == [("0", 1), ("ann", 5), ("ann", 6)]


def test_a_path_below_the_home_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_file(tmp_path, "user,item\n1,2\n")
    assert get_rows(load_csv("~/mine.csv")) == [(1, 2)]


def test_only_the_columns_that_are_read_must_be_in_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("user,item,other,note\nann,1,3,Café\nRené,2,3,x\n".encode("latin-1"))
    path = str(tmp_path / "mine.csv")
    assert load_csv(path, user="item", item="other").user_ids.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"column user: line 3: .* in encoding=utf-8, set another one such as latin-1"):
        load_csv(path)
    assert load_csv(path, encoding="latin-1").user_ids.tolist() == ["René", "ann"]
    (tmp_path / "mine.csv").write_text("user,item\nRené,2\n", encoding="utf-16")
    assert load_csv(path, encoding="utf-16").user_ids.tolist() == ["René"]


@pytest.mark.parametrize("is_arrow", [False, True])
def test_a_frame_gives_what_its_file_gives(tmp_path: Path, is_arrow: bool) -> None:
    frame = pd.DataFrame({"who": ["b", "a", "a", "a"], "what": [1.0, 2.0, 2.0, None], "stars": [5, 4, 4, 5]})
    frame["when"] = pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-02", "2020-01-04"], utc=True)
    settings = {
        "user": "who",
        "item": "what",
        "time": "when",
        "rating": "stars",
        "min_rating": 4,
        "missing_ids": "drop",
    }
    data = load_frame(pa.Table.from_pandas(frame) if is_arrow else frame, **settings)
    path = tmp_path / "frame.parquet"
    frame.to_parquet(path)
    for one in (data, load_csv(str(path), **settings)):
        assert get_rows(one) == [("b", 1), ("a", 2)]
        assert one.dropped == {"missing_id_rows": 1, "duplicate_rows": 1}
        assert one.times is not None
        assert one.times[0] < one.times[1]
    with pytest.raises(DataError, match="the table, line 3: item is missing, expected an id"):
        load_frame(frame, user="who", item="what")
    with pytest.raises(DataError, match="the table has no column 'user'"):
        load_frame(frame)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, "a"], r"the table, column 'user': .*, expected values of one type"),
        ([[1], [2]], "the user column holds list<item: int64>, no ids: expected numbers or text"),
        ([], "the table has no rows$"),
    ],
)
def test_a_column_that_holds_no_ids_is_one_line(ids: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_frame(pd.DataFrame({"user": ids, "item": [1, 2][: len(ids)]}))


def test_missing_ids_of_users_and_items_are_counted_together(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n1,1\n,2\n1,NA\n2,null\n")
    assert load_csv(path, missing_ids="drop").dropped == {"missing_id_rows": 3, "users_left_out": 1}


def test_error_names_the_line_that_is_no_json_object(tmp_path: Path) -> None:
    for line in ("{", "[1]"):
        path = write_file(tmp_path, '{"user": 1, "item": "a"}\n{"item": 5, "user": 2}\n' + line + "\n", "mine.jsonl")
        with pytest.raises(DataError, match=r"mine\.jsonl, line 3: .*expected a JSON object"):
            load_csv(path)
    path = write_file(tmp_path, '{"user": 1, "item": "a"}\n{"item": 5, "user": 2}\n', "mine.jsonl")
    assert get_rows(load_csv(path)) == [(1, "a"), (2, "5")]


def test_basket_numbers_follow_the_order_of_users_and_baskets_not_of_the_file(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,day\nb,1,z\nb,2,y\na,1,z\n")
    data = load_csv(path, basket="day")
    assert data.baskets is not None
    assert data.baskets.tolist() == [2, 1, 0]


def test_a_table_that_is_none_and_settings_and_columns_that_it_lacks_are_one_line() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["user", "item", "user"])
    with pytest.raises(DataError, match="has 2 columns 'user', expected one; it has user, item, user"):
        load_frame(frame)
    with pytest.raises(
        DataError, match=r"no column 'user', .*has item; it is the index, which frame\.reset_index\(\) makes"
    ):
        load_frame(pd.DataFrame({"user": [1], "item": [2]}).set_index("user"))
    with pytest.raises(DataError, match="the table is a list, expected a pandas DataFrame or an Arrow table"):
        load_frame([(1, 2)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no setting 'min_ratng', expected one of user, item, time, basket, rating"):
        load_frame(frame, min_ratng=4)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (" user,item\n1,2\n", {}, r"found no column 'user', expected it among ' user', item$"),
        ("u1,i7\nu2,i7\n", {}, "among u1, i7; if this line is a row, set dataset.header=false, and the columns by"),
        ("1,28\n1,30\n", {}, "among 1, 28; if this line is a row, set dataset.header=false, and the columns by number"),
        (
            "user,item,t\n1,2,2020\n",
            {"time": "t", "time_format": "%d.%m.%Y"},
            r"such as %d.%m.%Y \(set as time_format\)$",
        ),
    ],
)
def test_a_message_names_the_setting_that_may_help(
    tmp_path: Path, content: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_csv(write_file(tmp_path, content), **settings)  # type: ignore[arg-type]


def test_utf_16_without_its_encoding_is_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("user,item\n1,2\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"it has zero bytes; set dataset\.encoding=utf-16 if it is one of UTF-16$"):
        load_csv(str(tmp_path / "mine.csv"))


def test_binary_columns_of_a_parquet_file_are_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table({"user": [b"u28", b"u3"], "item": [b"7", b"10"], "time": [2.25, 2.5]}), path)
    data = load_csv(str(path), time="time")
    assert get_rows(data) == [("u28", 7), ("u3", 10)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1500000000.25", "1500000000.5"], [1_500_000_000_250_000, 1_500_000_000_500_000]),
        (["1500000000.5", "1e300", "0.05"], [1, 2, 0]),
        (["20.5", "10.5"], [1, 0]),
    ],
)
def test_fractional_times_become_millionths_unless_that_loses_their_order(
    tmp_path: Path, times: list[str], expected: list[int]
) -> None:
    rows = "".join(f"1,{item},{time}\n" for item, time in enumerate(times))
    data = load_csv(write_file(tmp_path, f"user,item,time\n{rows}"), time="time")
    assert data.times is not None
    assert data.times.tolist() == expected


BIG = 10**18


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, str])
@pytest.mark.parametrize(
    ("comparison", "kept"), [("==", [1]), ("!=", [0, 2]), (">", [2]), (">=", [1, 2]), ("<", [0]), ("<=", [0, 1])]
)
def test_a_filter_tells_neighboring_ids_of_64_bits_apart(comparison: str, kept: list[int], dtype: type) -> None:
    frame = pd.DataFrame({"user": np.array([BIG, BIG + 1, BIG + 2]).astype(dtype), "item": [0, 1, 2]})
    data = load_frame(frame, filter=f"user{comparison}{BIG + 1}")
    assert data.item_ids.tolist() == kept


def test_a_filter_compares_large_negative_numbers_and_numbers_beside_text_exactly(tmp_path: Path) -> None:
    path = write_file(tmp_path, f"user,item\n-{BIG},1\n-{BIG + 1},2\n{2**64 - 1},3\nann,4\n")
    with pytest.raises(DataError, match="no row has"):
        load_csv(path, filter=f"user=={2**64 - 2}")
    for comparison, items in ((f"user==-{BIG + 1}", [2]), (f"user!={2**64 - 1}", [1, 2, 4])):
        assert load_csv(path, filter=comparison).item_ids.tolist() == items


@pytest.mark.parametrize(
    "times",
    [
        ["10000000000000000001", "10000000000000000000", "5"],
        ["1500000000000000001.0", "1500000000000000000.0", "5"],
        ["1500000000.1234567891", "1500000000.1234567892", "5"],
        ["2020-01-01T00:00:00.1234567891", "2020-01-01T00:00:00.1234567892", "2020-01-01"],
        ["2020-01-01T00:00:00.0000000001", "2020-01-01T00:00:00.0000000002", "2020-01-01"],
    ],
)
def test_times_that_would_become_equal_are_an_error_that_names_one(tmp_path: Path, times: list[str]) -> None:
    path = write_file(tmp_path, "user,item,t\n" + "".join(f"1,{row},{time}\n" for row, time in enumerate(times)))
    with pytest.raises(
        DataError, match=r"mine\.csv, line [23]: time is '\d.*', expected (.*digits behind|at most nine)"
    ):
        load_csv(path, time="t")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["9223372036854775806", "9223372036854775807"], [2**63 - 2, 2**63 - 1]),
        (["10000000000000000000", "1e20"], [0, 1]),
        (["1.0", "1", "2.5"], [0, 0, 1]),
        (
            ["2020-01-01T00:00:00.000000002", "2020-01-01T00:00:00.000000001"],
            [1_577_836_800_000_000_000 + n for n in (2, 1)],
        ),
        (["2020-01-01T00:00:00.000002000", "2020-01-01T00:00:00.000001"], [1_577_836_800_000_000 + n for n in (2, 1)]),
    ],
)
def test_times_of_many_digits_keep_their_order_and_ties(tmp_path: Path, times: list[str], expected: list[int]) -> None:
    path = write_file(tmp_path, "user,item,t\n" + "".join(f"1,{row},{time}\n" for row, time in enumerate(times)))
    data = load_csv(path, time="t")
    assert data.times is not None
    assert data.times.tolist() == expected


@pytest.mark.parametrize("dtype", [np.float64, np.uint64, object])
def test_epochs_in_nanoseconds_are_known_as_such_in_any_type(dtype: type) -> None:
    times = np.array([1_500_000_000 * 10**9, 1_600_000_000 * 10**9]).astype(dtype)
    data = load_frame(pd.DataFrame({"user": 1, "item": [1, 2], "time": times}), time="time")
    assert data.times is not None
    assert find_unit(data.times) == "nanoseconds"


WORDS = ["NONE", "Null", "nil", "(null)", "?", "unknown", " "]


@pytest.mark.parametrize("word", WORDS)
def test_an_id_that_looks_missing_stays_and_is_counted_unless_a_setting_names_it(
    tmp_path: Path, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(tmp_path, f"user,item\na,1\n{word},2\n{word},3\nb,1\n")
    data = load_csv(path)
    assert len(data) == 4
    assert data.dropped["rows_with_an_id_that_looks_missing"] == 2
    setting = f'2 rows have a user id that looks missing: ["{word}"]; a file\'s setting na_values=["{word}"] counts'
    assert setting in caplog.text
    with pytest.raises(DataError, match=r"line 3: user is .*, expected an id \(missing_ids: drop leaves"):
        load_csv(path, na_values=[word])
    data = load_csv(path, na_values=[word], missing_ids="drop")
    assert get_rows(data) == [("a", 1), ("b", 1)]
    assert data.dropped == {"missing_id_rows": 2, "users_left_out": 1}


def test_numbers_may_stand_for_missing_ids_and_no_word_does_if_all_are_ids(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n5,1\n-1,2\n")
    assert get_rows(load_csv(path, na_values=[-1], missing_ids="drop")) == [(5, 1)]
    with pytest.raises(ValueError, match=r"na_values=\[-1\] has no effect: missing_ids=text"):
        load_csv(path, na_values=[-1], missing_ids="text")


@pytest.mark.parametrize(
    ("header", "row", "settings"), [("user,item", "b,2", {}), ("user,item,t", "b,2,6", {"time": "t"})]
)
def test_a_header_in_the_middle_is_an_error_that_names_its_line(
    tmp_path: Path, header: str, row: str, settings: dict[str, str]
) -> None:
    path = write_file(tmp_path, f"{header}\n{row}\n{row}\n\ufeff{header}\n{row}\n{header}\n")
    with pytest.raises(
        DataError, match=r"mine\.csv, line 4: user is .*, expected an id: the header is repeated, remove this line$"
    ):
        load_csv(path, **settings)  # type: ignore[arg-type]
    assert get_rows(load_csv(write_file(tmp_path, "user,item\nuser,2\nann,item\n"))) == [("user", "2"), ("ann", "item")]


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        (pa.array([1, 2], pa.float16()), "float16, which loses digits: expected integers or text"),
        (pa.array([b"a", b"\xff"]), "binary, no ids: expected numbers or text in UTF-8"),
        (pa.array([b"a", b"\xff"]).dictionary_encode(), "binary, no ids: expected"),
        (pa.array([b"ab", b"\xff\xff"], pa.binary(2)), r"fixed_size_binary\[2\], no ids: expected"),
    ],
)
def test_ids_of_a_type_that_cannot_be_read_are_an_error_that_names_the_column(
    tmp_path: Path, ids: pa.Array, fault: str
) -> None:
    table = pa.table({"user": [1, 2], "item": ids})
    with pytest.raises(DataError, match=f"^the table: the item column holds {fault}"):
        load_frame(table)
    pq.write_table(table, tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=r"mine\.parquet: the item column holds (float16|halffloat|binary|fixed)"):
        load_csv(str(tmp_path / "mine.parquet"))


def test_decimals_bytes_and_integers_of_more_than_64_bits_are_ids_or_one_line() -> None:
    users = pa.array([Decimal(7), Decimal(10**22)])
    assert get_rows(load_frame(pa.table({"user": users, "item": [b"u1", b"NA"]}), missing_ids="drop")) == [(7, "u1")]
    assert load_frame(pa.table({"user": users, "item": [1, 2]})).user_ids.tolist() == [str(10**22), "7"]
    with pytest.raises(DataError, match=r"column 'user': .* integers of at most 64 bits$"):
        load_frame(pd.DataFrame({"user": pd.Series([2**70, 1], dtype=object), "item": [1, 2]}))


def test_whole_numbers_beside_missing_ones_are_the_words_of_na_values() -> None:
    frame = pd.DataFrame({"user": [1, -1, np.nan], "item": [1, 2, 3]})
    assert load_frame(frame, na_values=[-1], missing_ids="drop").dropped["missing_id_rows"] == 2


def test_a_filter_compares_with_numbers_of_the_columns_precision() -> None:
    frame = pd.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "x": np.array([0.6, 0.7, 0.8], np.float32)})
    assert load_frame(frame, filter="x>=0.7").item_ids.tolist() == [2, 3]


def test_iterative_min_count_is_applied(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item\n0,0\n0,1\n1,0\n1,2\n")
    assert get_rows(load_csv(path, min_count=2)) == [(0, 0), (1, 0)]
    with pytest.raises(DataError, match="no row of 4 is left with min_count=2"):
        load_csv(path, min_count=2, iterative=True)


def test_a_missing_basket_is_an_error_or_a_counted_row(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,day\n1,1,mon\n1,2,\n2,1,NA\n")
    with pytest.raises(DataError, match=r"mine\.csv, line 3: basket is missing, expected an id"):
        load_csv(path, basket="day")
    data = load_csv(path, basket="day", missing_ids="drop")
    assert get_rows(data) == [(1, 1)]
    assert data.dropped == {"missing_id_rows": 2, "users_left_out": 1}


def test_error_names_the_line_of_a_rating_that_is_no_number(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,stars\n1,1,4\n1,2,good\n")
    with pytest.raises(DataError, match=r"mine\.csv, line 3: rating is 'good', expected a number"):
        load_csv(path, rating="stars", min_rating=4)


def test_lines_are_those_of_the_file_also_after_a_filter(tmp_path: Path) -> None:
    path = write_file(tmp_path, "user,item,event\n1,1,view\n1,2,view\n1,3,buy\n,4,buy\n")
    with pytest.raises(DataError, match=r"mine\.csv, line 5: user is missing"):
        load_csv(path, filter="event==buy")


def test_the_line_of_a_value_that_a_filter_cannot_compare_counts_from_0_in_a_frame() -> None:
    with pytest.raises(DataError, match="the table, line 1: filter is 'x', expected numbers"):
        load_frame(pd.DataFrame({"user": [1, 1], "item": [1, 2], "n": ["3", "x"]}), filter="n>2")


def test_error_names_the_line_of_a_missing_id_in_json_lines(tmp_path: Path) -> None:
    path = write_file(tmp_path, '{"user": 1, "item": 2}\n{"user": null, "item": 3}\n', "mine.jsonl")
    with pytest.raises(DataError, match=r"mine\.jsonl, line 2: user is missing"):
        load_csv(path)


def test_the_format_goes_by_the_name_of_the_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.tsv", "user\titem\n1\t2\n")
        archive.writestr("b.jsonl", '{"user": 3, "item": 4}\n')
    assert get_rows(load_csv(str(tmp_path / "two.zip"), member="a.tsv")) == [(1, 2)]
    assert get_rows(load_csv(str(tmp_path / "two.zip"), member="b.jsonl")) == [(3, 4)]


def test_any_white_space_separates_and_none_counts_at_the_ends(tmp_path: Path) -> None:
    path = write_file(tmp_path, " user \t item\n1  2 \n 3\t4\r\n\t5 6\n")
    assert get_rows(load_csv(path, separator=r"\s+")) == [(1, 2), (3, 4), (5, 6)]
