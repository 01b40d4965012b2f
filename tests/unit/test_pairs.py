"""Options that take pairs."""

from collections.abc import Callable
from typing import Any

import pytest
import typer

from cli.pairs import listed_pairs, meanings, pairs, whole_numbers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["user_id=who,event_time=Time (UTC)"], {"user_id": "who", "event_time": "Time (UTC)"}),
        (["user_id=who", "page=url"], {"user_id": "who", "page": "url"}),
        (['user_id="Customer, ID",page=url'], {"user_id": "Customer, ID", "page": "url"}),
        (['"user_id=Customer, ID",page=url'], {"user_id": "Customer, ID", "page": "url"}),
        (["user_id=Ana's, page=a=b"], {"user_id": "Ana's", "page": "a=b"}),
        (['user_id=" at "'], {"user_id": " at "}),
        ([r"user_id=C:\x\#1"], {"user_id": r"C:\x\#1"}),
        ([""], {}),
    ],
)
def test_columns_are_listed_with_commas_between(given: list[str], expected: dict[str, str]) -> None:
    assert listed_pairs("--map", given) == expected


def test_a_constant_may_hold_anything() -> None:
    assert pairs("--set", ['page=a,"b=c', "region=-"]) == {"page": 'a,"b=c', "region": "-"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["action:0=impression,1=click"], {"action": {"0": "impression", "1": "click"}}),
        (["action:0=impression", "action:1=click"], {"action": {"0": "impression", "1": "click"}}),
        (["action:=impression", "page:a:b=/"], {"action": {"": "impression"}, "page": {"a:b": "/"}}),
        (['action:"click, left=click","x=y=click"'], {"action": {"click, left": "click", "x=y": "click"}}),
        (["page:-="], {"page": {"-": ""}}),
    ],
)
def test_meanings_of_values(given: list[str], expected: dict[str, dict[str, str]]) -> None:
    assert meanings("--values", given) == expected


@pytest.mark.parametrize(
    ("read", "given", "said"),
    [
        (listed_pairs, ["user_id"], "'user_id' is not of the form FIELD="),
        (listed_pairs, ["user_id=Customer, ID"], "' ID' is not of the form FIELD="),
        (listed_pairs, ["user_id=a,user_id=b"], "gives 'user_id' twice"),
        (listed_pairs, ['user_id="a'], "a double quote that nothing closes"),
        (pairs, ["page=a", "page=b"], "gives 'page' twice"),
        (meanings, ["action=click"], "form FIELD:VALUE=MEANING"),
        (meanings, ["action:0"], "form FIELD:VALUE=MEANING"),
        (meanings, ["action:0=click,0=impression"], "action gives '0' twice"),
        (whole_numbers, ["amount_cents=1.5"], "takes whole numbers"),
    ],
)
def test_what_is_no_pair_is_said_with_its_option(read: Callable[..., Any], given: list[str], said: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"^--option.*{said}"):
        read("--option", given)
