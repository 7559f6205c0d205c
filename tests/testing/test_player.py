"""The player asks and tells as a session does."""

from typing import Any

import pytest

from raynas.errors import InvalidProposalError, NoMoreTrials
from raynas.explore import Proposal, Searcher
from raynas.space import SearchSpace
from raynas.testing.player import Player, Rules, score, two_scores

SPACE = SearchSpace({"width": {"_type": "choice", "_value": list(range(50))}})


class Noting(Searcher):
    """Proposes 40 in their order, every third with a budget; notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.update_search_space(SPACE)
        self.told: list[Any] = []

    def generate_parameters(self, parameter_id: int) -> Any:
        if parameter_id == 40:
            raise NoMoreTrials("forty are enough")
        drawn = SPACE.unrank(parameter_id)
        return Proposal(drawn, 3.0) if parameter_id % 3 == 0 else drawn.to_dict()

    def receive_trial_result(self, parameter_id: int, parameters: Any, value: float) -> None:
        self.told.append((parameter_id, value))

    def trial_end(self, parameter_id: int, success: bool) -> None:
        self.told.append((parameter_id, success))


def _told(rules: Rules, num_proposals: int = 100) -> list[Any]:
    searcher = Noting()
    player = Player(searcher, SPACE, rules)
    player.play(num_proposals)
    player.finish()
    return searcher.told


def test_it_notes_digests_and_budgets() -> None:
    proposed = Player(Noting(), SPACE).play(4)
    assert proposed == [(SPACE.unrank(i).digest, 3.0 if i % 3 == 0 else None) for i in range(4)]


def test_a_result_comes_before_the_end_and_each_once() -> None:
    told = _told(Rules(at_once=5))
    assert told == [entry for i in range(40) for entry in ((i, score(SPACE.unrank(i))), (i, True))]


def test_shuffled_results_are_the_same_in_another_order() -> None:
    told = _told(Rules(at_once=5, shuffled=True))
    assert told != _told(Rules(at_once=5))
    assert sorted(map(str, told)) == sorted(map(str, _told(Rules())))


@pytest.mark.parametrize(("rate", "fewest", "most"), [(0.0, 0, 0), (0.3, 1, 39), (1.0, 40, 40)])
def test_failed_trials_end_without_a_result(rate: float, fewest: int, most: int) -> None:
    told = _told(Rules(failure_rate=rate))
    failed = {trial for trial, success in told if success is False}
    assert fewest <= len(failed) <= most
    assert len(told) == 40 + (40 - len(failed))


def test_it_stops_at_the_number_asked_for_and_goes_on() -> None:
    player = Player(Noting(), SPACE)
    assert (len(player.play(7)), len(player.play(7)), len(player.play(9)), player.done) == (7, 7, 9, False)
    assert (len(player.play(99)), player.done) == (40, True)


@pytest.mark.parametrize(("answer", "named"), [(None, "forever"), ({"width": 77}, "width"), (5, "int")])
def test_a_wrong_answer_is_named(answer: Any, named: str) -> None:
    class Wrong(Searcher):
        def generate_parameters(self, parameter_id: int) -> Any:
            return answer

    with pytest.raises(AssertionError, match=named):
        Player(Wrong(), SPACE).play(1)


def test_what_the_searcher_itself_finds_invalid_is_named_too() -> None:
    class Wrong(Searcher):
        def generate_parameters(self, parameter_id: int) -> Any:
            raise InvalidProposalError("key 'width' is missing")

    with pytest.raises(AssertionError, match=r"proposal 0 .* 'width' is missing"):
        Player(Wrong(), SPACE).play(1)


def test_a_fork_goes_on_as_the_first_would_and_leaves_it_alone() -> None:
    rules = Rules(at_once=5, shuffled=True, failure_rate=0.3)
    whole, first, second = Noting(), Noting(), Noting()
    Player(whole, SPACE, rules).play(40)
    player = Player(first, SPACE, rules)
    player.play(17)
    fork = player.fork(second)
    before, running = list(player.proposed), dict(player.running)
    fork.play(40)
    assert (player.proposed, player.running) == (before, running)
    player.play(40)
    assert player.proposed == fork.proposed
    assert first.told == whole.told
    assert first.told[-len(second.told) :] == second.told


def test_two_scores_differ_and_depend_on_the_architecture_alone() -> None:
    told = [two_scores(SPACE.unrank(i)) for i in range(50)]
    assert told == [two_scores(SPACE.unrank(i)) for i in range(50)]
    assert all(0 <= each["score"] < 1 and -1 < each["cost"] <= 0 for each in told)
    assert len({(each["score"], each["cost"]) for each in told}) == len({each["cost"] for each in told}) == 50
    assert {each["score"] for each in told} != {-each["cost"] for each in told}
