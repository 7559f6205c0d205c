from raynas.report.template import Html, document, join, picture, section, table, tag
from raynas.report.theme import COLOURS


def test_what_is_not_markup_is_escaped_wherever_it_stands() -> None:
    evil = '<b onclick="x">&'
    for element in (tag("p", evil), tag("p", attributes={"title": evil}), section(evil), table((evil,), [(evil,)], cls="wide")):
        assert "<b" not in element
        assert '"x"' not in element
    assert "<title>&lt;b" in document(evil)


def test_markup_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "1 < 2"), " & 3") == "<p><b>1 &lt; 2</b> &amp; 3</p>"


def test_markup_joined_by_hand_is_plain_text_again() -> None:
    by_hand = tag("b", "one") + "<i>"
    assert not isinstance(by_hand, Html)
    assert join([by_hand]) == "&lt;b&gt;one&lt;/b&gt;&lt;i&gt;"


def test_a_table_names_its_columns_and_rows() -> None:
    written = table(("Stage", "Time"), [("search", "3 s"), ("retrain", "2 s")])
    assert written.count('scope="col"') == 2
    assert written.count('<th scope="row">') == 2
    assert written.count("<td>") == 2
    assert "<thead>" not in table((), [("torch", "2.7")])


def test_a_picture_has_a_name_where_it_cannot_be_seen() -> None:
    written = picture(Html("<svg></svg>"), "accuracy over trials", "Each dot is a trial.")
    assert 'role="img" aria-label="accuracy over trials"' in written
    assert "<svg></svg>" in written


def test_a_page_allows_nothing_from_elsewhere_and_has_every_colour_twice() -> None:
    page = document("run", tag("p", "text"))
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    for name, (light, dark) in COLOURS.items():
        assert f"--{name}: {light};" in page
        assert f"--{name}: {dark};" in page
