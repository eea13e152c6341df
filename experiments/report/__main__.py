"""Write a page with all results, to explore in a browser: `sdmr report`.

The page is one file, and needs no network. It shows the published records: tables, differences, the paper's claims,
curves, and how each number was made. `sdmr report runs=[SDM-0123456789ab,out/my-run]` shows these runs beside them.
Nothing is trained.
"""

import sys
import time
from pathlib import Path

from pydantic import Field

from sdmr.datasets.files import write_atomic
from sdmr.experiments.core import cli
from sdmr.experiments.core.options import CommandOptions, Names
from sdmr.experiments.report.page import collect_page, format_page
from sdmr.experiments.report.user_rows import list_user_rows


class Options(CommandOptions):
    text_options = ("runs",)
    runs: Names | None = Field(
        None, description="runs beside the published ones: names in the folder runs, folders, or patterns; null: none"
    )
    to: str = Field("report.html", description="file to write")
    results: str = Field("results", description="folder of the published records and tables")
    plots: str = Field("plots", description="folder of the figures and their numbers")


def main(options: Options) -> int:
    start, path = time.perf_counter(), Path(options.to)
    results = Path(options.results)
    page = collect_page(results, Path(options.plots), list_user_rows(options.runs or [], results))
    content = format_page(page).encode()
    write_atomic(path, content)
    print(f"{path}, {len(content) / 2**20:.1f} MiB, {time.perf_counter() - start:.0f} s: open it in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(["report", *sys.argv[1:]]))
