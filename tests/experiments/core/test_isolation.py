"""What a module of the user's holds is as at its import when a run begins."""

import importlib
from pathlib import Path

import pytest

from sdmr.experiments.core.isolation import keep_modules

HELPER = """
import numpy as np
RNG = np.random.default_rng(0)
"""
MODEL = """
import numpy as np
import own_helper
cache, arrays, count, FIXED = {}, [np.zeros(2)], 0, (1, 2)

class Net:
    seen, n_fits, table = [], 0, np.zeros(2)

    def fit(self):
        global count, late
        count, late = count + 1, 1
        cache["fit"] = arrays[0][0] = self.table[1] = 7.0
        self.seen.append(1)
        type(self).n_fits += 1
        return own_helper.RNG.random()

def describe():
    state = count, cache, arrays[0].tolist(), FIXED, "late" in globals()
    return *state, Net.seen, Net.n_fits, Net.table.tolist()
"""


def test_a_module_and_its_helpers_are_as_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("own_helper.py").write_text(HELPER)
    Path("own_isolated.py").write_text(MODEL)
    module = importlib.import_module("own_isolated")
    drawn = []
    for _ in range(2):
        with keep_modules(["own_isolated", "sdmr.baselines.popularity"]):
            drawn.append(module.Net().fit())
            assert module.describe() == (1, {"fit": 7.0}, [7.0, 0.0], (1, 2), True, [1], 1, [0.0, 7.0])
        assert module.describe() == (0, {}, [0.0, 0.0], (1, 2), False, [], 0, [0.0, 0.0])
    assert drawn[0] == drawn[1]
