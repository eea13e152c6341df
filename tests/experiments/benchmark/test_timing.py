"""Times are the best of turns, and ratios what they say."""

from sdmr.experiments.benchmark.cases import TINY
from sdmr.experiments.benchmark.synthetic import draw_excerpt
from sdmr.experiments.benchmark.timing import Entry, Measure, best_of, make_model, time_training_step


def test_compared_measures_take_turns_and_the_least_seconds_count() -> None:
    calls = []

    def make_measure(name: str, seconds: list[float]) -> Measure:
        def measure() -> float:
            calls.append(name)
            return seconds[calls.count(name) - 1]

        return measure

    assert best_of(3, make_measure("a", [3.0, 1.0, 2.0]), make_measure("b", [4.0, 9.0, 5.0])) == [1.0, 4.0]
    assert calls == ["a", "b"] * 3


def test_a_ratio_says_how_many_times_faster_than_the_oracle() -> None:
    entry = Entry("train", {"count": 256, "of": "interactions", "model": "sdm"}, 0.5, 6.0)
    assert entry.ratio == 12
    assert str(entry).split()[:2] == ["12.00", "x"]
    assert "512 interactions/s" in str(entry)
    assert Entry("negatives", {}, 0.5).ratio is None


def test_a_training_step_is_timed_without_the_first_epoch() -> None:
    model, training = make_model("mf-bpr"), draw_excerpt(TINY.make_task().training, 512)
    measured = time_training_step(model, training)
    seconds = [entry["fit_seconds"] for entry in model.history[1:]]
    assert len(seconds) == 3
    assert measured == min(seconds[1:]) / 2  # 512 instances are two batches
