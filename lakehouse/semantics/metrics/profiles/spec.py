"""`silver.profiles`: a row per version of a profile."""

from typing import Final

from lakehouse.contracts.columns import silver_versions
from lakehouse.contracts.events import PROFILES
from lakehouse.semantics.scopes import Key, same

CONTRACT: Final = silver_versions(PROFILES)

SCOPE: Final = same(None, {PROFILES.topic: Key(("user_id",))})
