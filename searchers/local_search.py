"""Local search: White, Nolen and Savani, "Exploring the loss landscape in neural architecture search", UAI 2021."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from typing import Any

from raynas.errors import OptionError
from raynas.explore import Archive, Searcher
from raynas.space import INPUT_CHOICE, Architecture, SearchSpace, generator_state, restore_generator

RESTARTS = ("next_best", "random")
MAX_LISTED = 256  # neighbours that are listed; of more they are drawn, with so many tries:
MAX_TRIES = 100
MAX_LISTS = 32  # kept at a time, each rebuilt when asked for again


class LocalSearcher(Searcher):
    """Evaluates neighbours of the best architecture seen, in random order, and moves as soon as one is better.

    Local search as in the paper, in the variant that moves at the first improvement. Where every neighbour of the best has
    been proposed (a local optimum, once their results are in) the search goes on from the next best architecture whose
    neighbourhood has something new; with ``restart="random"`` it forgets what it climbed and starts from a random one, as in
    the paper. The former is better on average over NAS-Bench-Macro and eleven synthetic spaces, with 50 to 500 trials.
    Either way there is always something to propose, so it never waits: of many trials at once, the first are neighbours of
    the best, the others of the next best or new starts.

    The first ``num_initial`` are random (imported results count among them), and the best of them is where it starts. What is
    proposed is allowed and new; when nothing is left, the search is over. A neighbourhood of more than ``MAX_LISTED`` is not
    listed: neighbours are drawn (``SearchSpace.mutate``), and it is done with when ``MAX_TRIES`` draws gave nothing new. See
    also Den Ottelander et al., "Local search is a remarkably strong baseline for neural architecture search", EMO 2021.

    Args:
        seed: of the searcher's generator.
        num_initial: random architectures to start from, at least 1.
        restart: where to go on from a local optimum: ``"next_best"`` or ``"random"``.

    Raises:
        OptionError: ``num_initial`` is not positive, or there is no such ``restart``.
    """

    def __init__(self, seed: int = 0, num_initial: int = 10, restart: str = "next_best") -> None:
        super().__init__(seed)
        if num_initial < 1:
            raise OptionError(f"num_initial={num_initial}; expected at least 1")
        if restart not in RESTARTS:
            raise OptionError(f"restart={restart!r}; expected one of {', '.join(RESTARTS)}")
        self.num_initial, self.restart = num_initial, restart
        self._num_started = 0
        self._open: list[tuple[float, int]] = []  # what may have new neighbours, the best first: minus value, number of result
        self._lists: dict[int, list[Architecture]] = {}
        self._archive: Archive

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        self._archive = Archive(self)

    def generate_parameters(self, parameter_id: int) -> Architecture:
        self._num_started += 1
        while self._open and self._num_started > self.num_initial:
            neighbour = self._neighbour(self._open[0][1])
            if neighbour is not None:
                return self._archive.take(neighbour)
            del self._open[: None if self.restart == "random" else 1]
        return self._archive.draw()

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Any) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        self._num_started += parameter_id < 0
        insort(self._open, (-value, len(self._archive.results)))
        self._archive.add(parameters, value)

    def _neighbour(self, number: int) -> Architecture | None:
        """A random neighbour of a result that is new and allowed, each with the same chance; ``None`` if there is none."""
        centre = self._archive.results[number].architecture
        num_neighbours = self._num_neighbours(centre)
        if num_neighbours > MAX_LISTED:
            drawn = (self.space.mutate(centre, self.rng) for _ in range(MAX_TRIES))
            return next((neighbour for neighbour in drawn if self._archive.is_new(neighbour)), None)
        # Always the order of the space less what is not new any more: the same whether or not it was kept.
        listed = self._lists.pop(number, None) or self.space.neighbours(centre)
        left = [neighbour for neighbour in listed if self._archive.is_new(neighbour)]
        if not left:
            return None
        self._lists[number] = left
        if len(self._lists) > MAX_LISTS:
            del self._lists[next(iter(self._lists))]
        return left[self.rng.randrange(len(left))]

    def _num_neighbours(self, architecture: Architecture) -> int:
        total = 0
        for key, indices in architecture.indices.items():
            domain = self.space[key]
            n = len(domain.candidates)
            if domain.kind != INPUT_CHOICE:
                total += n - 1
            else:
                total += n if domain.n_chosen is None else len(indices) * (n - len(indices))
        return total

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": generator_state(self.rng),
            "num_started": self._num_started,
            "open": sorted(number for _, number in self._open),
            "archive": self._archive.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        restore_generator(self.rng, state["rng"])
        self._archive.load_state_dict(state["archive"])
        self._num_started, self._lists = state["num_started"], {}
        self._open = sorted((-self._archive.results[number].value, number) for number in state["open"])
