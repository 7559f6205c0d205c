"""The page as a piece of paper: its style sheet and the few elements it is made of. What is on it is in ``page``.

Every string is escaped where it becomes part of an element, unless it is ``Html`` already.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from raynas.report.theme import COLOURS


class Html(str):
    """Markup. Joining it with anything but the functions here gives a plain string, which is escaped again."""

    __slots__ = ()


def tag(name: str, *children: str, cls: str = "", attributes: Mapping[str, str] | None = None) -> Html:
    """An element; its children and the values of its attributes are escaped unless they are ``Html``."""
    pairs = ({"class": cls} if cls else {}) | dict(attributes or {})
    written = "".join(f' {key}="{html.escape(value)}"' for key, value in pairs.items())
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """Several elements, or texts, one after the other."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def section(title: str, *children: str) -> Html:
    """A part of the page with a heading."""
    return tag("section", tag("h2", title), *children)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, cls: str = "") -> Html:
    """A table, whose first column names the rows; no head if ``head`` is empty."""
    top = [tag("thead", tag("tr", *(tag("th", name, attributes={"scope": "col"}) for name in head)))] if head else []
    body = (tag("tr", tag("th", row[0], attributes={"scope": "row"}), *(tag("td", cell) for cell in row[1:])) for row in rows)
    return tag("div", tag("table", *top, tag("tbody", *body), cls=cls), cls="wide")


def picture(svg: Html, label: str, caption: str) -> Html:
    """A picture with its caption; ``label`` is what it is called where it cannot be seen."""
    return tag(
        "figure",
        tag("div", svg, cls="wide picture", attributes={"role": "img", "aria-label": label}),
        tag("figcaption", caption),
    )


def document(title: str, *children: str) -> str:
    """The whole page. Its policy forbids scripts and anything from elsewhere, should one ever slip in."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    style = f"{_variables(0)}@media (prefers-color-scheme: dark) {{ {_variables(1)}}}\n"
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"{tag('title', title)}\n<style>\n{style}{_STYLE}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{tag("main", *children)}\n</body>\n</html>\n'


def _variables(which: int) -> str:
    return f":root {{ {' '.join(f'--{name}: {colours[which]};' for name, colours in COLOURS.items())} }}\n"


_STYLE = """\
* { box-sizing: border-box; }
html { background: var(--surface); color: var(--ink); -webkit-text-size-adjust: 100%; }
html { --sans: system-ui, -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", Arial, sans-serif; }
body { margin: 0; font: 16px/1.55 var(--sans); }
main { max-width: 53rem; margin: 0 auto; padding: 4rem 1.5rem 5rem; }
h1, h2 { line-height: 1.2; letter-spacing: -0.015em; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2.4rem; font-weight: 650; margin: 0.2rem 0 0.7rem; }
h2 { font-size: 1.3rem; font-weight: 650; margin: 0 0 0.9rem; }
p { margin: 0 0 1rem; max-width: 42rem; overflow-wrap: anywhere; }
section { margin-top: 3.6rem; }
.kind { color: var(--muted); font-size: 0.85rem; margin: 0; }
.lead { font-size: 1.12rem; color: var(--muted); }
.lead strong { color: var(--ink); font-weight: 600; }
.keys { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1.6rem 2rem; margin: 2.4rem 0 0; }
.keys > div { border-top: 2px solid var(--ink); padding-top: 0.7rem; }
.keys dt { font-size: 0.85rem; color: var(--muted); overflow-wrap: anywhere; }
.keys dd { margin: 0; font-variant-numeric: tabular-nums; }
.keys .value { font-size: 2.1rem; font-weight: 650; letter-spacing: -0.02em; line-height: 1.25; }
.keys .note { font-size: 0.85rem; color: var(--muted); line-height: 1.45; }
figure { margin: 0; }
figcaption { max-width: 42rem; margin-top: 0.6rem; color: var(--muted); font-size: 0.95rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.picture svg { display: block; width: 100%; min-width: 36rem; height: auto; }
.picture svg text { font-family: var(--sans) !important; }
.picture, table { font-variant-ligatures: none; } /* a name such as conv3x3 is shown as it is written */
.absent { color: var(--muted); border-left: 3px solid var(--grid); padding-left: 1rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: baseline; padding: 0.42rem 1.2rem 0.42rem 0; border-bottom: 1px solid var(--grid); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: 0.82rem; }
tbody th { font-weight: 500; overflow-wrap: anywhere; }
td { overflow-wrap: anywhere; }
.figures tbody th { width: 26%; } .figures td:nth-child(2) { width: 20%; font-weight: 600; }
.architecture tbody th { width: 20%; } .architecture td:nth-child(2) { width: 22%; font-weight: 600; color: var(--best); }
.architecture td:nth-child(3) { width: 14%; color: var(--muted); }
.architecture td:last-child, .figures td:last-child { color: var(--muted); }
.learnt { margin-top: 1.4rem; } .learnt tbody th { width: 24%; } .learnt td:nth-child(2) { width: 26%; font-weight: 600; }
.learnt td:last-child { color: var(--muted); } figure + figure { margin-top: 2.4rem; }
.stages tbody th { width: 24%; } .stages td:nth-child(2) { width: 20%; }
.bar { display: block; height: 0.6rem; background: var(--line); border-radius: 1px; min-width: 1px; }
.failures tbody th { font-weight: 600; width: 12%; } .failures td:last-child { color: var(--muted); width: 28%; }
.front tbody th { width: 8%; } .front td:last-child { color: var(--muted); width: 50%; }
summary { cursor: pointer; }
.versions tbody th { width: 24%; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--grid); color: var(--muted); font-size: 0.85rem; }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media (prefers-color-scheme: dark) { .picture svg image { filter: brightness(1.35); } }
@media print { main { padding: 0; max-width: none; } section { break-inside: avoid; } }
"""
