"""Keep the test side out of reach of `fit`."""

import gc
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType, ModuleType

import numpy as np
import pytest

from sdmr.datasets.task import HeldOut, Instances, Training
from tests.behavior import small


def find_reachable(root: object) -> Iterator[object]:
    """Yield what `root` reaches by attributes, items, array bases and closures."""
    known: dict[int, object] = {}
    stack = [root]
    while stack:
        thing = stack.pop()
        if id(thing) in known or isinstance(thing, type | ModuleType):
            continue
        known[id(thing)] = thing
        yield thing
        if isinstance(thing, np.ndarray):
            stack.append(thing.base)
        elif isinstance(thing, FunctionType):  # its globals are the program, not what it received
            stack.extend(cell.cell_contents for cell in thing.__closure__ or ())
        else:
            stack.extend(gc.get_referents(thing))


def find_leaks(root: object, test: HeldOut) -> list[str]:
    """Name the test instances' arrays that `root` reaches."""
    hidden = {"users": test.users, "targets": test.targets, "candidates": test.candidates}
    hidden |= {name: getattr(test.contexts, name) for name in ("start", "length", "position", "count")}
    # `contexts.items` may be reached: it holds the training items, once for all instances.
    leaks = []
    for other in find_reachable(root):
        if other is test or other is test.contexts:
            leaks.append(type(other).__name__)
        elif isinstance(other, np.ndarray):
            leaks += [name for name, array in hidden.items() if np.shares_memory(other, array)]
            leaks += [name for name in ("targets", "candidates") if np.array_equal(other, hidden[name])]
    return leaks


class Spy:
    """Keep what `fit` receives."""

    def fit(self, training: Training) -> None:
        self.training = training
        training.matrix  # noqa: B018  cached on first use, so that the search sees it, too


def test_the_test_side_cannot_be_reached_from_what_fit_receives() -> None:
    task, spy = small(), Spy()
    spy.fit(task.training)
    seen = {id(thing) for thing in find_reachable(spy.training)}
    assert {id(task.training.validation.candidates), id(spy.training.matrix.indices)} <= seen  # it did look
    assert find_leaks(spy.training, task.test) == []


@pytest.mark.parametrize("hide", ["attribute", "view", "copy", "closure"])
def test_the_search_for_leaks_finds_one(hide: str) -> None:
    task = small()
    test = task.test
    hidden = {
        "attribute": test,
        "view": test.users[1:3],
        "copy": {"deep": [test.targets.copy()]},
        "closure": lambda: test.candidates,
    }
    training = replace(task.training)
    object.__setattr__(training, "cache", hidden[hide])
    assert find_leaks(training, test) != []


def test_held_out_pairs_are_in_no_matrix_and_no_context() -> None:
    training, test = small().training, small().test
    for held in (training.validation, test):
        assert not training.matrix[held.users, held.targets].any()
    sides: list[Instances] = [training.instances, training.validation, test]
    for side in sides:
        contexts = side.contexts.last_n(training.n_items)
        for held in (training.validation, test):
            target = dict(zip(held.users.tolist(), held.targets.tolist(), strict=True))
            for user, context in zip(side.users.tolist(), contexts.tolist(), strict=True):
                assert target.get(user) not in context
