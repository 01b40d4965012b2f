"""Maintenance of a table that knows who still reads it, and from which version on."""

from typing import Any

from lakehouse.contracts.graph import readers
from lakehouse.contracts.tables import TABLES
from lakehouse.cuts import newest_cut
from lakehouse.delta import TableMissingError, maintenance, open_table
from lakehouse.delta.files import Source
from lakehouse.delta.maintenance import Vacuuming
from lakehouse.settings import Settings


def needed(settings: Settings, name: str) -> set[int]:
    """The versions of a table that are still to be read, however old: that of the newest cut, and those up to which the
    tables that follow it have read it. Raises what `lakehouse.delta.open_table` raises."""
    found = set()
    if (cut := newest_cut(settings)) is not None and name in cut.versions:
        found.add(cut.versions[name])
    source = Source.of(name, open_table(settings, name))
    for reader in readers(name):
        if reader in TABLES:
            try:
                position = source.position(open_table(settings, reader))
            except TableMissingError:
                continue
            if position is not None:
                found.add(position)
    return found


def vacuum(settings: Settings, name: str, *, dry_run: bool = False) -> Vacuuming:
    """As `lakehouse.delta.maintenance.vacuum`, of what nobody needs."""
    return maintenance.vacuum(settings, name, needed=needed(settings, name), dry_run=dry_run)


def maintain(settings: Settings, name: str) -> dict[str, Any]:
    """As `lakehouse.delta.maintenance.maintain`, of what nobody needs."""
    return maintenance.maintain(settings, name, needed(settings, name))
