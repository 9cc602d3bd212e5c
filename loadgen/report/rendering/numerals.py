"""Numbers as Brazilian readers write them: a comma for the decimals, a point for the thousands."""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import Final

# Digits that say something: intervals of a small machine are wider than a thousandth.
SIGNIFICANT: Final = 3
MISSING: Final = "–"
# Keeps a figure and its unit on one line.
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
# Below it a figure is written with a power of ten.
LEAST_FIXED: Final = 1e-3
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MONTHS: Final = (
    "janeiro", "fevereiro", "março", "abril", "maio", "junho",
    "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
)  # fmt: skip


def fixed(value: float, decimals: int) -> str:
    """`1234.5, 1` as `1.234,5`."""
    return f"{value:,.{decimals}f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def number(value: float | None, significant: int = SIGNIFICANT) -> str:
    """A figure with so many significant digits; integers above them are written whole.

    Below a thousandth noughts are hard to count: there it is `1,23 × 10⁻⁵`.
    """
    if value is None or not isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < LEAST_FIXED:
        mantissa, _, exponent = f"{value:.{significant - 1}e}".partition("e")
        return f"{mantissa.replace('.', ',')}{NO_BREAK}×{NO_BREAK}10{str(int(exponent)).translate(_RAISED)}"
    decimals = max(0, significant - 1 - floor(log10(abs(value))))
    # 9.996 has one digit more once it is rounded.
    rounded = round(value, decimals)
    if rounded != 0:
        decimals = max(0, significant - 1 - floor(log10(abs(rounded))))
    return fixed(rounded, decimals)


def plain(value: float | None) -> str:
    """A figure that somebody chose and nobody measured: no digit more than it has."""
    text = number(value, 6)
    return text.rstrip("0").rstrip(",") if "," in text else text


def count(value: float) -> str:
    """A whole number."""
    return fixed(value, 0)


def milliseconds(value: float | None) -> str:
    """A duration given in milliseconds, in the unit that reads best."""
    if value is None or not isfinite(value):
        return MISSING
    if abs(value) >= 1e3:
        return f"{number(value / 1e3)}{NO_BREAK}s"
    return f"{number(value)}{NO_BREAK}ms"


def percent(share: float | None) -> str:
    """A measured share of one as a percentage."""
    if share is None or not isfinite(share):
        return MISSING
    return f"{number(share * 100)}{NO_BREAK}%"


def bound(share: float) -> str:
    """A share of one that was chosen, as a percentage."""
    return f"{plain(share * 100)}{NO_BREAK}%"


def listed(words: list[str], last: str = "e") -> str:
    """`a, b e c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def plural(number_of: int, one: str, many: str) -> str:
    """`1 execução`, `2 execuções`."""
    return f"{count(number_of)} {one if number_of == 1 else many}"


def date(iso: str) -> str:
    """The day of an ISO instant, in words; what is not one is handed back as it is."""
    year, _, rest = iso.partition("-")
    month, _, day = rest.partition("-")
    if not (year.isdecimal() and month.isdecimal() and day[:2].isdecimal()):
        return iso
    return f"{int(day[:2])} de {_MONTHS[int(month) - 1]} de {year}"
