"""``SearcherContract``: every test that a searcher must pass, to be had by inheriting; here are those of speed and searches."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from raynas.explore import Constraint, EngineOptions, Objective, SearchLimits, SearchSession, Trial, run_local
from raynas.explore.session import MAX_IN_A_ROW
from raynas.space import Architecture, SearchSpace
from raynas.testing.contract_base import eight_by_three
from raynas.testing.player import Player, score
from raynas.testing.proposal_contract import ProposalContract
from raynas.testing.sequence_contract import SequenceContract

SMALL, LARGE = 24, 300  # architectures of spaces that are searched to their end, and of those that are not
TRIALS_EACH = 20  # of an architecture of a small space, each with another budget
NUM_RESULTS, NUM_TIMED = 500, 20  # of a predictor
ROUNDS = 3  # in which it may be fast enough: another process may take the processor meanwhile
MAX_FORBIDDEN = 10  # for each trial that runs, where a third of the space is forbidden


class SearcherContract(ProposalContract, SequenceContract):
    """Inherit, say how your searcher is made, and pytest runs every test of the tuner protocol on it.

    Attributes:
        seconds_per_thousand: what 1,000 proposals may cost, each told its result, on 8 layers of 3 operators. Time in which
            others had the processor does not count, where the system tells it.
        predictor: whether it fits a predictor to the results. Then ``seconds_per_proposal`` counts and not
            ``seconds_per_thousand``, and except for the first test each takes a part of the spaces.
        seconds_per_proposal: what a proposal of a predictor may cost at 500 results, telling its result included; the
            mean of 20 in a row.
        proposals_per_space: how many proposals are checked on each of the spaces; ``None``: 30, 8 with a predictor. Make
            a predictor so that it is fitted after fewer results than that, or it is not tested.
        deterministic: whether one seed gives one sequence. Where it is False, the tests of sequences and states pass.
        seed_matters: whether another seed gives another sequence. False for a grid, for example.

    ``import_data``, ``state_dict``, ``trial_end`` and ``set_constraint`` are optional in the protocol: tests of those that
    the searcher lacks pass. So does that of several objectives, unless its class says ``multi_objective = True``. What is
    no ``raynas.Searcher`` is called as a search calls it, with plain dicts: a tuner written for NNI takes the same tests.

    Example:
        >>> from raynas import Searcher
        >>> from raynas.testing import SearcherContract
        >>> class Guess(Searcher):
        ...     def generate_parameters(self, parameter_id):
        ...         return self.space.sample(self.rng)
        >>> class TestGuess(SearcherContract):
        ...     def make_searcher(self, seed):
        ...         return Guess(seed)
    """

    def test_a_thousand_proposals_are_fast(self) -> None:
        if self.predictor:
            return
        seconds = _least(lambda: _time(self._player(eight_by_three()), 1_000), self.seconds_per_thousand)
        allowed = self.seconds_per_thousand
        assert seconds < allowed, f"1,000 proposals and results took {seconds:.2f} s; allowed are {allowed} s"

    def test_proposals_at_five_hundred_results_are_fast(self) -> None:
        if not self.predictor:
            return
        player = self._player_with_results(eight_by_three())
        player.play(1)  # what is imported only now, and what is made of the results once for all
        seconds = _least(lambda: _time(player, NUM_TIMED) / NUM_TIMED, self.seconds_per_proposal)
        allowed = self.seconds_per_proposal
        assert seconds < allowed, f"a proposal at {NUM_RESULTS} results took {seconds:.3f} s; allowed are {allowed} s"

    def _player_with_results(self, space: SearchSpace) -> Player:
        player = self._player(space)
        if hasattr(self.make_searcher(0), "import_data"):
            known = [space.unrank(number) for number in random.Random(1).sample(range(space.size), NUM_RESULTS)]
            player.searcher.import_data([{"parameter": each.to_dict(), "value": score(each)} for each in known])
        else:
            player.play(NUM_RESULTS)
        return player

    # --- in a search -----------------------------------------------------------------------------------------------

    def test_a_small_space_comes_to_its_end(self) -> None:
        spaces = [space for space in self.make_spaces() if space.size <= SMALL][:4]
        for space in spaces:
            session = self._search(space, num_trials=TRIALS_EACH * space.size)
            assert session.num_spent < TRIALS_EACH * space.size, f"the search of {space} did not end by itself"
            completed = [record for record in session.records.values() if record.state == "completed"]
            pairs = [(record.architecture.digest, record.budget) for record in completed]
            assert pairs, f"nothing was run of {space}"
            assert len(pairs) == len(set(pairs)), f"{len(pairs)} trials of {len(set(pairs))} architectures (with budgets)"
        for space in spaces[-1:]:
            session = self._search(space, num_trials=SMALL, constraint=lambda _: False)
            assert session.done, f"the search of {space} did not end, though the constraint forbids all of it"
            assert not session.num_spent, f"the constraint forbids all of {space}, and {session.num_spent} trials were run"

    def test_the_constraint_is_kept(self) -> None:
        def allowed(architecture: Architecture) -> bool:
            return int(architecture.digest, 16) % 3 > 0

        for space in [space for space in self._some_spaces(0) if space.size > LARGE]:
            session = self._search(space, num_trials=self._num_proposals, constraint=allowed)
            run = [record.architecture for record in session.records.values()]
            assert all(allowed(architecture) for architecture in run), f"a forbidden architecture of {space} was run"
            assert run, f"nothing was run of {space}, though the constraint allows two thirds of it"
            found = f"{session.num_forbidden} forbidden proposals of {space} for {session.num_spent} trials"
            assert session.state.num_in_a_row < MAX_IN_A_ROW, f"{found}, and then none but forbidden and known ones"
            assert session.num_forbidden <= MAX_FORBIDDEN * session.num_spent, f"{found}; does it propose the same again?"

    def _search(self, space: SearchSpace, num_trials: int, constraint: Constraint | None = None) -> SearchSession:
        limits = SearchLimits(num_trials, constraint)
        session = SearchSession(self.make_searcher(0), space, Objective("score", "max"), limits=limits)
        run_local(session, _evaluate, EngineOptions(max_concurrent=4))
        assert session.error is None, f"the search of {space} ended with an error: {session.error}"
        return session


def _evaluate(trial: Trial) -> None:
    trial.report(score=score(trial.architecture))


def _least(measure: Callable[[], float], allowed: float) -> float:
    """The least of some measurements; the first that is within what is allowed ends them."""
    least = measure()
    for _ in range(ROUNDS - 1):
        least = least if least < allowed else min(least, measure())
    return least


def _time(player: Player, num_proposals: int) -> float:
    """Seconds for so many more proposals and results, without those in which others had the processor."""
    start = time.perf_counter() - _kept_waiting()
    player.play(len(player.proposed) + num_proposals)
    return time.perf_counter() - _kept_waiting() - start


def _kept_waiting() -> float:
    """Seconds that this thread has been ready to run and had no processor; 0 where the system does not count them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
