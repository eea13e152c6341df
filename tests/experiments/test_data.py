"""`sdmr data`: the page's commands read public formats, and print the command that reads the same."""

import gzip
import re
import shlex
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from sdmr.datasets.readers import bind_reader
from sdmr.experiments.core import cli
from sdmr.experiments.core.config import compose_config

PAGE = Path(__file__).parents[2] / "docs" / "your-data.md"
COMMANDS = re.findall(r"^\| .+ \| `sdmr data (path=.+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def make_lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


AMAZON = '{"user_id": "%s", "parent_asin": "%s", "rating": 5.0, "timestamp": %s, "images": [], "text": "a \\"b\\""}'
YELP = '{"review_id": "r", "user_id": "%s", "business_id": "%s", "stars": %s, "date": "2018-07-07 22:09:%s"}'
# Invented rows in the shape of each public file. After the page's settings, the pairs of `EXPECTED` are left.
CONTENTS: dict[str, str | bytes] = {
    "ratings_Books.csv": make_lines(
        *("A1,0001,5.0,1405296000", "A1,0002,4.0,1405296001", "A1,0003,1.0,1405296002", "B2,0001,5.0,1405296003")
    ),
    "Books.jsonl.gz": make_lines(*(AMAZON % row for row in [("A1", "0001", 1), ("A1", "0002", 2), ("B2", "0001", 3)])),
    "lastfm.tsv": make_lines(
        'A1\t2009-05-04T23:08:57Z\tm1\t0001\tt\t"Song',
        "A1\t2009-05-04T23:09:57Z\tm2\t0002\tt\tx",
        'B2\t2009-05-04T23:08:57Z\tm1\t0001\tt\t"Song',
    ),
    "loc-gowalla_totalCheckins.txt.gz": make_lines(
        "A1\t2010-10-19T23:55:27Z\t30.2\t-97.7\t0001",
        "A1\t2010-10-19T23:56:27Z\t30.2\t-97.7\t0002",
        "B2\t2010-10-17T23:42:03Z\t30.2\t-97.7\t0001",
    ),
    "yoochoose-clicks.dat": make_lines(
        "A1,2014-04-07T10:51:09.277Z,0001,0", "A1,2014-04-07T10:54:09.868Z,0002,0", "B2,2014-04-07T10:54:46.998Z,0001,S"
    ),
    "events.csv": make_lines(
        "timestamp,visitorid,event,itemid,transactionid",
        *("1433221332117,A1,transaction,0001,7", "1433221332118,A1,view,0003,"),
        *("1433221332119,A1,transaction,0002,8", "1433221332120,B2,transaction,0001,9"),
    ),
    "yelp_academic_dataset_review.json": make_lines(
        YELP % ("A1", "0001", 5.0, 11), YELP % ("A1", "0002", 4.0, 12), YELP % ("A1", "0003", 1.0, 13)
    )
    + make_lines(YELP % ("B2", "0001", 4.0, 14)),
    "BX-Book-Ratings.csv": make_lines(
        '"User-ID";"ISBN";"Book-Rating"', '"A1";"0001";"0"', '"A1";"0002";"5"', '"B2";"0001";"3é"'
    ).encode("latin-1"),
    "dataset_TSMC2014_NYC.txt": make_lines(
        "A1\t0001\tc\tCafé\t40.7\t-74.0\t-240\tTue Apr 03 18:00:09 +0000 2012",
        "A1\t0002\tc\tBar\t40.6\t-74.0\t-240\tTue Apr 03 18:00:25 +0000 2012",
        "B2\t0001\tc\tBar\t40.7\t-73.9\t-240\tMon Apr 02 18:02:24 +0000 2012",
    ).encode("latin-1"),
    "ratings.dat": make_lines("A1::0001::5::838985046", "A1::0002::5::838983525", "B2::0001::3::838983392"),
    "ml-latest-small.zip": make_lines(
        *("userId,movieId,rating,timestamp", "A1,0001,4.0,964982703", "A1,0002,4.0,964981247", "B2,0001,4.0,964982224")
    ),
    "Beauty.txt": make_lines("A1 0001", "A1  0002", "B2 0001", ""),
    "steam.inter": make_lines("user_id:token\titem_id:token\ttimestamp:float", "A1\t0001\t1", "A1\t0002\t2.5")
    + make_lines("B2\t0001\t1"),
}
EXPECTED = {("A1", "0001"), ("A1", "0002"), ("B2", "0001")}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, content in CONTENTS.items():
        data = content.encode() if isinstance(content, str) else content
        if name.endswith(".zip"):
            with zipfile.ZipFile(name, "w") as archive:
                archive.writestr("ml-latest-small/ratings.csv", data)
                archive.writestr("ml-latest-small/movies.csv", "movieId,title\n")
        else:
            (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    users, items = zip(*sorted(EXPECTED), strict=True)
    times = pd.to_datetime(["2020-01-01 10:00", "2020-01-02 11:00", "2020-01-03 12:00"])
    pd.DataFrame({"user": [], "item": []}).to_parquet("none.parquet")
    pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times, "note": 1}).to_parquet("interactions.parquet")
    return tmp_path


def run_printed_command(output: str) -> set[tuple[str, str]]:
    """Return the pairs that the printed `sdmr run` command reads."""
    command, *arguments = shlex.split(output.strip().splitlines()[-1])
    assert (command, arguments[0]) == ("sdmr", "run")
    settings = compose_config(arguments[1:]).settings["dataset"]
    data = bind_reader(settings)()
    assert (data.times is not None) or settings["path"] == "BX-Book-Ratings.csv"
    return set(zip(data.user_ids[data.users].tolist(), data.item_ids[data.items].tolist(), strict=True))


def test_the_page_has_a_command_for_each_file() -> None:
    paths = [command.partition(" ")[0].removeprefix("path=") for command in COMMANDS]
    assert sorted(paths) == sorted([*CONTENTS, "interactions.parquet"])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_pages_command_reads_the_public_format(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", *shlex.split(command)]) == 0
    output = capsys.readouterr().out
    assert "3 interactions of 2 users with 2 items" in output
    assert "guessed" not in output
    assert run_printed_command(output) == EXPECTED


@pytest.mark.parametrize(
    ("name", "guessed"),
    [
        ("ratings_Books.csv", "header=False, user=0, item=1, time=3"),
        ("lastfm.tsv", "header=False"),
        ("events.csv", "user=visitorid, item=itemid, time=timestamp"),
        ("ratings.dat", "separator=::, header=False, user=0, item=1, time=3"),
    ],
)
def test_missing_settings_are_guessed(
    folder: Path, name: str, guessed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["data", f"path={name}"])
    assert f"guessed from the first 1,000 rows: {guessed}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ratings (1).csv", "it's, [a] {file}.csv"])
def test_a_file_name_may_have_blanks_brackets_and_quotes(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ratings.dat").rename(name)
    assert cli.main(["data", f'path="{name}"']) == 0
    assert run_printed_command(capsys.readouterr().out) == EXPECTED


def test_what_is_dropped_and_how_times_tie_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{user},{item},{1_500_000_000 + 30 * (item // 2)}" for user in "ab" for item in range(6)]
    Path("mine.csv").write_text("\n".join(["user,item,time", *rows, "c,1,1500000000", rows[0]]) + "\n")
    assert cli.main(["data", "path=mine.csv", "dataset.time=time"]) == 0
    output = capsys.readouterr().out
    for line in (
        *("13 interactions of 3 users with 6 items", "1 duplicate rows", "3 users that only train"),
        *("times from 2017-07-14 to 2017-07-14, in seconds", "2 users with every item"),
        "92.3% of the interactions are at the same time",
    ):
        assert line in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "path=... or dataset=... is missing"),
        (["path=mine.csv", "epochs=2"], 2, "epochs has no effect here"),
        (["path=absent.csv"], 1, "absent.csv cannot be read"),
        (["dataset=csv"], 2, "dataset.path=... is missing"),
        (["path=ratings.dat", "dataset.encoding=utf-7x"], 2, "encoding=utf-7x is unknown"),
        (["path=none.parquet"], 1, "none.parquet: the file has no rows"),
        (["path=ratings.dat", "dataset.keep=all"], 2, "dataset.keep=all: must be 'first' or 'last'"),
    ],
)
def test_a_wrong_command_is_one_line(
    folder: Path, arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"u1,i2", "line 3: Expected 3 columns, got 2: u1,i2"),
        (b"u1,i2,1,1", "line 3: Expected 3 columns, got 4: u1,i2,1,1"),
        (b"u1,i\xff2,1", "line 3: "),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_damaged_line_is_named_with_and_without_a_byte_order_mark(
    folder: Path, mark: bytes, line: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.csv").write_bytes(mark + b"visitor,product,when\nu1,i1,2023-01-01\n" + line + b"\n")
    assert cli.main(["data", "path=mine.csv"]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("protocol", [(), ("protocol.test_item=random",)])
def test_the_minute_is_that_of_the_test_items_of_the_split(
    folder: Path, protocol: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each history has four items a day apart, and a last one half a minute later."""
    seconds = [0, 86_400, 172_800, 259_200, 259_230]
    rows = [f"u{u},{(7 * u + k) % 50},{1_500_000_000 + s}.5" for u in range(40) for k, s in enumerate(seconds)]
    Path("mine.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    assert cli.main(["data", "path=mine.csv", *protocol]) == 0
    output = capsys.readouterr().out
    lines = [line for line in output.splitlines() if "within a minute" in line]
    assert "times from 2017-07-14 to 2017-07-17" in output
    assert len(lines) == 1
    assert lines[0].endswith("of the test items are within a minute of their user's interaction before")
    measured = float(lines[0].partition("%")[0])
    assert measured == 100 if not protocol else 5 < measured < 45


@pytest.mark.parametrize("comparison", ["event==buy it's", 'event=="buy it\'s"', "'event'==\"buy it's\""])
def test_a_filter_may_have_quotes(folder: Path, comparison: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{user},{item},{event},1" for user in "ab" for item, event in enumerate(["buy it's", "view"])]
    Path("mine.csv").write_text("\n".join(["user,item(id),event,item(id)", *rows]) + "\n")
    assert cli.main(["data", "path=mine.csv", f"dataset.filter={comparison}"]) == 0
    output = capsys.readouterr().out
    assert "2 interactions of 2 users with 1 items\n" in output
    command = shlex.split(output.strip().splitlines()[-1])[2:]
    assert compose_config(command).settings["dataset"]["item"] == "item(id) (1)"
    assert len(bind_reader(compose_config(command).settings["dataset"])()) == 2


def test_baskets_are_counted_in_place_of_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{basket // 2},{basket + n},{basket}" for basket in range(8) for n in range(5)]
    Path("mine.csv").write_text("\n".join(["user,item,day", *rows]) + "\n")
    assert cli.main(["data", "path=mine.csv", "dataset.basket=day"]) == 0
    assert "8 baskets of 5 to 5 items, 5.0 on average; with baskets, times are not used\n" in capsys.readouterr().out


def test_dates_are_times_and_blanks_at_an_end_are_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{user},{item},2020-01-{item + 1:02}" for user in (" u1", "u1", "u2") for item in range(5)]
    Path("mine.csv").write_text("\n".join(["user,item ,date", *rows]) + "\n")
    assert cli.main(["data", "path=mine.csv"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^date +time$", output, re.MULTILINE)
    assert "'item '" in output
    assert "' u1'" in output
