"""Raw files as bytes, unpacked."""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from sdmr.datasets.errors import DataError, quote
from sdmr.datasets.reads import record_read

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@contextmanager
def open_raw(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """Open a raw file, unpacked if its name says so.

    Unpacks .gz, .bz2, .xz, .zst, .zip and .tar (compressed or not).

    Args:
        member: Name of the file in an archive; None if there is only one.

    Raises:
        DataError: The file cannot be read, is no regular file, or the archive has several files or lacks the member.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, expected a file")
    if path.exists() and not path.is_file():  # a pipe gives its content once only, and may never give it
        raise DataError(f"{path} is not a regular file; write its content to a file first")
    record_read(path)
    try:
        with _open_unpacked(path, member) as raw:
            yield raw
    except DataError:
        raise
    except (
        *(OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
        *(NotImplementedError, RuntimeError),  # zipfile: an unknown compression, an encrypted member
    ) as error:
        raise DataError(f"{path} cannot be read: {quote(error, 200)}") from error


def _open_unpacked(path: Path, member: str | None) -> IO[bytes]:
    """Open a file, or the content of an archive."""
    if not path.name.endswith(_ARCHIVES):
        if member is not None:
            raise DataError(f"{path}: member={member} has no effect, since this is no archive")
        return lzma.open(path) if path.suffix == ".xz" else io.BufferedReader(pa.input_stream(path))  # .gz, .bz2, .zst
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        return archive.open(_choose_member(path, [name for name in archive.namelist() if name[-1] != "/"], member))
    tar = tarfile.open(path)  # noqa: SIM115
    content = tar.extractfile(_choose_member(path, [entry.name for entry in tar if entry.isfile()], member))
    assert content is not None
    return content


def _choose_member(path: Path, names: list[str], member: str | None) -> str:
    """Return the name of the archive's member to read."""
    if member in names or (member is None and len(names) == 1):
        return member or names[0]
    listed = quote(", ".join(names), 200)
    if member is None:
        raise DataError(f"{path}: expected an archive of one file, found {len(names)}; choose a member of: {listed}")
    raise DataError(f"{path}: no member {member!r}; expected one of: {listed}")
