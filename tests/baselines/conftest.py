"""Fixtures for the tests of baselines."""

import pytest

from sdmr.harness.training import FastDropout


@pytest.fixture(params=[1.0, 2.0])
def factor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Let dropout multiply by a factor, by which a naive implementation shows where dropout stands."""
    monkeypatch.setattr(FastDropout, "forward", lambda self, values: request.param * values)
    value: float = request.param
    return value
