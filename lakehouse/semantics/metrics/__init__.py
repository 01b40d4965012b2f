"""The rooms of the metrics: a folder for each table that is computed from others, with its one SQL.

`refresh.sql` gives a table's rows, less `changed_by`, from rows of what it is computed from: ``{silver_clicks}`` is
silver.clicks. It is written once, in what Spark and DataFusion both understand (`lakehouse.semantics.dialects`). An
engine chooses what it gives to it, as long as that holds all that `lakehouse.semantics.scopes` says that the rows need.
"""

from functools import cache
from pathlib import Path
from typing import Final

ROOMS: Final = Path(__file__).parent


@cache
def refresh_sql(name: str) -> str:
    """The SQL of the table `name` (``layer.table``), in the common dialect.

    Raises:
        LookupError: there is none.
    """
    path = ROOMS / name.split(".")[1] / "refresh.sql"
    if not path.is_file():
        raise LookupError(f"{name} has no refresh.sql: {path.parent} is no room")
    return path.read_text(encoding="utf-8")


def placeholder(source: str) -> str:
    """How SQL names a table: ``silver_clicks`` is silver.clicks."""
    return source.replace(".", "_")
