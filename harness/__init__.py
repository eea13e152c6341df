"""Run every model alike: one interface, one training loop, one ranking, one record."""

from pathlib import Path


def remove_stale_loops(*folders: Path) -> None:
    """Remove compiled loops below folders that are older than the code of any.

    Numba keeps them on disk. It compiles a loop anew if its own file has changed, but not if the file of a function
    that it calls has.
    """
    compiled = {path: path.stat().st_mtime for folder in folders for path in folder.rglob("*.nb[ic]")}
    sources = {path.parent.parent / f"{path.name.partition('.')[0]}.py" for path in compiled}
    newest = max((source.stat().st_mtime for source in sources if source.exists()), default=0.0)
    for path, time in compiled.items():
        if time < newest:
            path.unlink(missing_ok=True)


remove_stale_loops(*(Path(__file__).parent.parent / layer for layer in ("harness", "models", "baselines")))
