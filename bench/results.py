"""What was measured, before anything is said about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.figures import Sample, ms


@dataclass
class Results:
    """Samples by (measure, state, subject); figures, named with their unit, by (name, state, subject)."""

    samples: dict[tuple[str, str, str], Sample] = field(default_factory=dict)
    numbers: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def keep(self, measure: str, kind: str, samples: dict[str, Sample]) -> None:
        for subject, sample in samples.items():
            self.samples[measure, kind, subject] = sample

    def sample(self, measure: str, kind: str, subject: str = "stillframe") -> Sample | None:
        return self.samples.get((measure, kind, subject))

    def median_s(self, measure: str, kind: str, subject: str = "stillframe") -> float | None:
        sample = self.sample(measure, kind, subject)
        return sample.median_s if sample else None

    def number(self, name: str, kind: str = "", subject: str = "stillframe") -> float | None:
        return self.numbers.get((name, kind, subject))

    def note(self, name: str, value: float, kind: str = "", subject: str = "stillframe") -> None:
        self.numbers[name, kind, subject] = value


@dataclass
class Taken:
    """Samples by measure and subject, and single figures: where there is one state only."""

    samples: dict[tuple[str, str], Sample] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    def add(self, measure: str, subject: str, seconds: float) -> None:
        self.samples.setdefault((measure, subject), Sample()).seconds.append(seconds)

    def median_s(self, measure: str, subject: str) -> float:
        return self.samples.get((measure, subject), Sample()).median_s

    def seconds(self, measure: str, subject: str) -> list[float]:
        return self.samples.get((measure, subject), Sample()).seconds

    def ms(self, measure: str, subject: str) -> str:
        return ms(self.samples.get((measure, subject)))
