"""The bench: `make bench`, or `python -m sdmr.experiments.bench`. Some minutes; it needs no data set.

It times every model, SDP and SDM beside literal oracles, and draws what grows with what. `measure.py` says how.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from pathlib import Path

import torch

from sdmr.experiments.bench.curves import draw
from sdmr.experiments.bench.measure import GROUPS, TINY, Scale, bench
from sdmr.experiments.jobs import CORES, at_least_one
from sdmr.harness.files import save_json
from sdmr.harness.records import collect_environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=at_least_one, default=CORES)
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="measure these, and write no file")
    parser.add_argument("--tiny", action="store_true", help="so little that the figures say nothing: does it run?")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where bench.json goes")
    parser.add_argument("--plots", type=Path, default=Path("plots"), help="where bench.png, .pdf and .csv go")
    arguments = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(arguments.threads)
    where = collect_environment()
    machine = f"{where['processor']}, {where['cores']} cores"
    print(f"{machine}; {arguments.threads} threads; commit {where['commit']}; ratio: times faster than the oracle")
    entries = bench(TINY if arguments.tiny else Scale(), arguments.only or tuple(GROUPS))
    if arguments.only:
        return
    rows = [asdict(e) | {"ratio": e.ratio, "machine": machine, "commit": where["commit"]} for e in entries]
    save_json(rows, arguments.results / "bench.json")
    print(f"{arguments.results}/bench.json")
    draw(rows, arguments.plots, machine)


if __name__ == "__main__":
    main()
