"""Policies over the keys of a search space, for searchers that learn by gradients: sampling, log-probabilities, entropies."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from raynas.space import INPUT_CHOICE, Architecture, SearchSpace

TEMPER=1.0
CATEGORICAL, SUBSET, FIXED_SUBSET = range(3)  # how a key is decided


class Policy(nn.Module):
    """A distribution over the architectures of a space, key by key; what a subclass adds are the logits.

    A number of architectures is a tensor of zeros and ones, ``picks`` (architectures, candidates of all keys), zeros at
    keys that are not active. A key that picks one is a categorical distribution over its candidates; one that picks any
    number of inputs has a Bernoulli variable for each; one that picks a fixed number goes through its inputs in order, and
    takes each with the odds exp(logit) * left / (remaining - left), with ``left`` still to be picked among the ``remaining``:
    at equal logits every set of that size has the same probability, and 2**20 options need 20 logits. Where the logits are
    0, every decision is uniform. A key that is not active has probability 1 and entropy 0.

    Args:
        space: the search space.

    Attributes:
        keys: the keys in the order of their decisions: that of the space, but ancestors first.
        slices: where the candidates of each key are in ``picks``.
        owner: (candidates,), the number of the key of each.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.keys = _decision_order(space)
        sizes = [len(space[key].candidates) for key in self.keys]
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.slices = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        self.owner = torch.repeat_interleave(torch.tensor(sizes))
        self._kinds = [_kind(space, key) for key in self.keys]
        self._start = torch.tensor(starts)[self.owner]
        self._remaining = (torch.tensor(sizes) + torch.tensor(starts))[self.owner] - torch.arange(sum(sizes))
        self._num_picked = torch.tensor([space[key].n_chosen or 0 for key in self.keys])[self.owner]
        self._categorical, self._fixed = (
            torch.tensor([found == kind for found in self._kinds])[self.owner] for kind in (CATEGORICAL, FIXED_SUBSET)
        )
        number_of = {key: number for number, key in enumerate(self.keys)}
        self._in_space_order = [(key, number_of[key]) for key in space]
        self._roots = torch.tensor([not space[key].when for key in self.keys])
        self._gates = self._make_gates()
        self._log_ways = self._make_log_ways()

    def _make_gates(self) -> Tensor:
        """(keys, candidates): 1 where picking the candidate makes the key active."""
        gates, number_of = torch.zeros(len(self.keys), len(self.owner)), dict(self._in_space_order)
        for number, key in enumerate(self.keys):
            when = self.space[key].when
            if when:  # the nearest ancestor is active only where all others hold
                parent = max(when, key=lambda ancestor: len(self.space[ancestor].when))
                gates[number, self.slices[number_of[parent]].start + torch.tensor(when[parent])] = 1.0
        return gates

    def _make_log_ways(self) -> Tensor:
        """(candidates,): the logarithm of how many ways there are to decide what becomes active with each."""
        at, of_key = torch.zeros(len(self.owner)), torch.zeros(len(self.keys))
        for number in reversed(range(len(self.keys))):  # children before their parents
            where = self.slices[number]
            if self._gates[:, where].any():
                at[where] = TEMPER*(of_key @ self._gates[:, where])
                of_key[number] = at[where].logsumexp(0)
            else:
                of_key[number] = math.log(self.space[self.keys[number]].num_options)
        return at

    # --- what a subclass adds --------------------------------------------------------------------------------------

    def logits(self, picks: Tensor) -> Tensor:
        """(architectures, candidates); those of a key depend on the picks of the keys before it only."""
        raise NotImplementedError

    def start(self, num_samples: int) -> Any:
        """What ``next_logits`` is given for the first key, while sampling."""
        raise NotImplementedError

    def next_logits(self, number: int, picks: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The logits of key ``number`` (architectures, its candidates) after the picks so far, and the next state."""
        raise NotImplementedError

    # --- architectures and picks -----------------------------------------------------------------------------------

    def encode(self, architecture: Mapping[str, Any]) -> Tensor:
        """The picks of one architecture, (1, candidates)."""
        picks = torch.zeros(1, len(self.owner))
        indices = self.space.validate(architecture).indices
        for number, key in enumerate(self.keys):
            if key in indices:
                picks[0, [self.slices[number].start + index for index in indices[key]]] = 1.0
        return picks

    def decode(self, picks: Tensor) -> Iterator[Architecture]:
        """The architectures of some picks, one at a time."""
        for row, active in zip(picks.tolist(), self.active(picks).tolist(), strict=True):
            indices = {
                key: tuple(index for index, picked in enumerate(row[self.slices[number]]) if picked)
                for key, number in self._in_space_order
                if active[number]
            }
            yield Architecture.trusted(self.space, indices)

    def active(self, picks: Tensor) -> Tensor:
        """(architectures, keys): whether each key is active."""
        return (picks @ self._gates.T > 0) | self._roots

    # --- the distribution ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Picks of so many architectures, drawn independently of each other."""
        picks, state = torch.zeros(num_samples, len(self.owner)), self.start(num_samples)
        chances = torch.rand(picks.shape, generator=generator)
        for number, where in enumerate(self.slices):
            logits, state = self.next_logits(number, picks, state)
            drawn = self._draw(number, logits + self._log_ways[where], chances[:, where])
            if self.space[self.keys[number]].when:
                drawn = drawn * (picks @ self._gates[number]).unsqueeze(1)
            picks[:, where] = drawn
        return picks

    def _draw(self, number: int, logits: Tensor, chances: Tensor) -> Tensor:
        if self._kinds[number] == CATEGORICAL:
            highest = (logits - chances.log().neg().log()).argmax(1, keepdim=True)  # with Gumbel noise: a draw
            return torch.zeros_like(logits).scatter_(1, highest, 1.0)
        if self._kinds[number] == SUBSET:
            return (chances < logits.sigmoid()).float()
        left = torch.full((len(logits),), float(self.space[self.keys[number]].n_chosen or 0))
        taken = torch.zeros_like(logits)
        for at in range(logits.shape[1]):
            odds = left.log() - (logits.shape[1] - at - left).log()
            taken[:, at] = (chances[:, at] < (logits[:, at] + odds).sigmoid()).float()
            left = left - taken[:, at]
        return taken

    def log_prob_and_entropy(self, picks: Tensor) -> tuple[Tensor, Tensor]:
        """For each key, (architectures, keys): the log-probability of its pick, and the entropy of its distribution.

        Both are given the picks of the keys before it; for a fixed number of inputs the entropy is that of each input given
        those before it, so that the sum is an unbiased estimate. Sum over the keys for those of the architecture.
        """
        logits = self.logits(picks) + self._log_ways
        log_prob = self._log_softmax(logits)
        categorical = picks * log_prob, -log_prob.exp() * log_prob
        bernoulli = self._bernoulli(logits, picks)
        active = self.active(picks)
        each = [torch.where(self._categorical, *pair) for pair in zip(categorical, bernoulli, strict=True)]
        log_probs, entropies = (self._sum_by_key(values) * active for values in each)
        return log_probs, entropies

    def _log_softmax(self, logits: Tensor) -> Tensor:
        owner = self.owner.expand_as(logits)
        highest = logits.detach().new_full((len(logits), len(self.keys)), -torch.inf)
        shifted = logits - highest.scatter_reduce(1, owner, logits.detach(), "amax").gather(1, owner)
        return shifted - self._sum_by_key(shifted.exp()).log().gather(1, owner)

    def _bernoulli(self, logits: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        before = picks.cumsum(1) - picks
        left = self._num_picked - (before - before[:, self._start])
        forced = self._fixed & ((left <= 0) | (left >= self._remaining))
        odds = left.clamp(min=1).log() - (self._remaining - left).clamp(min=1).log()
        logits = torch.where(self._fixed, logits + odds, logits)
        log_yes, log_no = logsigmoid(logits), logsigmoid(-logits)
        entropy = -(log_yes.exp() * log_yes + log_no.exp() * log_no)
        return torch.where(picks > 0, log_yes, log_no).masked_fill(forced, 0.0), entropy.masked_fill(forced, 0.0)

    def _sum_by_key(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(values), len(self.keys)).index_add(1, self.owner, values)


def _decision_order(space: SearchSpace) -> list[str]:
    order: dict[str, None] = {}
    for key, domain in space.items():
        for ancestor in sorted(domain.when, key=lambda above: len(space[above].when)):
            order[ancestor] = None
        order[key] = None
    return list(order)


def _kind(space: SearchSpace, key: str) -> int:
    domain = space[key]
    if domain.kind != INPUT_CHOICE or domain.n_chosen == 1:
        return CATEGORICAL
    return SUBSET if domain.n_chosen is None else FIXED_SUBSET


# --- state as JSON ---------------------------------------------------------------------------------------------------
def to_hex(values: Tensor) -> str:
    """The float32 numbers of a tensor, exactly, 8 hexadecimal digits each."""
    flat = values.detach().flatten().tolist()
    return struct.pack(f"<{len(flat)}f", *flat).hex()


def from_hex(text: str) -> Tensor:
    """The inverse of ``to_hex``, flat."""
    data = bytes.fromhex(text)
    return torch.tensor(struct.unpack(f"<{len(data) // 4}f", data))
