"""What is printed for a shell means the same in one."""

import shlex
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from lakehouse.contracts.tables import table
from lakehouse.explain.keys import NoSuchRowError, as_pasted, as_typed, from_typed
from lakehouse.shell import arguments, quoted

HOSTILE = [
    "-u7",
    "--",
    "-",
    "a b",
    "",
    "$(id)",
    "`id`",
    "a\\",
    "'",
    '"',
    "~",
    "*",
    "#1",
    "&",
    "ü",
    "!x",
    "a\nb",
    "{a,b}",
]
USERS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=8)
TOTALS = table("gold.user_totals")


def test_a_shell_reads_what_was_meant() -> None:
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {arguments(HOSTILE)}"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split("\0") == ["--", *HOSTILE, ""]


@given(st.lists(USERS, max_size=4))
def test_words_come_back(words: list[str]) -> None:
    dashed = any(word.startswith("-") for word in words)
    assert shlex.split(arguments(words)) == ["--"] * dashed + words


def test_what_needs_no_quotes_has_none() -> None:
    assert quoted("u:ü/7.5,a=b@c%d+e-f_g") == "u:ü/7.5,a=b@c%d+e-f_g"


@given(USERS)
def test_a_key_that_was_kept_as_text_comes_back(user: str) -> None:
    assert from_typed(TOTALS, as_typed({"user_id": user})) == {"user_id": user}


def test_keys_that_begin_with_a_dash_are_named_as_they_are_given() -> None:
    assert as_pasted({"user_id": "-42"}) == "-- -42"
    error = NoSuchRowError(TOTALS, {"user_id": "-4 2"}, [{"user_id": "--json"}])
    assert str(error).startswith("gold.user_totals has no row -- '-4 2'; it has: -- --json. ")
