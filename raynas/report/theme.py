"""The look of the pictures: colours, type, and how a picture follows the light or dark of the page around it.

What is drawn is in ``plots``; how the page looks is in ``template``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

INK, MUTED, GRID, SURFACE = "#1f2630", "#5f6875", "#e3e6ea", "#fffffe"
DOT, LINE, BEST = "#a9b4c2", "#0067a8", "#c8500a"
STEPS = ("#b9cde2", "#8fb5d8", "#639ccb", "#3b81b8", "#1f6299", "#0d416f")  # first trials to last ones
LEVEL = (0.09, 0.45, 0.74)  # red, green, blue of a full cell; in between by opacity, which suits light and dark alike

# name of the CSS variable: colour in the light, colour in the dark
COLOURS = {
    "ink": (INK, "#e4e8ed"),
    "muted": (MUTED, "#98a2af"),
    "grid": (GRID, "#2b323c"),
    "surface": (SURFACE, "#14181e"),
    "dot": (DOT, "#566273"),
    "line": (LINE, "#5bb1ec"),
    "best": (BEST, "#ff9a52"),
    **{
        f"step{i}": (light, dark)
        for i, (light, dark) in enumerate(
            zip(STEPS, ("#38506c", "#406590", "#4a7dae", "#62a0d8", "#8dc1f0", "#c4e2fc"), strict=True)
        )
    },
}

WIDTH = 7.6  # inches; 800 pixels on the page, which makes a point of type a pixel and a half
SMALL, NORMAL = 8.0, 9.0  # points

_STYLE: Any = {  # matplotlib types its settings by name since 3.11, by string before
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": SURFACE,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": NORMAL,
    "image.composite_image": False,
    "path.simplify": True,
    "savefig.bbox": None,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own type
    "svg.hashsalt": "raynas",
    "svg.image_inline": True,
    "text.color": INK,
    "text.parse_math": False,  # a key may hold dollar signs
    "text.usetex": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@contextmanager
def drawing() -> Iterator[None]:
    """The style, for as long as something is drawn or saved: ticks are made only when a figure is saved."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names may be in any script; a browser has the glyphs that the font used for measuring lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def embed(svg: str, prefix: str) -> str:
    """Make a picture part of a page.

    Its ids get a prefix, since several pictures share a page; its colours become the page's variables; the namespaces,
    which HTML knows, go. Only tags are changed, never the text between them.
    """
    variables = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}

    def change(match: re.Match[str]) -> str:
        tag = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", match[0])
        tag = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{prefix}-", tag).replace("xlink:href", "href")
        return re.sub(r"#[0-9a-f]{6}\b", lambda colour: variables.get(colour[0], colour[0]), tag)

    return re.sub(r"<[^>]+>", change, svg)
