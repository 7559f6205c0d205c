"""``SequenceContract``: one seed gives one sequence of proposals; a state continues it, and what is refused leaves it alone."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from raynas.explore.searcher import Value
from raynas.space import SearchSpace
from raynas.testing.contract_base import ContractBase, eight_by_three
from raynas.testing.player import Player, Proposed, Rules, two_scores

UNTIDY = Rules(at_once=4, shuffled=True, failure_rate=0.1)
UNTIDY_AND_TWO = Rules(at_once=4, shuffled=True, failure_rate=0.1, value=two_scores)
NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, True, "0.5", None)


class SequenceContract(ContractBase):
    """The part of ``SearcherContract`` that compares sequences of proposals."""

    def test_the_same_seed_gives_the_same_sequence(self) -> None:
        for space in self._some_spaces(1) if self.deterministic else ():
            first, second = (self._player(space, Rules(at_once=4)).play(self._num_proposals) for _ in range(2))
            at = _first_difference(first, second)
            assert first == second, f"two searchers with seed 0 differ from proposal {at} on, for {space}"

    def test_another_seed_gives_another_sequence(self) -> None:
        if self.deterministic and self.seed_matters:
            space = eight_by_three()
            sequences = {tuple(self._player(space, seed=seed).play(10)) for seed in range(3)}
            assert len(sequences) > 1, "seeds 0, 1 and 2 all give the same 10 proposals; is the seed used?"

    def test_two_searchers_do_not_touch_each_other(self) -> None:
        if not self.deterministic:
            return
        space, length = eight_by_three(), 2 * self._num_proposals
        alone = self._player(space).play(length)
        player, other = self._player(space), self._player(space, Rules(value=lambda _: 1.0), seed=1)
        for number in range(1, length + 1):
            player.play(number)
            other.play(number)
        at = _first_difference(alone, player.proposed)
        assert alone == player.proposed, f"proposal {at} differs when another searcher works beside it; what do they share?"

    def test_its_state_continues_the_same_sequence(self) -> None:
        for space, rules in self._cases() if self.deterministic else ():
            self._check_states(space, rules)

    def _cases(self) -> Iterator[tuple[SearchSpace, Rules]]:
        yield eight_by_three(), UNTIDY
        if self._multi_objective:
            yield eight_by_three(), UNTIDY_AND_TWO
        for space in self.make_spaces()[1 :: 20 if self.predictor else 10]:
            yield space, UNTIDY

    def _check_states(self, space: SearchSpace, rules: Rules) -> None:
        """Take the state after some of the proposals, go on, and go on from each of the states with a new searcher."""
        number = self._num_proposals
        cuts, length = (0, 1, 3 * number // 10, 4 * number // 3), 8 * number // 3
        undisturbed = self._player(space, rules).play(length)
        player = self._player(space, rules)
        taken: list[tuple[int, Any, str, Player]] = []
        for cut in cuts:
            player.play(cut)
            state = player.searcher.state_dict()
            if state is None:
                return
            taken.append((cut, state, _to_json(state), player.fork(self._told(space))))
        at = _first_difference(player.play(length), undisturbed)
        assert player.proposed == undisturbed, f"state_dict() changed what came after it, proposal {at} of {space}"
        for cut, state, text, resumed in taken:
            assert _to_json(state) == text, f"the state taken after {cut} proposals changed later; return a copy"
            resumed.searcher.load_state_dict(json.loads(text))
            at = _first_difference(resumed.play(length), undisturbed)
            assert resumed.proposed == undisturbed, (
                f"loaded after {cut} proposals, proposal {at} differs for {space}; what is lost?"
            )

    def test_what_is_no_number_is_refused_and_changes_nothing(self) -> None:
        space, length = eight_by_three(), 2 * self._num_proposals
        several: list[Value] = [{"score": 0.5, "cost": each} for each in NO_NUMBERS] if self._multi_objective else []
        player = self._player(space, Rules(at_once=3))
        for number in range(1, length + 1):
            player.play(number)
            for value in (*NO_NUMBERS, *several):
                _check_refused(player, value)
        if self.deterministic:
            undisturbed = self._player(space, Rules(at_once=3)).play(length)
            at = _first_difference(player.proposed, undisturbed)
            assert player.proposed == undisturbed, f"proposal {at} differs, for results that were refused with an error"

    def test_the_global_generators_are_not_used(self) -> None:
        space = eight_by_three()
        self._player(space).play(self._num_proposals)  # what is imported only now may draw
        before = _global_states()
        self._player(space, UNTIDY).play(3 * self._num_proposals)
        changed = [name for name, state in _global_states().items() if state != before[name]]
        assert not changed, f"the global {' and '.join(changed)} was used; a searcher owns one seeded generator"


def _check_refused(player: Player, value: Value) -> None:
    """Tell what a search would make a failed trial of: a result of each trial that runs, and one from elsewhere."""
    for trial, architecture in {**player.running, -1: player.space.unrank(0)}.items():
        try:
            player.searcher.receive_trial_result(trial, architecture, value)
        except ValueError:
            continue
        raise AssertionError(f"told {value!r} as the result of trial {trial}, it did not raise ValueError; call super() first")


def _to_json(state: Any) -> str:
    try:
        return json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"state_dict() is not JSON: {error}") from error


def _first_difference(first: Sequence[Proposed], second: Sequence[Proposed]) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def _global_states() -> dict[str, Any]:
    """States of the generators of whatever is imported; who has not imported it cannot have used it."""
    states: dict[str, Any] = {"random": random.getstate()}
    if numpy := sys.modules.get("numpy"):
        states["numpy.random"] = repr(numpy.random.get_state(legacy=False))
    if torch := sys.modules.get("torch"):
        states["torch generator"] = torch.random.get_rng_state().tolist()
    return states
