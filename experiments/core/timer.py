"""Time the phases of a run."""

from sdmr.harness.records import read_clocks


class PhaseTimer:
    """Hold the seconds of each phase, by the clock and of all processors."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self._start = read_clocks()

    def end(self, phase: str) -> None:
        """Note the end of a phase, at which the next one starts."""
        now = read_clocks()
        self.seconds[phase], self.cpu_seconds[phase] = (
            after - before for before, after in zip(self._start, now, strict=True)
        )
        self._start = now
