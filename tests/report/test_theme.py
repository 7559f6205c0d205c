"""How a picture becomes part of a page."""

from raynas.report.theme import COLOURS, INK, embed

NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def test_ids_are_told_apart_and_namespaces_go() -> None:
    svg = f'<svg {NAMESPACES}><g id="a"><use xlink:href="#a" clip-path="url(#a)"/></g></svg>'
    assert embed(svg, "one") == '<svg><g id="one-a"><use href="#one-a" clip-path="url(#one-a)"/></g></svg>'


def test_colours_become_variables() -> None:
    assert embed(f'<g style="fill: {INK}; stroke: #123456"/>', "one") == '<g style="fill: var(--ink); stroke: #123456"/>'


def test_text_between_tags_is_left_alone() -> None:
    text = f'{INK} id="a" xlink:href="#a" &lt;xmlns="b"&gt;'
    assert embed(f"<text>{text}</text>", "one") == f"<text>{text}</text>"


def test_every_colour_is_one_variable() -> None:
    assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)
    assert all(light == light.lower() for light, _ in COLOURS.values())  # as they are written into pictures
