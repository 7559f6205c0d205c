"""``ControllerMutator``: a network draws the architectures, key by key. How it learns is not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from raynas.mutators.mutator import Mutator
from raynas.space import INPUT_CHOICE, Architecture, SearchSpace

INITIAL_RANGE = 0.1
NEVER = -1e9  # a logit; finite, since 0 * inf is not a number
Draws = Tensor  # (architectures, draws), int64; -1 where a key is not active
Choose = Callable[[Tensor], Tensor]  # log-probabilities (architectures, results) to results (architectures, 1)


class Draw(NamedTuple):
    """One decision of the controller. A key has several where several inputs may be chosen.

    Attributes:
        key, number: the key, and its number among all.
        part: which decision of the key this is.
        is_switch: whether input number ``part`` is taken or not; else one of the candidates is.
        first: number of the embedding of result 0; those of the other results follow.
    """

    key: str
    number: int
    part: int
    is_switch: bool
    first: int


class ControllerMutator(Mutator):
    """An LSTM draws an architecture, one draw after the other, and sees what it drew before: Pham et al., ICML 2018.

    Each key has a linear head. A layer or a value is drawn by softmax, ``n_chosen`` inputs by as many draws without
    replacement, any number of inputs by a yes or no for each. Keys that are not active are skipped.

    It computes in double precision on the CPU: it is small, and what it draws should not hang on the order of a sum.

    Args:
        model: a model with mutables and without a mutator.
        seed: of the one generator that it owns, from which its weights come too.
        hidden_size: of the LSTM and of the embeddings.
        temperature, tanh_constant: logits are ``tanh_constant * tanh(logits / temperature)``.

    Attributes:
        num_draws: draws for one architecture, if all keys are active.

    Example:
        >>> from raynas.nn import LayerChoice
        >>> mutator = ControllerMutator(nn.Sequential(LayerChoice([nn.Tanh(), nn.ReLU()], key="op")), seed=0)
        >>> draws = mutator.draw(3)
        >>> log_prob, entropy = mutator.log_prob_and_entropy(draws)
        >>> draws.shape, log_prob.shape, list(mutator.architectures(draws)[0])
        (torch.Size([3, 1]), torch.Size([3]), ['op'])
    """

    def __init__(
        self, model: nn.Module, *, seed: int = 0, hidden_size: int = 100, temperature: float = 5.0, tanh_constant: float = 2.5
    ) -> None:
        super().__init__(model)
        self._temperature, self._tanh_constant = temperature, tanh_constant
        self._draws = list(_all_draws(self.space))
        self._first_of = {draw.key: number for number, draw in reversed(list(enumerate(self._draws)))}
        self._conditions = {key: self._read_conditions(key) for key in self.space}
        self.num_draws = len(self._draws)
        self._generator = torch.Generator().manual_seed(seed)
        num_embeddings = 1 + max((draw.first + self._num_results(draw) for draw in self._draws), default=1)
        with torch.random.fork_rng(devices=[]):  # PyTorch's layers begin with numbers of the global generator
            self.cell = nn.LSTMCell(hidden_size, hidden_size)
            self.embedding = nn.Embedding(num_embeddings, hidden_size)
            self.heads = nn.ModuleList(nn.Linear(hidden_size, len(domain.candidates)) for domain in self.space.values())
        self.double()
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE, generator=self._generator)

    def draw(self, num_architectures: int) -> Draws:
        """Draw some architectures, independently of each other."""
        return self._filled(num_architectures, lambda chances: torch.multinomial(chances.exp(), 1, generator=self._generator))

    def likeliest(self) -> Draws:
        """One architecture, at each draw what is likeliest after what was drawn before."""
        return self._filled(1, lambda chances: chances.argmax(1, keepdim=True))

    @torch.no_grad()
    def probabilities(self) -> dict[str, Tensor]:
        """How likely each candidate of each key is, after what is likeliest at the draws before; of active keys only.

        Of ``n_chosen`` inputs it is the mean over their draws, so that they add up to 1; of any number of inputs, whether each
        is taken. Nothing is drawn.
        """
        found: dict[str, Tensor] = {}
        for draw, (chances, active) in zip(self._draws, self._walk(self.likeliest()), strict=True):
            if active is not None and not active.all():
                continue
            domain, row = self.space[draw.key], chances[0].exp()
            total = found.setdefault(draw.key, torch.zeros(len(domain.candidates), dtype=row.dtype))
            if draw.is_switch:
                total[draw.part] = row[1]
            else:
                total += row / (domain.n_chosen or 1)
        return found

    def log_prob_and_entropy(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Of draws, (architectures,) both: the logarithm of their probability, and the entropies on their way.

        A set of inputs that is drawn without replacement can be drawn in several orders; this is of the one it was drawn in.
        The entropies are those of each draw given those before; their sum's mean over architectures drawn is the entropy of
        the controller.
        """
        log_prob, entropy = torch.zeros(2, len(draws), dtype=torch.float64)
        for number, (chances, active) in enumerate(self._walk(draws)):
            chance = chances.gather(1, draws[:, number : number + 1].clamp(min=0)).squeeze(1)
            spread = -(chances.exp() * chances).sum(1)
            log_prob = log_prob + (chance if active is None else chance * active)
            entropy = entropy + (spread if active is None else spread * active)
        return log_prob, entropy

    def architectures(self, draws: Draws) -> list[Architecture]:
        """What was drawn."""
        return [self._architecture(row) for row in draws.tolist()]

    def applied_architecture(self) -> Architecture:
        """What is applied now."""
        return Architecture.trusted(self.space, {key: decision.indices for key, decision in self.decisions.items()})

    def reset(self) -> None:
        self.apply_architecture(self.architectures(self.draw(1))[0])

    def sample_search(self) -> Mapping[str, Tensor]:
        return self.architecture_masks(self.architectures(self.draw(1))[0])

    def sample_final(self) -> Mapping[str, Tensor]:
        return self.architecture_masks(self.architectures(self.likeliest())[0])

    def get_extra_state(self) -> dict[str, Any]:
        return {"generator": bytes(self._generator.get_state().tolist()).hex()}  # a tensor's repr would leave out its middle

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._generator.set_state(torch.tensor(list(bytes.fromhex(state["generator"])), dtype=torch.uint8))

    @torch.no_grad()
    def _filled(self, num_architectures: int, choose: Choose) -> Draws:
        draws = torch.full((num_architectures, self.num_draws), -1)
        for _ in self._walk(draws, choose):
            pass  # it fills them
        return draws

    def _walk(self, draws: Draws, choose: Choose | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Go through all draws of some architectures; with ``choose``, fill them on the way.

        Yields, for each, (architectures, results): the log-probabilities; and (architectures,): where its key is active, or
        ``None`` for everywhere. It runs at every step of training, so what is of no use is left out.
        """
        hidden, cell = torch.zeros(2, len(draws), self.cell.hidden_size, dtype=torch.float64)
        last = torch.zeros(len(draws), dtype=torch.long)  # the embedding of having drawn nothing
        for number, draw in enumerate(self._draws):
            active = self._active(draw.key, draws)
            next_hidden, next_cell = self.cell(self.embedding(last), (hidden, cell))
            chances = self._log_probs(draw, next_hidden, draws[:, number - draw.part : number])
            if choose is not None:
                drawn = choose(chances).squeeze(1)
                draws[:, number] = drawn if active is None else torch.where(active, drawn, -1)
            yield chances, active
            next_last = draws[:, number] + draw.first
            if active is not None:
                rows = active.unsqueeze(1)
                next_hidden, next_cell = torch.where(rows, next_hidden, hidden), torch.where(rows, next_cell, cell)
                next_last = torch.where(active, next_last, last)
            hidden, cell, last = next_hidden, next_cell, next_last

    def _log_probs(self, draw: Draw, hidden: Tensor, before: Tensor) -> Tensor:
        """(architectures, results) of one draw; ``before`` are the draws of the same key so far."""
        logits = self._tanh_constant * torch.tanh(self.heads[draw.number](hidden) / self._temperature)
        if draw.is_switch:
            yes = logits[:, draw.part]
            return nn.functional.logsigmoid(torch.stack([-yes, yes], dim=1))
        if draw.part:
            logits = logits.scatter(1, before.clamp(min=0), NEVER)
        return logits.log_softmax(1)

    def _active(self, key: str, draws: Draws) -> Tensor | None:
        active: Tensor | None = None
        for number, indices in self._conditions[key]:
            holds = torch.isin(draws[:, number], indices)
            active = holds if active is None else active & holds
        return active

    def _read_conditions(self, key: str) -> list[tuple[int, Tensor]]:
        return [(self._first_of[parent], torch.tensor(indices)) for parent, indices in self.space[key].when.items()]

    def _num_results(self, draw: Draw) -> int:
        return 2 if draw.is_switch else len(self.space[draw.key].candidates)

    def _architecture(self, row: list[int]) -> Architecture:
        found: dict[str, list[int]] = {}
        for draw, result in zip(self._draws, row, strict=True):
            if result >= 0:
                found.setdefault(draw.key, [])
                if not draw.is_switch or result:
                    found[draw.key].append(draw.part if draw.is_switch else result)
        chosen: dict[str, tuple[int, ...]] = {}
        for key in _ancestors_first(self.space):
            if self.space.is_active(key, chosen):
                chosen[key] = tuple(sorted(found.get(key, ())))  # of no inputs where none may be chosen
        return Architecture.trusted(self.space, {key: chosen[key] for key in self.space if key in chosen})


def _ancestors_first(space: SearchSpace) -> list[str]:
    return sorted(space, key=lambda key: len(space[key].when))


def _all_draws(space: SearchSpace) -> Iterator[Draw]:
    numbers, first = {key: number for number, key in enumerate(space)}, 1
    for key in _ancestors_first(space):
        domain = space[key]
        is_switch = domain.kind == INPUT_CHOICE and domain.n_chosen is None
        num_draws = len(domain.candidates) if is_switch else domain.n_chosen or 0
        for part in range(num_draws):
            yield Draw(key, numbers[key], part, is_switch, first + 2 * part if is_switch else first)
        first += 2 * num_draws if is_switch else len(domain.candidates)
