"""``SearcherContract``: every test that a searcher must pass, to be had by inheriting. How it is played is in ``player``."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

from raynas.explore import Constraint, EngineOptions, Objective, SearchLimits, SearchSession, Trial, run_local
from raynas.space import Architecture, SearchSpace
from raynas.testing.player import Player, Proposed, Rules, score
from raynas.testing.spaces import example_spaces

CUTS = (0, 1, 9, 40)  # proposals after which the state is taken
SMALL, LARGE = 24, 300  # architectures of spaces that are searched to their end, and of those that are not


class SearcherContract:
    """Inherit, say how your searcher is made, and pytest runs every test of the tuner protocol on it.

    Attributes:
        seconds_per_thousand: what 1,000 proposals may cost, each told its result, on 8 layers of 3 operators.
        proposals_per_space: how many proposals are checked on each of the spaces.
        deterministic: whether one seed gives one sequence. Where it is False, the tests of sequences and states pass.
        seed_matters: whether another seed gives another sequence. False for a grid, for example.

    ``import_data``, ``state_dict``, ``trial_end`` and ``set_constraint`` are optional in the protocol: tests of those that
    the searcher lacks pass.

    Example:
        >>> from raynas.explore import make_searcher
        >>> from raynas.testing import SearcherContract
        >>> class TestRandom(SearcherContract):
        ...     def make_searcher(self, seed):
        ...         return make_searcher("random", {"seed": seed})
    """

    seconds_per_thousand = 1.0
    proposals_per_space = 30
    deterministic = True
    seed_matters = True

    def make_searcher(self, seed: int) -> Any:
        """A new searcher; its search space has not been told yet."""
        raise NotImplementedError("write make_searcher(self, seed), which returns a new searcher")

    def make_spaces(self) -> Sequence[SearchSpace]:
        """What it is tested on; replace it for a searcher that is made for some kinds of spaces only."""
        return example_spaces()

    # --- proposals -------------------------------------------------------------------------------------------------

    def test_every_proposal_fits_its_space(self) -> None:
        for space in self.make_spaces():
            assert self._player(space).play(self.proposals_per_space), f"nothing was proposed of {space}"

    def test_it_never_waits_with_nothing_running(self) -> None:
        for space in self.make_spaces():
            self._player(space, Rules(at_once=3, failure_rate=0.5)).play(self.proposals_per_space)

    def test_results_may_come_out_of_order(self) -> None:
        for space in self.make_spaces():
            self._player(space, Rules(at_once=8, shuffled=True)).play(self.proposals_per_space)

    def test_failed_trials_have_no_result(self) -> None:
        for rate in (0.1, 1.0):
            for space in self.make_spaces():
                self._player(space, Rules(at_once=4, failure_rate=rate)).play(self.proposals_per_space)

    def test_all_values_may_be_equal(self) -> None:
        for space in self.make_spaces():
            self._player(space, Rules(value=lambda _: 0.5)).play(self.proposals_per_space)

    def test_sixty_four_may_be_outstanding(self) -> None:
        for space in self.make_spaces():
            player = self._player(space, Rules(at_once=64))
            player.play(150)
            player.finish()

    def test_results_may_be_imported_first(self) -> None:
        for space in self.make_spaces():
            searcher, rng = self._told(space), random.Random(1)
            if not hasattr(searcher, "import_data"):
                return
            drawn = [space.sample(rng) for _ in range(20)]
            searcher.import_data([{"parameter": known.to_dict(), "value": score(known)} for known in drawn])
            Player(searcher, space).play(self.proposals_per_space)

    # --- sequences -------------------------------------------------------------------------------------------------

    def test_the_same_seed_gives_the_same_sequence(self) -> None:
        for space in self.make_spaces() if self.deterministic else ():
            first, second = (self._player(space, Rules(at_once=4)).play(self.proposals_per_space) for _ in range(2))
            at = _first_difference(first, second)
            assert first == second, f"two searchers with seed 0 differ from proposal {at} on, for {space}"

    def test_another_seed_gives_another_sequence(self) -> None:
        if self.deterministic and self.seed_matters:
            space = _eight_by_three()
            sequences = {tuple(self._player(space, seed=seed).play(10)) for seed in range(3)}
            assert len(sequences) > 1, "seeds 0, 1 and 2 all give the same 10 proposals; is the seed used?"

    def test_two_searchers_do_not_touch_each_other(self) -> None:
        space = _eight_by_three()
        if not self.deterministic:
            return
        alone = self._player(space).play(60)
        player, other = self._player(space), self._player(space, Rules(value=lambda _: 1.0), seed=1)
        for number in range(1, 61):
            player.play(number)
            other.play(number)
        at = _first_difference(alone, player.proposed)
        assert alone == player.proposed, f"proposal {at} differs when another searcher works beside it; what do they share?"

    def test_its_state_continues_the_same_sequence(self) -> None:
        for space in (_eight_by_three(), *self.make_spaces()[1::10]) if self.deterministic else ():
            undisturbed = self._player(space, Rules(at_once=4, shuffled=True, failure_rate=0.1)).play(CUTS[-1] + 40)
            for cut in CUTS:
                self._check_state(space, undisturbed, cut)

    def _check_state(self, space: SearchSpace, undisturbed: list[Proposed], cut: int) -> None:
        player = self._player(space, Rules(at_once=4, shuffled=True, failure_rate=0.1))
        player.play(cut)
        state = player.searcher.state_dict() if hasattr(player.searcher, "state_dict") else None
        if state is None:
            return
        text = _to_json(state)
        assert player.play(len(undisturbed)) == undisturbed, f"state_dict() after {cut} proposals changed those that came later"
        assert _to_json(state) == text, f"the state taken after {cut} proposals changed later; return a copy"
        resumed = self._player(space, Rules(at_once=4, shuffled=True, failure_rate=0.1))
        resumed.play(cut)
        resumed.searcher = self._told(space)
        resumed.searcher.load_state_dict(json.loads(text))
        at = _first_difference(resumed.play(len(undisturbed)), undisturbed)
        assert resumed.proposed == undisturbed, (
            f"loaded after {cut} proposals, proposal {at} differs for {space}; what is lost?"
        )

    # --- manners ---------------------------------------------------------------------------------------------------

    def test_the_global_generators_are_not_used(self) -> None:
        space = _eight_by_three()
        self._player(space).play(30)  # what is imported only now may draw
        before = _global_states()
        self._player(space, Rules(at_once=4, failure_rate=0.1)).play(100)
        changed = [name for name, state in _global_states().items() if state != before[name]]
        assert not changed, f"the global {' and '.join(changed)} was used; a searcher owns one seeded generator"

    def test_a_thousand_proposals_are_fast(self) -> None:
        seconds = min(self._time_a_thousand() for _ in range(2))
        allowed = self.seconds_per_thousand
        assert seconds < allowed, f"1,000 proposals and results took {seconds:.2f} s; allowed are {allowed} s"

    def _time_a_thousand(self) -> float:
        player, start = self._player(_eight_by_three()), time.perf_counter()
        player.play(1_000)
        return time.perf_counter() - start

    # --- in a search -----------------------------------------------------------------------------------------------

    def test_a_small_space_comes_to_its_end(self) -> None:
        for space in [space for space in self.make_spaces() if space.size <= SMALL][:4]:
            session = self._search(space, num_trials=10 * SMALL)
            assert session.done, f"the search of {space} did not end"
            digests = [record.architecture.digest for record in session.records.values() if record.state == "completed"]
            assert len(digests) == len(set(digests)) <= space.size, f"{len(digests)} trials of {space.size} architectures"
            assert digests, f"nothing was run of {space}"

    def test_the_constraint_is_kept(self) -> None:
        def allowed(architecture: Architecture) -> bool:
            return int(architecture.digest, 16) % 3 > 0

        for space in [space for space in self.make_spaces() if space.size > LARGE]:
            session = self._search(space, num_trials=self.proposals_per_space, constraint=allowed)
            run = [record.architecture for record in session.records.values()]
            assert all(allowed(architecture) for architecture in run), f"a forbidden architecture of {space} was run"
            assert run, f"nothing was run of {space}, though the constraint allows two thirds of it"

    # --- how it is played ------------------------------------------------------------------------------------------

    def _told(self, space: SearchSpace, seed: int = 0) -> Any:
        searcher = self.make_searcher(seed)
        searcher.update_search_space(space)
        return searcher

    def _player(self, space: SearchSpace, rules: Rules | None = None, *, seed: int = 0) -> Player:
        return Player(self._told(space, seed), space, rules or Rules())

    def _search(self, space: SearchSpace, num_trials: int, constraint: Constraint | None = None) -> SearchSession:
        limits = SearchLimits(num_trials, constraint)
        session = SearchSession(self.make_searcher(0), space, Objective("score", "max"), limits=limits)
        run_local(session, _evaluate, EngineOptions(max_concurrent=4))
        assert session.error is None, f"the search of {space} ended with an error: {session.error}"
        return session


def _evaluate(trial: Trial) -> None:
    trial.report(score=score(trial.architecture))


def _eight_by_three() -> SearchSpace:
    return SearchSpace({f"layer{i}": {"_type": "layer_choice", "_value": ["a", "b", "c"]} for i in range(8)})


def _to_json(state: Any) -> str:
    try:
        return json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"state_dict() is not JSON: {error}") from error


def _first_difference(first: Sequence[Proposed], second: Sequence[Proposed]) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def _global_states() -> dict[str, str]:
    states = {"random": repr(random.getstate())}
    numpy = sys.modules.get("numpy")  # whoever has not imported it cannot have used it
    if numpy is not None:
        states["numpy.random"] = repr(numpy.random.get_state())
    return states
