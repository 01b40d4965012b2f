"""What the rebuild is asked for, before anything is started."""

import pytest

from jobs.batch.rebuild import main, with_needs
from lakehouse.contracts.graph import DERIVED, STREAM
from lakehouse.contracts.tables import TABLES


def test_a_table_is_rebuilt_after_what_it_is_computed_from() -> None:
    assert with_needs(["gold.user_totals"]) == [
        "silver.products",
        "silver.purchases",
        "gold.user_totals_daily",
        "gold.user_totals",
    ]


def test_every_silver_and_gold_table_of_the_stream_can_be_rebuilt() -> None:
    refreshed = {t.name for t in TABLES.values() if t.owner == STREAM and t.layer in ("silver", "gold")}
    assert set(DERIVED) == refreshed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "2026-03-02", "--to", "2026-03-01"], "--from 2026-03-02 lies after --to 2026-03-01"),
        (["--from", "2 March", "--to", "2026-03-01"], "'2 March' is not a date like 2026-03-01"),
        (["--from", "2026-03-01", "--to", "2026-03-01", "--tables", "gold.nope"], "unknown table 'gold.nope'"),
        (
            ["--from", "2026-03-01", "--to", "2026-03-01", "--tables", "bronze.clicks"],
            "bronze.clicks is not rebuilt from bronze; those that are: silver.products",
        ),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
