"""``Player``: plays the session's part for one searcher, by rules that a test sets, and checks every answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from raynas.errors import ArchitectureError, InvalidProposalError, NoMoreTrials
from raynas.explore import Proposal
from raynas.explore.searcher import Value
from raynas.space import Architecture, SearchSpace

Proposed = tuple[str, float | None]  # digest and budget


def score(architecture: Architecture) -> float:
    """A value in [0, 1) that depends on the architecture alone."""
    return int(architecture.digest[:8], 16) / 2**32


def two_scores(architecture: Architecture) -> dict[str, float]:
    """Two objectives, as a search tells them to a searcher that takes several: larger is better in both."""
    return {"score": score(architecture), "cost": -int(architecture.digest[8:16], 16) / 2**32}


@dataclass(frozen=True)
class Rules:
    """How trials run.

    Attributes:
        at_once: how many are outstanding before the first result is told.
        shuffled: whether they end in any order; else in the order of their proposals.
        failure_rate: the share of trials that fail.
        value: what a trial results in.
    """

    at_once: int = 1
    shuffled: bool = False
    failure_rate: float = 0.0
    value: Callable[[Architecture], Value] = score


class Player:
    """Asks one searcher and tells it results.

    Args:
        searcher: one that knows its search space.
        space: that search space.
        rules: how the trials run.

    Attributes:
        proposed: what was proposed so far.
        running: what was proposed and has not ended, by id.
        done: whether the searcher said that there is nothing more.
    """

    def __init__(self, searcher: Any, space: SearchSpace, rules: Rules | None = None) -> None:
        self.searcher, self.space, self.rules = searcher, space, rules or Rules()
        self.proposed: list[Proposed] = []
        self.running: dict[int, Architecture] = {}
        self.done = False
        self._rng = Random(0)

    def play(self, num_proposals: int) -> list[Proposed]:
        """Go on until so many were proposed, or the searcher is done; returns all so far."""
        while len(self.proposed) < num_proposals and not self.done:
            if len(self.running) >= self.rules.at_once or not self._ask():
                self._end_one()
        return self.proposed

    def finish(self) -> None:
        """End all that still run."""
        while self.running:
            self._end_one()

    def fork(self, searcher: Any) -> Player:
        """One that goes on from here with another searcher, and does not touch this one."""
        made = Player(searcher, self.space, self.rules)
        made.proposed, made.running, made.done = list(self.proposed), dict(self.running), self.done
        made._rng.setstate(self._rng.getstate())
        return made

    def _ask(self) -> bool:
        number = len(self.proposed)
        try:
            answer = self.searcher.generate_parameters(number)
            if answer is None:
                assert self.running, f"it waits with proposal {number} of {self.space}, but no trial is running: forever"
                return False
            proposal = answer if isinstance(answer, Proposal) else Proposal(answer)
            architecture = self.space.validate(proposal.architecture)
        except NoMoreTrials:
            self.done = True
            return False
        except (ArchitectureError, InvalidProposalError) as error:
            raise AssertionError(f"proposal {number} is no architecture of {self.space}: {error}") from error
        self.running[number] = architecture
        self.proposed.append((architecture.digest, proposal.budget))
        return True

    def _end_one(self) -> None:
        if not self.running:
            return
        ids = list(self.running)
        ended = self._rng.choice(ids) if self.rules.shuffled else ids[0]
        architecture = self.running.pop(ended)
        success = self._rng.random() >= self.rules.failure_rate
        if success:
            self.searcher.receive_trial_result(ended, architecture, self.rules.value(architecture))
        if hasattr(self.searcher, "trial_end"):
            self.searcher.trial_end(ended, success)
