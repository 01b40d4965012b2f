"""Which live streams a recomputation waits for."""

from jobs.batch.live_first import Late, falling_behind


def test_streams_that_owe_more_than_before_are_falling_behind() -> None:
    before = {"grows": Late(10, 200), "falls": Late(10, 200), "stays": Late(10, 200), "caught_up": Late(1, 130)}
    now = {"grows": Late(11, 205), "falls": Late(9, 205), "stays": Late(10, 205), "late_by_now": Late(50, 125)}
    assert falling_behind(before, now) == {"grows": Late(11, 205)}
