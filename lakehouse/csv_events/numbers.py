"""Numbers as files have them."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from lakehouse.csv_events.mapping import DecimalMark

_INT64: Final = 2**63
_EXACT: Final = Context(prec=100, traps=[InvalidOperation, Inexact])
_MARKS: Final = {DecimalMark.POINT: ".", DecimalMark.COMMA: ","}


class NotANumberError(ValueError):
    """The text is no number of the kind that is asked for; the message says so."""


def read_decimal(text: str, mark: DecimalMark) -> Decimal:
    """The number that `text` is, exactly. Raises NotANumberError, for any other mark too.

    The other mark would group digits: taken for decimals, the number would be a thousandth of what is meant.
    """
    try:
        if all(sign not in text for other, sign in _MARKS.items() if other is not mark):
            return Decimal(text.replace(_MARKS[mark], "."))
    except InvalidOperation:
        pass
    raise NotANumberError(f"{text!r} is not a number, with a decimal {mark} (see --decimal) and no other mark")


def read_integer(text: str, mark: DecimalMark, factor: int, field: str) -> int:
    """`text` times `factor`, which must be whole and within int64. Raises NotANumberError."""
    try:
        scaled = _EXACT.multiply(read_decimal(text, mark), factor)
    except ArithmeticError:
        raise NotANumberError(f"{text!r} is not a number") from None
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise NotANumberError(f"{text!r} times {factor} is not a whole number; choose --scale {field}=100")
    if not -_INT64 <= scaled < _INT64:
        raise NotANumberError(f"{text!r} is too large")
    return int(scaled)
