"""One talk as a picture: what each proposal is worth to both sides, from the first to the deal."""

from __future__ import annotations

from xml.sax.saxutils import escape

SIDE = 480
MARGIN = 48
COLOURS = ("#1f6f54", "#b5472f")


def draw(moves: list[tuple[float, float]], buyer: str, seller: str) -> str:
    """An SVG document; ``moves`` are the utilities of buyer and seller, buyer first and then in turn."""
    size = SIDE + 2 * MARGIN

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return MARGIN + point[0] * SIDE, MARGIN + (1 - point[1]) * SIDE

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" font-family="sans-serif" font-size="13">',
        f'<rect width="{size}" height="{size}" fill="white"/>',
        f'<path d="M{MARGIN} {MARGIN}V{MARGIN + SIDE}H{MARGIN + SIDE}" fill="none" stroke="#444"/>',
        f'<text x="{MARGIN + SIDE / 2}" y="{size - 14}" text-anchor="middle">'
        f"utility of the buyer ({escape(buyer)})</text>",
        f'<text transform="translate(18 {MARGIN + SIDE / 2}) rotate(-90)" text-anchor="middle">'
        f"utility of the seller ({escape(seller)})</text>",
    ]
    for side, colour in enumerate(COLOURS):
        points = [place(move) for move in moves[side::2]]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-opacity=".4"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    if moves:
        x, y = place(moves[-1])
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="#222" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>\n"])
