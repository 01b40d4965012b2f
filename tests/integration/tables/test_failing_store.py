"""A store that refuses, fails or has no such bucket: a retry or a clear error, and never a half-written table."""

import time

import pytest

from lakehouse.delta import BucketMissingError, StoreFailingError, append_ops, create_table, open_table
from lakehouse.settings import Settings
from tests.integration.tables.refusing_store import RefusingProxy
from tests.integration.tables.writing import NAME, row
from tests.lake import stored

pytestmark = pytest.mark.timeout(240)

DATA, COMMIT = f"/{NAME.replace('.', '/')}/part-", "/_delta_log/00000000000000000001.json"


def behind(lake: Settings, proxy: RefusingProxy) -> Settings:
    return lake.model_copy(update={"minio_port": proxy.port})


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("path", [DATA, COMMIT])
def test_delta_rs_gets_over_a_store_that_fails_three_times(lake, path: str, status: int) -> None:
    create_table(lake, NAME)
    with RefusingProxy((lake.host, lake.minio_port), status, "PUT", path, times=3) as proxy:
        assert append_ops(behind(lake, proxy), NAME, [row("run")]) == 1
    assert proxy.count == 3
    assert stored(lake, NAME)["run_id"].to_list() == ["run"]


@pytest.mark.parametrize("path", [DATA, COMMIT])
def test_delta_rs_gives_up_with_a_sentence_and_leaves_the_table_as_it_was(lake, path: str) -> None:
    create_table(lake, NAME)
    began = time.monotonic()
    said = r"ops.quality_results: MinIO at .* fails: .*503"
    with (
        RefusingProxy((lake.host, lake.minio_port), 503, "PUT", path) as proxy,
        pytest.raises(StoreFailingError, match=said),
    ):
        append_ops(behind(lake, proxy), NAME, [row("run")])
    assert proxy.count > 1
    assert time.monotonic() - began < 120
    assert open_table(lake, NAME).version() == 0
    assert stored(lake, NAME).height == 0


def test_delta_rs_says_that_a_bucket_is_missing(lake) -> None:
    elsewhere = lake.model_copy(update={"bucket": "nobody-made-it"})
    with pytest.raises(BucketMissingError, match=r"no bucket nobody-made-it: .lakehouse up minio"):
        append_ops(elsewhere, NAME, [row("run")])
