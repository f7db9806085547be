"""A measurement that others disturbed is made again, and chosen by what they did, not by what it says."""

from __future__ import annotations

from collections.abc import Callable

from suite.process import MeasurementError, Sample, calmest


def sample(rate: int, foreign_cpu: float) -> Sample:
    return Sample(
        frames=rate,
        seconds=1.0,
        p50_us=1.0,
        p99_us=1.0,
        max_us=1.0,
        server_cpu=0.5,
        client_cpu=0.5,
        foreign_cpu=foreign_cpu,
        server_peak=1,
    )


def in_turn(*samples: Sample) -> Callable[[], Sample]:
    return iter(samples).__next__


def test_a_calm_one_is_made_once():
    assert calmest(in_turn(sample(10, 0.02)), again=2).rate == 10


def test_a_disturbed_one_is_made_again_until_it_is_calm():
    measured = in_turn(sample(99, 0.7), sample(20, 0.05))
    assert calmest(measured, again=2).rate == 20


def test_the_least_disturbed_counts_where_none_is_calm():
    measured = in_turn(sample(10, 0.9), sample(20, 0.3), sample(30, 0.5))
    assert calmest(measured, again=2).rate == 20


def test_one_that_was_made_counts_where_another_does_not_get_through():
    made = [sample(10, 0.9)]

    def measure() -> Sample:
        if not made:
            raise MeasurementError("stuck")
        return made.pop()

    assert calmest(measure, again=2).rate == 10


def test_it_is_not_made_again_where_nobody_wants_that():
    assert calmest(in_turn(sample(10, 0.9)), again=0).rate == 10
