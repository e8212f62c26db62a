"""One talk as a picture: what each proposal is worth to both sides, from the first to the deal.

Beside the proposals stand what could have been had: the Pareto front, the Nash point, and what each side has anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

Point = tuple[float, float]
"""Utilities of buyer and seller."""

SIDE = 480
MARGIN = 56
SIZE = SIDE + 2 * MARGIN
GREY = "#777"
COLOURS = ("#1f6f54", "#b5472f")


@dataclass(frozen=True, slots=True)
class Bargaining:
    """What is to be seen of one talk."""

    moves: list[Point]
    """Of each proposal, the buyer's first and then in turn."""
    agreed: Point | None
    front: list[Point]
    """The Pareto front."""
    nash: Point
    reserves: Point
    """What each side has without a deal."""


def draw(seen: Bargaining, buyer: str, seller: str) -> str:
    """An SVG document."""
    names = f"{escape(buyer)} buys", f"{escape(seller)} sells"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" font-family="sans-serif" font-size="13">',
        f'<rect width="{SIZE}" height="{SIZE}" fill="white"/>',
        *_axes(),
        _line(seen.front, GREY, "1.5"),
        *_reserves(seen.reserves),
        _dot(seen.nash, GREY, "M-6 0H6M0 -6V6M-4 -4L4 4M-4 4L4 -4"),
    ]
    for side, colour in enumerate(COLOURS):
        points = seen.moves[side::2]
        parts.append(_line(points, colour, "1", ".4"))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in map(_place, points)]
    if seen.agreed is not None:
        x, y = _place(seen.agreed)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="#222" stroke-width="2"/>')
    return "\n".join([*parts, *_legend(names, seen), "</svg>\n"])


def _place(point: Point) -> Point:
    return MARGIN + point[0] * SIDE, MARGIN + (1 - point[1]) * SIDE


def _line(points: list[Point], colour: str, width: str, opacity: str = "1") -> str:
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_place, points))
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _dot(point: Point, colour: str, path: str) -> str:
    x, y = _place(point)
    return f'<path transform="translate({x:.1f} {y:.1f})" d="{path}" stroke="{colour}" fill="none"/>'


def _axes() -> list[str]:
    low, high, middle = MARGIN, MARGIN + SIDE, MARGIN + SIDE / 2
    parts = [f'<path d="M{low} {low}V{high}H{high}" fill="none" stroke="#444"/>']
    for tenths in (0, 5, 10):
        x, y = _place((tenths / 10, tenths / 10))
        parts.append(f'<text x="{x}" y="{high + 18}" text-anchor="middle">{tenths / 10:g}</text>')
        parts.append(f'<text x="{low - 8}" y="{y + 4}" text-anchor="end">{tenths / 10:g}</text>')
    parts.append(f'<text x="{middle}" y="{SIZE - 14}" text-anchor="middle">utility of the buyer</text>')
    turned = f'transform="translate(18 {middle}) rotate(-90)" text-anchor="middle"'
    return [*parts, f"<text {turned}>utility of the seller</text>"]


def _reserves(reserves: Point) -> list[str]:
    x, y = _place(reserves)
    dashed = f'stroke="{GREY}" stroke-dasharray="4 4" fill="none"'
    return [f'<path d="M{x:.1f} {MARGIN}V{MARGIN + SIDE}M{MARGIN} {y:.1f}H{MARGIN + SIDE}" {dashed}/>']


def _legend(names: tuple[str, str], seen: Bargaining) -> list[str]:
    last = f"deal after {len(seen.moves)} proposals" if seen.agreed is not None else "no deal"
    rows = (
        (COLOURS[0], "●", names[0]),
        (COLOURS[1], "●", names[1]),
        ("#222", "○", last),
        (GREY, "—", "Pareto front"),
        (GREY, "✳", "Nash point"),
        (GREY, "┄", "reserves"),
    )
    x, parts = MARGIN + SIDE - 170, []
    for row, (colour, mark, text) in enumerate(rows):
        y = MARGIN + 14 + 18 * row
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">{mark}</text><text x="{x + 18}" y="{y}">{text}</text>')
    return parts
