"""When the share of a topic's dead letters has jumped."""

from lakehouse.dead_letters import Jump, jump

WHY = {"out_of_range of event_time": 1}


def jumped(dead: int, records: int, dead_before: int = 0, before: int = 0) -> bool:
    return jump("shop.clicks", (records, dead), (before, dead_before), WHY) is not None


def test_a_share_of_more_than_five_in_a_hundred_is_a_jump() -> None:
    assert jumped(61, 1_200)
    assert not jumped(60, 1_200)


def test_a_handful_is_no_jump() -> None:
    assert jumped(20, 20)
    assert not jumped(19, 19)


def test_what_was_usual_before_is_no_jump() -> None:
    assert not jumped(360, 1_200, dead_before=10_000, before=100_000)
    assert jumped(361, 1_200, dead_before=10_000, before=100_000)


def test_a_topic_without_records_has_no_share() -> None:
    assert not jumped(0, 0)


def test_a_jump_says_how_many_and_why() -> None:
    found = jump("shop.clicks", (1_200, 1_190), (10_000, 40), {"out_of_range of event_time": 1_180, "not_json": 10})
    assert str(found) == (
        "1190 of the last 1200 records of shop.clicks are dead letters (1180 out_of_range of event_time, 10 not_json), "
        "before that 0.4% were"
    )
    assert isinstance(found, Jump)
