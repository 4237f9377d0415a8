"""When captures begin, of a program whose captures take any time: against a timeline that is played through."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stillframe.capture.pace import Pace

shares = st.floats(min_value=0.001, max_value=0.3)


def played(every_s: float, lasts_s: list[float]) -> list[float]:
    """Captures one after the other, the moment of each right at its beginning. How old what is on disk became: for each
    but the first, from the moment of the one before to when it was on disk itself."""
    pace, moment_s, ages_s = Pace(every_s, 0.0), 0.0, list[float]()
    for lasts in lasts_s:
        began_s = pace.due_s
        ages_s.append(began_s + lasts - moment_s)
        pace.made(began_s, began_s, began_s + lasts)
        assert pace.due_s >= began_s + lasts + every_s / 4
        moment_s = began_s
    return ages_s


@given(every_s=st.floats(min_value=0.01, max_value=10_000), share=shares, count=st.integers(2, 30))
def test_what_is_on_disk_is_never_older_than_the_interval(every_s: float, share: float, count: int) -> None:
    ages_s = played(every_s, [share * every_s] * count)
    assert max(ages_s[1:]) <= every_s * 1.000001
    assert ages_s[0] <= every_s * 1.05, "before the first it is a guess what it takes"


@given(lasts=st.lists(shares, min_size=10, max_size=40))
def test_it_is_older_only_by_what_a_capture_took_longer_than_any_before(lasts: list[float]) -> None:
    ages = played(1.0, lasts)
    for index in range(1, len(lasts)):
        longest = 1.25 * max(lasts[max(0, index - 8) : index])
        assert ages[index] <= 1.000001 + max(0.0, lasts[index] - longest)


def test_a_capture_that_was_put_off_counts_from_when_it_was_due() -> None:
    pace = Pace(10.0, 0.0)
    pace.made(began_s=7.5, moment_s=9.5, done_s=9.6)
    assert pace.due_s == 9.5 + 10 - 1.25 * (9.6 - 7.5)


def test_what_cannot_be_captured_is_tried_at_intervals() -> None:
    pace = Pace(10.0, 0.0)
    pace.failed(began_s=7.5, done_s=7.6)
    assert pace.due_s == 17.5
    pace.failed(began_s=17.5, done_s=30.0)
    assert pace.due_s == 32.5
