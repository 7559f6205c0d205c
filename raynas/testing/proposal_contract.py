"""``ProposalContract``: what is proposed fits the space, whatever comes back, in whatever order, or does not come back."""

from __future__ import annotations

from random import Random

from raynas.testing.contract_base import ContractBase
from raynas.testing.player import Player, Rules, score, two_scores

AT_ONCE = 64


class ProposalContract(ContractBase):
    """The part of ``SearcherContract`` that looks at one proposal at a time."""

    def test_every_proposal_fits_its_space(self) -> None:
        for space in self.make_spaces():
            assert self._player(space).play(self._num_proposals), f"nothing was proposed of {space}"

    def test_it_never_waits_with_nothing_running(self) -> None:
        for space in self._some_spaces(0):
            self._player(space, Rules(at_once=3, failure_rate=0.5)).play(self._num_proposals)

    def test_results_may_come_out_of_order(self) -> None:
        for space in self._some_spaces(1):
            self._player(space, Rules(at_once=8, shuffled=True)).play(self._num_proposals)

    def test_failed_trials_have_no_result(self) -> None:
        for rate in (0.1, 1.0):
            for space in self._some_spaces(2):
                self._player(space, Rules(at_once=4, failure_rate=rate)).play(self._num_proposals)

    def test_all_values_may_be_equal(self) -> None:
        for space in self._some_spaces(0):
            self._player(space, Rules(value=lambda _: 0.5)).play(self._num_proposals)

    def test_sixty_four_may_be_outstanding(self) -> None:
        for space in self._some_spaces(1, 9):
            player = self._player(space, Rules(at_once=AT_ONCE))
            player.play(AT_ONCE + self._num_proposals)
            player.finish()
            player.play(len(player.proposed) + 1)

    def test_results_may_be_imported_first(self) -> None:
        for space in self._some_spaces(2):
            searcher, rng = self._told(space), Random(1)
            drawn = [space.sample(rng) for _ in range(20)]
            known = [known if number % 2 else known.to_dict() for number, known in enumerate(drawn)]
            searcher.import_data([{"parameter": each, "value": score(drawn[at])} for at, each in enumerate(known)])
            Player(searcher, space).play(self._num_proposals)

    def test_several_objectives_may_be_told(self) -> None:
        rules = Rules(at_once=4, shuffled=True, failure_rate=0.1, value=two_scores)
        for space in self._some_spaces(0) if self._multi_objective else ():
            self._player(space, rules).play(self._num_proposals)
