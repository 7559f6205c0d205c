"""The archive: what is new, what is allowed, and that a draw finds what is left."""

import contextlib
import json
from collections.abc import Callable

import pytest

from raynas.errors import NoMoreTrials
from raynas.explore import Archive, Known, Searcher
from raynas.space import Architecture, SearchSpace
from raynas.testing import example_spaces

SPACE = SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(4)})


def _archive(space: SearchSpace = SPACE, allowed: Callable[[Architecture], bool] | None = None, seed: int = 0) -> Archive:
    searcher = Searcher(seed)
    searcher.update_search_space(space)
    if allowed is not None:
        searcher.set_constraint(allowed)
    return Archive(searcher)


def test_draws_are_different_until_the_space_is_used_up() -> None:
    archive = _archive()
    drawn = {archive.draw().digest for _ in range(SPACE.size)}
    assert len(drawn) == SPACE.size
    with pytest.raises(NoMoreTrials):
        archive.draw()


def test_a_source_is_drawn_from_first_and_left_when_it_gives_nothing_new() -> None:
    archive, wanted = _archive(), SPACE.unrank(17)
    assert archive.draw(lambda: wanted) == wanted
    assert archive.draw(lambda: wanted) != wanted


def test_what_the_constraint_forbids_is_not_drawn_and_asked_about_once() -> None:
    asked: list[str] = []

    def allowed(architecture: Architecture) -> bool:
        asked.append(architecture.digest)
        return architecture["layer0"].value == "b"

    archive = _archive(allowed=allowed)
    drawn = [archive.draw() for _ in range(27)]
    assert {architecture["layer0"].value for architecture in drawn} == {"b"}
    assert len({architecture.digest for architecture in drawn}) == 27
    with pytest.raises(NoMoreTrials):
        archive.draw()
    assert len(asked) == len(set(asked)) <= SPACE.size


def test_one_allowed_architecture_among_many_is_found() -> None:
    wanted = SPACE.unrank(40)
    assert _archive(allowed=lambda architecture: architecture == wanted).draw() == wanted


def test_a_huge_space_with_nothing_allowed_comes_to_an_end() -> None:
    space = SearchSpace({f"key{i}": {"_type": "choice", "_value": list(range(10))} for i in range(30)})
    with pytest.raises(NoMoreTrials, match="allowed"):
        _archive(space, lambda _: False).draw()


def test_what_was_imported_is_not_new() -> None:
    archive = _archive()
    archive.add(SPACE.unrank(3), 0.5)
    assert not archive.is_new(SPACE.unrank(3))
    assert archive.is_new(SPACE.unrank(4))


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    archive = _archive()
    for number, value in enumerate([0.1, 0.7, 0.3, 0.7]):
        archive.add(SPACE.unrank(number), value)
    assert archive.best(3) == [Known(0.7, SPACE.unrank(1)), Known(0.7, SPACE.unrank(3)), Known(0.3, SPACE.unrank(2))]


@pytest.mark.parametrize("space", example_spaces(), ids=range(30))
def test_the_state_continues_the_same_draws(space: SearchSpace) -> None:
    archive = _archive(space, seed=1)
    try:
        for number in range(5):
            archive.add(archive.draw(), number / 4)
    except NoMoreTrials:
        return
    state, generator = json.loads(json.dumps(archive.state_dict())), archive.searcher.rng.getstate()
    other = _archive(space)
    other.load_state_dict(state)
    other.searcher.rng.setstate(generator)
    assert other.results == archive.results
    assert _draws(other) == _draws(archive)


def _draws(archive: Archive) -> list[str]:
    with contextlib.suppress(NoMoreTrials):
        return [archive.draw().digest for _ in range(10)]
    return []
