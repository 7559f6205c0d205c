"""``Policy``: a distribution over the architectures of a space, with exact log-probabilities. How it learns is not here."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from raynas.space import INPUT_CHOICE, Architecture, SearchSpace

CATEGORICAL, SUBSET, FIXED_SUBSET = range(3)  # how a key is decided
MOST_AHEAD = 2.0  # of logits at first


class Policy(nn.Module):
    """A distribution over the architectures of a space, decided key by key; a subclass says where the logits come from.

    Architectures are rows of zeros and ones, ``picks`` of shape (architectures, candidates of all keys), zeros at keys that
    are not active. A key that picks one candidate is a categorical distribution. One that picks any number of inputs is a
    Bernoulli variable for each of them. One that picks a fixed number goes through its inputs in order and takes each with
    the odds exp(logit) * left / (remaining - left), where ``left`` are still to be picked of the ``remaining`` ones: equal
    logits make all sets of that size equally likely. So a key has as many logits as candidates, however many options it has,
    and log-probabilities are exact.

    Where all logits are 0, the options of a key are equally likely, and those of one that makes others active as likely as
    the architectures that they lead to are many, up to a factor of e**``MOST_AHEAD``.

    Args:
        space: the search space.

    Attributes:
        keys: the keys in the order in which they are decided: that of the space, but ancestors first.
        slices: where the candidates of each key are in ``picks``.
        owner: (candidates,), the number of the key that each belongs to.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.keys = _decision_order(space)
        sizes = torch.tensor([len(space[key].candidates) for key in self.keys])
        ends = sizes.cumsum(0)
        self.slices = [slice(end - size, end) for size, end in zip(sizes.tolist(), ends.tolist(), strict=True)]
        self.owner = torch.repeat_interleave(sizes)
        number_of = {key: number for number, key in enumerate(self.keys)}
        self._in_space_order = [(key, number_of[key]) for key in space]
        self._kinds = [_kind(space, key) for key in self.keys]
        self._is_categorical, self._is_fixed = (
            torch.tensor([found == kind for found in self._kinds])[self.owner] for kind in (CATEGORICAL, FIXED_SUBSET)
        )
        self._start = (ends - sizes)[self.owner]
        self._remaining = ends[self.owner] - torch.arange(len(self.owner))
        self._n_chosen = torch.tensor([space[key].n_chosen or 0 for key in self.keys])[self.owner]
        self._is_root = torch.tensor([not space[key].when for key in self.keys])
        self._gates = torch.zeros(len(self.keys), len(self.owner))  # 1 where picking the candidate makes the key active
        for number, key in enumerate(self.keys):
            when = space[key].when
            if when:  # the nearest ancestor is active only where the conditions on all others hold
                parent = max(when, key=lambda ancestor: len(space[ancestor].when))
                self._gates[number, self.slices[number_of[parent]].start + torch.tensor(when[parent])] = 1.0
        self._prior = self._make_prior()

    def _make_prior(self) -> Tensor:
        """(candidates,): the logarithm of how many ways there are to decide what becomes active with each, within limits.

        Without it, half of what is drawn of an optional cell would leave it out; without the limits, what opens few ways
        would never be tried.
        """
        prior, ways = torch.zeros(len(self.owner)), torch.zeros(len(self.keys))
        for number in reversed(range(len(self.keys))):  # children before their parents
            where = self.slices[number]
            at = ways @ self._gates[:, where]
            prior[where] = (at - at.max()).clamp(min=-MOST_AHEAD)
            is_parent = bool(self._gates[:, where].any())
            ways[number] = at.logsumexp(0) if is_parent else math.log(self.space[self.keys[number]].num_options)
        return prior

    # --- what a subclass adds --------------------------------------------------------------------------------------

    def logits(self, picks: Tensor) -> Tensor:
        """(architectures, candidates); those of a key depend on the picks of the keys before it only."""
        raise NotImplementedError

    def next_logits(self, number: int, picks: Tensor, state: Any) -> tuple[Tensor, Any]:
        """While sampling: the logits of key ``number``, (architectures, its candidates), from the picks so far.

        The second is handed back for the next key as ``state``; it is ``None`` for the first.
        """
        raise NotImplementedError

    # --- architectures and picks -----------------------------------------------------------------------------------

    def encode(self, architectures: Sequence[Mapping[str, Any]]) -> Tensor:
        """The picks of some architectures."""
        picks = torch.zeros(len(architectures), len(self.owner))
        for row, architecture in enumerate(architectures):
            indices = self.space.validate(architecture).indices
            starts = [(key, self.slices[number].start) for key, number in self._in_space_order if key in indices]
            picks[row, [start + index for key, start in starts for index in indices[key]]] = 1.0
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
        return (picks @ self._gates.T > 0) | self._is_root

    # --- the distribution ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Picks of so many architectures, drawn independently of each other."""
        picks, state = torch.zeros(num_samples, len(self.owner)), None
        chances = torch.rand(picks.shape, generator=generator)
        for number, where in enumerate(self.slices):
            logits, state = self.next_logits(number, picks, state)
            drawn = self._draw(number, logits + self._prior[where], chances[:, where])
            picks[:, where] = drawn if self._is_root[number] else drawn * (picks @ self._gates[number]).unsqueeze(1)
        return picks

    def _draw(self, number: int, logits: Tensor, chances: Tensor) -> Tensor:
        if self._kinds[number] == CATEGORICAL:
            highest = (logits - chances.log().neg().log()).argmax(1, keepdim=True)  # Gumbel noise added: an exact draw
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
        """The log-probability of each key's pick and the entropy of its distribution, (architectures, keys) both.

        Each is given the picks before it (for a fixed number of inputs, of the inputs before it too), so the sum of the
        entropies over keys is an unbiased estimate of the entropy of the policy. Keys that are not active have zeros.
        """
        logits = self.logits(picks) + self._prior
        log_prob = self._log_softmax(logits)
        categorical = picks * log_prob, -log_prob.exp() * log_prob
        bernoulli = self._bernoulli(logits, picks)
        each = [torch.where(self._is_categorical, *pair) for pair in zip(categorical, bernoulli, strict=True)]
        log_probs, entropies = (self._sum_by_key(values) * self.active(picks) for values in each)
        return log_probs, entropies

    def _log_softmax(self, logits: Tensor) -> Tensor:
        owner = self.owner.expand_as(logits)
        highest = torch.full((len(logits), len(self.keys)), -torch.inf).scatter_reduce(1, owner, logits.detach(), "amax")
        shifted = logits - highest.gather(1, owner)
        return shifted - self._sum_by_key(shifted.exp()).log().gather(1, owner)

    def _bernoulli(self, logits: Tensor, picks: Tensor) -> tuple[Tensor, Tensor]:
        before = picks.cumsum(1) - picks
        left = self._n_chosen - (before - before[:, self._start])
        forced = self._is_fixed & ((left <= 0) | (left >= self._remaining))
        odds = left.clamp(min=1).log() - (self._remaining - left).clamp(min=1).log()
        logits = torch.where(self._is_fixed, logits + odds, logits)
        log_yes, log_no = logsigmoid(logits), logsigmoid(-logits)
        entropy = -(log_yes.exp() * log_yes + log_no.exp() * log_no)
        return torch.where(picks > 0, log_yes, log_no).masked_fill(forced, 0.0), entropy.masked_fill(forced, 0.0)

    def _sum_by_key(self, values: Tensor) -> Tensor:
        return torch.zeros(len(values), len(self.keys)).index_add(1, self.owner, values)


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


def to_hex(values: Tensor) -> str:
    """The float32 numbers of a tensor, exactly, with 8 hexadecimal digits for each."""
    flat = values.detach().flatten().tolist()
    return struct.pack(f"<{len(flat)}f", *flat).hex()


def from_hex(text: str) -> Tensor:
    """The inverse of ``to_hex``, without the shape."""
    data = bytes.fromhex(text)
    return torch.tensor(struct.unpack(f"<{len(data) // 4}f", data))
