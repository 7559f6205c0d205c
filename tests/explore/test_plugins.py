"""Searchers by name."""

import sys
from pathlib import Path

import pytest

from raynas.errors import OptionError, SearcherError, UnknownSearcherError
from raynas.explore import make_searcher, searchers

OUTSIDE = '''
class Outside:
    """Takes anything."""

    def __init__(self, **options):
        self.options = options


class Positive:
    def __init__(self, size=1):
        if size < 1:
            from raynas.errors import OptionError
            raise OptionError("size must be positive")


class Needy:
    def __init__(self, size): ...
'''


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that someone else has installed."""
    (tmp_path / "outside_searchers.py").write_text(OUTSIDE)
    info = tmp_path / "outside_searchers-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-searchers\nVersion: 2.5\n")
    entries = "[raynas.searchers]\noutside = outside_searchers:Outside\npositive = outside_searchers:Positive\n"
    entries += "needy = outside_searchers:Needy\nmissing = outside_searchers:Missing\nnowhere = outside_nowhere:Searcher\n"
    (info / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "outside_searchers", raising=False)


def test_the_stock_searchers_are_installed() -> None:
    names = searchers()
    assert names == sorted(names)
    assert {"random", "regularized_evolution", "spos_evolution"} <= set(names)


def test_options_reach_the_searcher() -> None:
    searcher = make_searcher("regularized_evolution", {"seed": 7, "population_size": 11})
    assert (searcher.seed, searcher.population_size) == (7, 11)


@pytest.mark.usefixtures("outside")
def test_others_are_found_like_ours() -> None:
    assert {"outside", "positive", "random"} <= set(searchers())
    assert make_searcher("outside", {"whatever": 1}).options == {"whatever": 1}


@pytest.mark.usefixtures("outside")
def test_an_unknown_name_lists_the_known_and_where_they_are_from() -> None:
    with pytest.raises(UnknownSearcherError, match=r"'evolve'.*outside \(outside-searchers 2\.5\).*random \(raynas "):
        make_searcher("evolve", {})


def test_an_unknown_option_lists_the_known() -> None:
    with pytest.raises(OptionError, match="no option 'populaton'; it has seed, population_size, sample_size"):
        make_searcher("regularized_evolution", {"populaton": 5})


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(("name", "options"), [("positive", {"size": 0}), ("regularized_evolution", {"sample_size": 0})])
def test_a_searcher_may_refuse_a_value(name: str, options: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="size"):
        make_searcher(name, options)


@pytest.mark.usefixtures("outside")
def test_an_option_that_is_needed_is_named() -> None:
    with pytest.raises(OptionError, match=r"'needy'.*'size'.*searcher_options"):
        make_searcher("needy", {})


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", ["missing", "nowhere"])
def test_one_that_cannot_be_loaded_is_named_with_where_it_is_from(name: str) -> None:
    with pytest.raises(SearcherError, match=rf"'{name}' \(outside-searchers 2\.5\) cannot be loaded"):
        make_searcher(name, {})
