"""The code of a run, in the suite and in the user's project."""

from pathlib import Path

from sdmr.datasets.sources import list_project
from sdmr.experiments.core.errors import ConfigError
from sdmr.harness.records import compute_source_digest


def compute_digest(*modules: str) -> str:
    """Return the sha256 of the modules' code, and of what they import.

    Imports count if they are of the suite, or of the module's project. Raises ConfigError for a module without source.
    """
    here = Path.cwd().resolve()
    try:
        return compute_source_digest(*sorted({name for module in modules for name in list_project(module, here)}))
    except (ValueError, SyntaxError) as error:
        raise ConfigError(f"{', '.join(modules)}: {error}") from error
