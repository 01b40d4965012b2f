"""The Spark stream on a store that answers 500 or 503: many end it with a sentence, and it gets over some."""

from typing import TYPE_CHECKING

import pytest

from lakehouse.compare import compare
from lakehouse.contracts.owners import SPARK_INGEST
from lakehouse.delta import scan
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.process import ERROR_LINE
from lakehouse.settings import Settings
from lakehouse.spark_checkpoints import spark_positions
from tests.integration.spark_lake import Driver, click, purchase, send
from tests.integration.tables.refusing_store import RefusingProxy

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

DATA, COMMIT = "/silver/clicks/event_date", "/bronze/clicks/_delta_log/00000000000000000002.json"
TABLES = ["bronze.clicks", "silver.clicks", "silver.purchases", "gold.user_totals"]


def behind(settings: Settings, proxy: RefusingProxy) -> Settings:
    return settings.model_copy(update={"minio_port": proxy.port})


def test_a_store_that_goes_on_failing_ends_the_driver_with_a_sentence_and_one_that_fails_for_a_while_is_got_over(
    stack: "Stack",
) -> None:
    settings = stack.ensure("kafka", "minio", "postgres").model_copy(update={"namespace": "refused"})
    create_topics(settings)
    upstream = (settings.host, settings.minio_port)
    send(settings, [click("ana", 0), purchase("ana", 1)])
    with RefusingProxy(upstream, 500, "PUT", DATA) as proxy, Driver(behind(settings, proxy)) as driver:
        status = driver.wait()
    assert proxy.count > 1
    assert status == 1
    # The last line of this kind is what the job's status shows.
    said = ERROR_LINE.findall(driver.log.read_text())[-1]
    assert SPARK_INGEST in said
    assert "s3a://lakehouse/refused/silver/clicks" in said
    assert "Status Code: 500" in said
    heights = {name: scan(settings, name).collect().height for name in TABLES[:2]}
    assert heights == {"bronze.clicks": 1, "silver.clicks": 0}

    send(settings, [click("bo", 2), purchase("bo", 3)])
    with RefusingProxy(upstream, 503, "PUT", COMMIT, times=3) as proxy, Driver(behind(settings, proxy)) as driver:
        driver.drain()
    assert proxy.count == 3
    assert [t for t in compare(settings, TABLES).tables if not t.equal] == []
    assert sum(spark_positions(settings)["shop.clicks"].values()) == 2
