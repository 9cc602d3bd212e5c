"""Draws the rooms of docs/design/rooms.svg from the import contracts of pyproject.toml.

Each package is a box, each layer of it a row, from the roof down: a room sees those below it. Rooms
that have a contract of their own are drawn with their rooms in them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from common import ROOT

PICTURE: Final = ROOT / "docs" / "design" / "rooms.svg"

# Pixels.
_WIDTH: Final = 1_000
_MARGIN: Final = 12
_GAP: Final = 6
_ROOM: Final = 26
_TITLE: Final = 20
# How many times as wide as a plain room one is that has rooms in it.
_SHARE: Final = 3

# The fill of a box, by how deep it lies.
_FILLS: Final = ("#f4f1ea", "#e3ebf4", "#ffffff")
_INK: Final = "#22303c"

# A package's layers, from the roof down; each holds rooms that do not see each other.
Layers = list[list[str]]


class Box(NamedTuple):
    """A drawn room: its SVG, and how high it is."""

    svg: str
    height: int


def contracts() -> dict[str, Layers]:
    """The layers of every package, by its name; "" is the project."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found: dict[str, Layers] = {}
    for contract in tomllib.loads(text)["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            layers = [_rooms(each) for each in contract["layers"]]
            layers = [layer for layer in layers if layer]
            found[contract.get("containers", [""])[0]] = layers
    return found


def _rooms(layer: str) -> list[str]:
    """The rooms of a layer, but for a package's own door."""
    rooms = [room.strip() for room in layer.split("|")]
    return [room for room in rooms if room != "__main__"]


def draw(packages: dict[str, Layers] | None = None) -> str:
    """The picture, as SVG."""
    packages = contracts() if packages is None else packages
    inside = _rows("", packages, _MARGIN, _MARGIN, _WIDTH - 2 * _MARGIN, depth=0)
    height = inside.height + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" font-family="system-ui, sans-serif" '
        f'font-size="13" fill="{_INK}">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>\n{inside.svg}</svg>\n'
    )


def _rows(
    package: str, packages: dict[str, Layers], left: int, top: int, width: int, *, depth: int
) -> Box:
    """The layers of a package, one below the other."""
    drawn, y = "", top
    for layer in packages[package]:
        row = _row(package, layer, packages, left, y, width, depth)
        drawn, y = drawn + row.svg, y + row.height + _GAP
    return Box(drawn, y - _GAP - top)


def _row(  # noqa: PLR0917 - where it lies, in the order of _rows
    package: str,
    layer: Sequence[str],
    packages: dict[str, Layers],
    left: int,
    top: int,
    width: int,
    depth: int,
) -> Box:
    """Rooms side by side, all as high as the highest of them."""
    names = [f"{package}.{room}" if package else room for room in layer]
    shares = [_SHARE if name in packages else 1 for name in names]
    unit = (width - _GAP * (len(layer) - 1)) / sum(shares)
    widths = [int(share * unit) for share in shares]
    lefts = [left + sum(widths[:number]) + _GAP * number for number in range(len(layer))]
    insides = [
        _rows(name, packages, x + _GAP, top + _TITLE, each - 2 * _GAP, depth=depth + 1)
        if name in packages
        else None
        for name, x, each in zip(names, lefts, widths, strict=True)
    ]
    height = max(_ROOM if inside is None else inside.height + _TITLE + _GAP for inside in insides)
    drawn = ""
    for room, x, each, inside in zip(layer, lefts, widths, insides, strict=True):
        fill = _FILLS[min(depth, len(_FILLS) - 1)]
        drawn += (
            f'<rect x="{x}" y="{top}" width="{each}" height="{height}" rx="4" fill="{fill}" '
            f'stroke="#9fb0bf"/>\n'
        )
        if inside is None:
            middle, line = x + each // 2, top + height // 2 + 5
            drawn += f'<text x="{middle}" y="{line}" text-anchor="middle">{escape(room)}</text>\n'
        else:
            drawn += (
                f'<text x="{x + _GAP}" y="{top + 15}" font-weight="600">{escape(room)}</text>\n'
            )
            drawn += inside.svg
    return Box(drawn, height)
