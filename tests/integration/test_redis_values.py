"""Which value Redis keeps, and what is read back."""

import json
from datetime import date
from typing import Any

import pytest

from infra.local.isolated import free_port_base
from lakehouse.redis_values import CURRENT_SESSIONS, PRODUCT_METRICS, LiveValue, LiveValues, parse_value
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.conftest import Stack

pytestmark = pytest.mark.stack

START = 1_709_280_000_000


def window(seq: int, *, generation: int = 1, product: str = "mug", events: int | None = None) -> LiveValue:
    return parse_value(
        json.dumps(
            {
                "table": PRODUCT_METRICS,
                "generation": generation,
                "seq": seq,
                "product_id": product,
                "window_start": START,
                "window_end": START + 300_000,
                "impressions": seq,
                "clicks": 0,
                "conversions": 0,
                "revenue_cents": 0,
                "ctr": 0.0,
                "events": seq if events is None else events,
                "fingerprint": str(2**62 + seq),
            }
        ).encode()
    )


@pytest.fixture
def settings(stack: Stack, request: pytest.FixtureRequest) -> Settings:
    name = f"r{abs(hash(request.node.name)) % 10**8}"
    return stack.ensure("valkey").model_copy(update={"namespace": name})


@pytest.fixture
def values(settings: Settings) -> LiveValues:
    return LiveValues(settings)


def kept(values: LiveValues) -> list[tuple[str, int]]:
    return sorted((row["product_id"], row["impressions"]) for row in values.rows(PRODUCT_METRICS))


def test_a_value_is_read_back_as_the_contract_has_it(values: LiveValues) -> None:
    values.replace([window(3)], {})
    expected: dict[str, Any] = {
        "product_id": "mug",
        "window_start": START,
        "window_end": START + 300_000,
        "impressions": 3,
        "clicks": 0,
        "conversions": 0,
        "revenue_cents": 0,
        "ctr": 0.0,
        "events": 3,
        "fingerprint": 2**62 + 3,
        "event_date": date(2024, 3, 1),
    }
    assert list(values.rows(PRODUCT_METRICS)) == [expected]
    assert list(values.rows(CURRENT_SESSIONS)) == []


def test_a_higher_sequence_replaces(values: LiveValues) -> None:
    values.replace([window(9)], {})
    values.replace([window(10)], {})
    assert kept(values) == [("mug", 10)]


def test_an_equal_sequence_replaces(values: LiveValues) -> None:
    values.replace([window(9)], {})
    values.replace([window(9)._replace(row=window(5).row)], {})
    assert kept(values) == [("mug", 5)]


def test_a_lower_sequence_is_refused(values: LiveValues) -> None:
    values.replace([window(10)], {})
    values.replace([window(9)], {})
    assert kept(values) == [("mug", 10)]


def test_a_new_generation_replaces_a_higher_sequence(values: LiveValues) -> None:
    values.replace([window(10)], {})
    values.replace([window(1, generation=2)], {})
    assert kept(values) == [("mug", 1)]


def test_an_old_generation_is_refused_whatever_its_sequence(values: LiveValues) -> None:
    values.replace([window(1, generation=2)], {})
    values.replace([window(10)], {})
    assert kept(values) == [("mug", 1)]


def test_a_window_that_lost_its_events_is_no_row(values: LiveValues) -> None:
    values.replace([window(1)], {})
    values.replace([window(2, events=0)], {})
    assert kept(values) == []


def test_older_generations_are_deleted(values: LiveValues) -> None:
    values.replace([window(1, product=f"p{n}") for n in range(1200)], {})
    values.replace([window(2, product="p7", generation=2)], {})
    assert values.cleared_below() == 0
    assert values.delete_older_generations(2) == 1199
    assert values.cleared_below() == 2
    assert values.delete_older_generations(2) == 0
    assert kept(values) == [("p7", 2)]


def test_positions_are_kept_with_the_values(values: LiveValues) -> None:
    values.replace([window(1)], {0: 5, 3: 7})
    values.replace([], {0: 6})
    assert values.positions() == {0: 6, 3: 7}


def test_namespaces_do_not_meet(settings: Settings, values: LiveValues) -> None:
    values.replace([window(1)], {0: 1})
    other = LiveValues(settings.model_copy(update={"namespace": settings.namespace + "x"}))
    assert kept(other) == []
    assert other.positions() == {}


def test_what_an_earlier_version_has_let_in_is_no_row_and_is_replaced(
    values: LiveValues, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {"a": {"generation": -1}, "b": {"row": b'{"product_id": "b"}'}}
    values.replace([window(1, product=name)._replace(**changed) for name, changed in odd.items()], {})
    assert kept(values) == [("a", 1)]
    assert "product_metrics_5m" in caplog.text
    values.replace([window(2, product="b")], {})
    assert kept(values) == [("a", 1), ("b", 2)]
    assert values.delete_older_generations(1) == 1
    values.replace([window(1, product="a")._replace(generation=-1)], {})
    values.replace([window(2, product="a")], {})
    assert kept(values) == [("a", 2), ("b", 2)]


def test_a_redis_that_is_down_is_named_with_the_command_that_starts_it(settings: Settings) -> None:
    nobody = settings.model_copy(update={"redis_port": free_port_base()})
    with pytest.raises(ServiceDownError, match="lakehouse up valkey"):
        LiveValues(nobody).positions()
