"""Write a task for another program: `sdmr export dataset=ml-100k to=DIR`.

DIR/NAME/ holds the split and the candidates in three layouts. NAME is the data set's, or that of `name=NAME`.

- `NAME.train.rating`, `NAME.test.rating` and `NAME.test.negative`: the layout of He et al. (2017). The validation items
  are in files of their own, `NAME.valid.rating` and `NAME.valid.negative`. Data with baskets have no such files, since
  the layout knows one test item a user.
- `NAME.train.inter`, `NAME.valid.inter` and `NAME.test.inter`: RecBole's atomic files. Its settings are
  `data_path: DIR`, `dataset: NAME`, `benchmark_filename: [train, valid, test]`. A basket is a `session_id`. RecBole
  1.2.1 reads its own ml-100k whatever `data_path` says, so choose another name.
- `interactions.parquet` (part, user, item, time, basket) and `candidates.parquet` (part, instance, user, candidate,
  is_target).

Users and items are numbered from 0; `users.csv` and `items.csv` hold their raw ids, and titles if the data has any.
Times are not in seconds: they only order a user's history, or a basket. With `protocol.test_item=random` two held-out
items next to each other may be in the wrong order. `instance` numbers the rows of `NAME.valid.inter`, and those of
`NAME.test.inter`, each from 0; `sdmr score` reads scores by these numbers. Users with fewer unseen items than others
have fewer candidates. With `protocol.test_item=global-time` a target that nobody trains is no candidate, and
interactions between the cuts that are no validation items are left out.
"""

import sys
from pathlib import Path

from pydantic import Field

from sdmr.experiments.core import cli
from sdmr.experiments.core.errors import UsageError
from sdmr.experiments.core.options import FileName, TaskOptions
from sdmr.experiments.core.plan import read_tie_policy
from sdmr.experiments.core.run import compose_task
from sdmr.experiments.core.task_files import export_task


class Options(TaskOptions):
    to: str = Field(description="folder to write into")
    name: FileName | None = Field(None, description="name of the files, by default the data set's")


def main(options: Options) -> int:
    run = compose_task(options.dataset, options.overrides)
    if run.protocol.candidates == "all" or read_tie_policy(options.overrides) != "expected":
        raise UsageError(
            "protocol.candidates=all and protocol.tie_policy=... have no effect on an export: "
            "it holds the candidates of the split, and no ranks"
        )
    if run.protocol.test_context != "training":
        raise UsageError("protocol.test_context: an export holds contexts of training items alone; leave it out")
    task = run.load_task()
    print(*export_task(task, options.name or options.dataset, Path(options.to)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.main(["export", *sys.argv[1:]]))
