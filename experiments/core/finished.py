"""Find finished runs by what a user types: names, folders, patterns."""

from collections.abc import Iterable
from glob import escape, glob
from pathlib import Path

from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.messages import quote
from sdmr.experiments.core.run_files import RECORD


def find_runs(option: str, names: Iterable[str], runs: Path, results: Path = Path("results")) -> list[Path]:
    """Return the folders of finished runs. Raises UsageError for a name without any.

    Args:
        option: The option that has the names, for the message.
        names: Each is a run's name, its folder, the path of its record, a folder of runs or of data sets' runs such as
            a submission, or a pattern with `*`.
        runs: This machine's runs, where a name is looked for.
        results: The published records, which a name may begin below: `table3/ml-100k/sdm-*`.
    """
    folders: list[Path] = []
    for name in names:
        parents = ["", f"{escape(str(results))}/records/"]
        if Path(name).name == name:
            parents.insert(1, f"{escape(str(runs))}/*/")
        patterns = [f"{parent}{text}" for text in (escape(name), name) for parent in parents]  # the literal name first
        matches = (_list_finished(pattern) for pattern in patterns)
        if not (first := next(filter(None, matches), [])):
            raise UsageError(
                f"{option}={quote(name)}: there is no such run in {runs}, and no such record in {results}; give the "
                "folder that `sdmr run` printed, or its name"
            )
        folders += first
    return folders


def _list_finished(pattern: str) -> list[Path]:
    """Return the folders with a record that a path or a pattern leads to."""
    folders = []
    for path in map(Path, sorted(glob(pattern))):
        folder = path.parent if path.name == RECORD else path
        levels = (sorted(folder.glob(f"{level}{RECORD}")) for level in ("", "*/", "*/*/"))
        folders += [record.parent for record in next(filter(None, levels), [])]
    return folders
