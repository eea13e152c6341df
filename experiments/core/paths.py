"""Where the checkout, its configurations and a user's own ones are."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CONF = CHECKOUT / "experiments" / "conf"
SPACES = CONF / "space"  # of the searches
IS_CHECKOUT = (CHECKOUT / "setup.cfg").is_file()


def list_user_folders() -> list[Path]:
    """Return the folder of a user's own configuration: the results. A checkout holds it itself."""
    return [] if IS_CHECKOUT else [Path(os.environ.get("SDMR_RESULTS", "results")).resolve()]
