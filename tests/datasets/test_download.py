import functools
import hashlib
import http.server
import io
import socket
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdmr.datasets import download
from sdmr.datasets.download import Download, RawFile, Wheel, fetch, get_cache_folder, verify_checksum
from sdmr.datasets.errors import DataError
from sdmr.datasets.files import compute_sha256
from sdmr.datasets.movielens import ML_100K
from sdmr.datasets.parsing import Layout

CONTENT = b"1\t2\t3\n" * 1000
LAYOUT = Layout({"user": int, "item": int, "rating": int})
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


def make_zip(member: str, content: bytes = CONTENT) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(member, content)
    return packed.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty cache, and unset the data folder."""
    monkeypatch.setenv("SDMR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SDMR_DATA", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder; return it and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder of wheels, of which `python -m pip download` copies the first.

    The command fails if the folder is empty.
    """
    folder = tmp_path / "index"
    folder.mkdir()
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, shutil, sys\n"
        "assert sys.argv[1:4] == ['-m', 'pip', 'download'] and '--no-deps' in sys.argv, sys.argv\n"
        f"wheels = sorted(pathlib.Path({str(folder)!r}).glob('*.whl'))\n"
        "if not wheels:\n"
        "    sys.exit('some warning\\nERROR: No matching distribution found for ' + sys.argv[-1])\n"
        "shutil.copy(wheels[0], sys.argv[sys.argv.index('--dest') + 1])\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(download.sys, "executable", str(python))
    return folder


def make_raw_file(*routes: Download | Wheel, checksum: str | None = CHECKSUM) -> RawFile:
    return RawFile("set/raw.tsv", checksum, LAYOUT, routes, terms="Be kind.")


def list_files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_data_folder_is_searched_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    for folder in (tmp_path / "mine", cache / "raw"):
        (folder / "set").mkdir(parents=True)
        (folder / "set" / "raw.tsv").write_bytes(CONTENT)
    file = make_raw_file(Download("http://127.0.0.1:1/x.zip", "x"))
    assert fetch(file) == (cache / "raw" / "set" / "raw.tsv", file)
    monkeypatch.setenv("SDMR_DATA", str(tmp_path / "mine"))
    assert fetch(file) == (tmp_path / "mine" / "set" / "raw.tsv", file)


def test_fetch_returns_the_equivalent_file_that_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "derived.gz").write_bytes(b"")
    monkeypatch.setenv("SDMR_DATA", str(tmp_path))
    derived = RawFile("derived.gz", None, LAYOUT)
    assert fetch(RawFile("original.dat", None, LAYOUT), derived) == (tmp_path / "derived.gz", derived)


def test_archive_is_downloaded_once_and_its_terms_are_printed_once(
    web: tuple[Path, str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, address = web
    (folder / "data.zip").write_bytes(make_zip("in/raw.tsv"))
    file = make_raw_file(Download(f"{address}/data.zip", "in/raw.tsv"))
    path, _ = fetch(file)
    assert path.read_bytes() == CONTENT
    assert list_files(cache) == ["raw.tsv"]
    assert capsys.readouterr().err.count("Be kind.") == 1
    (folder / "data.zip").unlink()
    assert fetch(file) == (path, file)
    assert "Be kind." not in capsys.readouterr().err


def test_wheel_is_the_second_route_and_gives_the_same_bytes(web: tuple[Path, str], index: Path, cache: Path) -> None:
    (index / "carrier-1.0-py3-none-any.whl").write_bytes(make_zip("carrier/raw.inter", b"a:token\tb:token\n" + CONTENT))
    wheel = Wheel("carrier==1.0", "carrier/raw.inter", header=True)
    path, _ = fetch(make_raw_file(Download(f"{web[1]}/absent.zip", "in/raw.tsv"), wheel))
    assert path == cache / "raw" / "set" / "raw.tsv"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (None, "404"),
        (b"no archive at all", "not a zip file"),
        (make_zip("in/raw.tsv")[:-40], "not a zip file"),
        (make_zip("in/raw.tsv", CONTENT[:-1]), f"expected {CHECKSUM}"),
        (make_zip("elsewhere/raw.tsv"), "no item named 'in/raw.tsv' in the archive"),
        (make_zip("in/raw.tsv").replace(b"1\t2\t3", b"1\t2\t4", 1), "Bad CRC-32"),
    ],
)
def test_error_names_every_failed_route_and_caches_nothing(
    web: tuple[Path, str], index: Path, cache: Path, served: bytes | None, message: str
) -> None:
    folder, address = web
    if served is not None:
        (folder / "data.zip").write_bytes(served)
    with pytest.raises(DataError) as error:
        fetch(make_raw_file(Download(f"{address}/data.zip", "in/raw.tsv"), Wheel("carrier==1.0", "carrier/raw.inter")))
    lines = str(error.value).splitlines()
    assert lines[0] == "set/raw.tsv cannot be found. Tried:"
    assert "SDMR_DATA: not set" in lines[1]
    assert f"cache: no file {cache}" in lines[2]
    assert f"{address}/data.zip: " in lines[3]
    assert message in lines[3]
    assert lines[4] == ("  - pip download carrier==1.0: ERROR: No matching distribution found for carrier==1.0")
    assert list_files(cache) == []


def test_a_truncated_download_is_not_cached(cache: Path) -> None:
    """Let the server announce more bytes than it sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + make_zip("in/raw.tsv")[:100])

        threading.Thread(target=answer).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/data.zip"
        with pytest.raises(DataError, match="IncompleteRead"):
            fetch(make_raw_file(Download(address, "in/raw.tsv")))
    assert list_files(cache) == []


def test_a_silent_server_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/data.zip"
        start = time.monotonic()
        with pytest.raises(DataError, match="timed out"):
            fetch(make_raw_file(Download(address, "in/raw.tsv")))
        assert time.monotonic() - start < 10


def test_an_archive_with_another_checksum_is_an_error(web: tuple[Path, str]) -> None:
    folder, address = web
    packed = make_zip("in/raw.tsv")
    (folder / "data.zip").write_bytes(packed)
    with pytest.raises(DataError, match=f"its sha256 is {hashlib.sha256(packed).hexdigest()}"):
        fetch(make_raw_file(Download(f"{address}/data.zip", "in/raw.tsv", sha256="0" * 64), checksum=None))
    sound = Download(f"{address}/data.zip", "in/raw.tsv", sha256=hashlib.sha256(packed).hexdigest())
    assert fetch(make_raw_file(sound, checksum=None))[0].read_bytes() == CONTENT


def test_a_damaged_cache_file_is_downloaded_again(web: tuple[Path, str]) -> None:
    folder, address = web
    (folder / "data.zip").write_bytes(make_zip("in/raw.tsv"))
    file = make_raw_file(Download(f"{address}/data.zip", "in/raw.tsv"))
    fetch(file)[0].write_bytes(CONTENT[:50])
    assert fetch(file)[0].read_bytes() == CONTENT


def test_checksum_error_names_the_file_and_both_checksums(tmp_path: Path) -> None:
    path = tmp_path / "raw.tsv"
    path.write_bytes(CONTENT)
    verify_checksum(path, CHECKSUM)
    verify_checksum(path, None)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=f"{path}: its sha256 is {compute_sha256(path)}, expected {CHECKSUM}"):
        verify_checksum(path, CHECKSUM)


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("SDMR_CACHE", "/c")
    assert get_cache_folder() == Path("/c")
    monkeypatch.delenv("SDMR_CACHE")
    assert get_cache_folder() == Path("/x/sdmr-benchmark")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert get_cache_folder() == Path("/home/me/.cache/sdmr-benchmark")


@pytest.mark.slow
def test_the_real_wheel_holds_the_published_file() -> None:
    file = replace(ML_100K, routes=tuple(route for route in ML_100K.routes if isinstance(route, Wheel)))
    assert compute_sha256(fetch(file)[0]) == ML_100K.sha256
