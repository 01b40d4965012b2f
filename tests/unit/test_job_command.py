"""What ``lakehouse job seek`` refuses before it touches anything."""

import pytest
from typer.testing import CliRunner

from cli.job import app


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["live_dashboard", "--to", "2026-03-01T14:00Z"], "lakehouse replay"),
        (["region_revenue__consumer", "--to", "yesterday"], "is no ISO 8601 time"),
        (["region_revenue__consumer", "--to", "2999-01-01T00:00Z"], "lies in the future"),
    ],
)
def test_a_seek_that_makes_no_sense_is_refused(arguments: list[str], says: str) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["seek", *arguments])
    assert result.exit_code == 2
    assert says in result.output
