"""The few shapes that a chart is made of, as SVG that shows well on light and dark backgrounds."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

#: em of a letter, on average; more than sans-serif fonts take, so that nothing overlaps in any
ADVANCE = 0.6
FONT = 12  #: pixels, where a text has no other size

# the image has its own background, so that text and background change together
_STYLE = """
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; fill: #24292f; }
.paper { fill: #ffffff; } .muted { fill: #5f6871; } .bad { fill: #c62828; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.ours { fill: #2f74c0; stroke: #2f74c0; } .warm { fill: #d9822b; stroke: #d9822b; }
.go { fill: #7b8794; stroke: #7b8794; } .curve { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .paper { fill: #0d1117; } .muted { fill: #9aa4af; } .bad { fill: #ff8a80; }
  .grid { stroke: #30363d; }
}
"""


def width(text: str, size: float = FONT) -> float:
    """Pixels that a text takes at most."""
    return len(text) * size * ADVANCE


class Figure:
    """Shapes, in the order in which they are drawn; pixels from the upper left corner."""

    def __init__(self) -> None:
        self._shapes: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = FONT,
        anchor: str = "start",
        kind: str = "",
        weight: str = "normal",
    ) -> None:
        """`y` is that of the base line; `anchor` is start, middle, or end."""
        kind = f' class="{kind}"' if kind else ""
        weight = f' font-weight="{weight}"' if weight != "normal" else ""
        head = f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
        self._shapes.append(f"{head}{kind}{weight}>{escape(text)}</text>")

    def rect(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        where = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        self._shapes.append(f'<rect {where} class="{kind}" stroke="none"/>')

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        where = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self._shapes.append(f'<line {where} class="grid"/>')

    def curve(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Straight from point to point, each marked."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        # a class's fill would win over an attribute
        self._shapes.append(f'<polyline points="{path}" class="{kind} curve" style="fill:none"/>')
        for x, y in points:
            self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{kind}"/>')

    def image(self, width: float, height: float, title: str) -> str:
        size = f'width="{width:.0f}" height="{height:.0f}"'
        view = f'viewBox="0 0 {width:.0f} {height:.0f}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img">',
                f"<title>{escape(title)}</title>",
                f"<style>{_STYLE}</style>",
                '<rect width="100%" height="100%" rx="6" class="paper"/>',
                *self._shapes,
                "</svg>\n",
            ]
        )


def ticks(most: float, count: int = 5) -> list[float]:
    """From 0 to `most` or a little more, at most `count` + 1 round numbers."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10.0**-3
    while True:
        for factor in (1, 2, 5):
            if most <= count * step * factor:
                number = -(-most // (step * factor))
                return [index * step * factor for index in range(int(number) + 1)]
        step *= 10
