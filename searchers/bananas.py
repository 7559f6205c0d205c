"""White, Neiswanger and Savani, "BANANAS: Bayesian optimization with neural architectures for neural architecture search".

At AAAI 2021. The searcher, and the ensemble of networks that it asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raynas.errors import OptionError
from raynas.space import Architecture

from .predictor_based import PredictorBasedSearcher, normal_scores

BATCH_SIZE = 64
LEARNING_RATE = 0.01
GROWTH = 1.1  # with few results the ensemble is trained anew when there are so many times as many
NUM_HIDDEN = 2  # layers


class BananasSearcher(PredictorBasedSearcher):
    """Algorithm 1 of the paper: an ensemble of small networks, and independent Thompson sampling (ITS).

    Of each candidate x the ensemble's members predict values of mean f(x) and standard deviation s(x); the candidate of the
    largest draw from N(f(x), s(x)**2), each drawn on its own, is proposed. So proposals differ though no result came between
    them.

    What differs from the paper: the input is ``SearchSpace.encode``, since the paths of the paper's encoding are those of a
    dataflow graph, which a search space does not have. The members are trained with the squared error on the normal scores
    of the ranks, which needs no lower bound of the metric as the paper's percentage error does; they are two hidden layers
    wide rather than ten narrow ones, all trained at once as one batch of matrices.

    Args:
        seed: of the searcher's generator.
        num_initial: random proposals before the ensemble is asked; imported results count.
        num_members: networks in the ensemble (5 in the paper).
        width: units of a hidden layer.
        num_steps: of training, from scratch each time; the cost does not depend on how many results there are.
        retrain_every: results after which the ensemble is trained anew (10 in the paper); with fewer than ten times as many
            results it is trained more often, at each tenth more.
        num_candidates: how many are scored for one proposal, at most.
        num_parents: how many of the best results are mutated to make candidates.

    Raises:
        OptionError: a number is out of its range.
    """

    def __init__(
        self,
        seed: int = 0,
        num_initial: int = 10,
        *,
        num_members: int = 5,
        width: int = 64,
        num_steps: int = 200,
        retrain_every: int = 10,
        num_candidates: int = 250,
        num_parents: int = 10,
    ) -> None:
        super().__init__(seed, num_initial, num_candidates=num_candidates, num_parents=num_parents)
        if num_members < 2 or min(width, num_steps, retrain_every) < 1:
            found = f"num_members={num_members}, width={width}, num_steps={num_steps}, retrain_every={retrain_every}"
            raise OptionError(f"found {found}; expected at least 2 members and each of the others to be at least 1")
        self.num_members, self.width, self.num_steps, self.retrain_every = num_members, width, num_steps, retrain_every
        self._trained_on = 0  # so many of the results; with the seed it is all that the ensemble depends on
        self._training_seed = 0
        self._ensemble: MlpEnsemble | None = None

    def score(self, candidates: Sequence[Architecture]) -> list[float]:
        """A draw for each candidate from what the ensemble predicts."""
        number = len(self._archive.results)
        if number >= self._next_training():
            self._trained_on, self._training_seed, self._ensemble = number, self.rng.getrandbits(32), None
        if self._ensemble is None:
            self._ensemble = self._train()
        deviation, mean = torch.std_mean(self._ensemble.predict(self._encode(candidates)), dim=0)
        return [self.rng.gauss(m, s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)]

    def _next_training(self) -> int:
        before = self._trained_on
        return min(before + self.retrain_every, math.ceil(before * GROWTH))

    def _train(self) -> MlpEnsemble:
        results = self._archive.results[: self._trained_on]
        inputs = self._encode([result.architecture for result in results])
        targets = torch.tensor(normal_scores([result.value for result in results]), dtype=torch.float32)
        sizes = [inputs.shape[1], *[self.width] * NUM_HIDDEN, 1]
        ensemble = MlpEnsemble(sizes, self.num_members, self._training_seed, num_ones=len(self.space))
        ensemble.fit(inputs, targets, self.num_steps)
        return ensemble

    def _encode(self, architectures: Sequence[Architecture]) -> Tensor:
        return torch.tensor([self.space.encode(architecture) for architecture in architectures], dtype=torch.float32)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"trained_on": self._trained_on, "training_seed": self._training_seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._trained_on, self._training_seed, self._ensemble = state["trained_on"], state["training_seed"], None


class MlpEnsemble:
    """Networks of one shape, computed together: a weight is (members, in, out), and each batch is one product of matrices.

    Args:
        sizes: of the layers, the inputs first, the one output last.
        num_members: how many networks.
        seed: of the first weights and of the order of the data; each member has its own of both.
        num_ones: about so many of the inputs are one, the others zero; the first weights are scaled by it.
    """

    def __init__(self, sizes: Sequence[int], num_members: int, seed: int, *, num_ones: int) -> None:
        self.num_members = num_members
        self._rng = torch.Generator().manual_seed(seed)
        variances = [2 / num_ones, *(2 / size for size in sizes[1:-2]), 1 / sizes[-2]]  # of a ReLU's half; the output has none
        self.weights = [
            self._drawn(before, after, variance) for (before, after), variance in zip(pairwise(sizes), variances, strict=True)
        ]
        self.biases = [torch.zeros(num_members, 1, after).requires_grad_() for after in sizes[1:]]

    def _drawn(self, before: int, after: int, variance: float) -> Tensor:
        drawn = torch.randn(self.num_members, before, after, generator=self._rng)
        return (drawn * math.sqrt(variance)).requires_grad_()

    def fit(self, inputs: Tensor, targets: Tensor, num_steps: int) -> None:
        """Minimize the squared error by Adam; the learning rate falls to zero over the second half of the steps.

        Args:
            inputs: (number, inputs).
            targets: (number,).
            num_steps: batches that each member sees.
        """
        optimizer = torch.optim.Adam([*self.weights, *self.biases], lr=LEARNING_RATE)
        number = len(inputs)
        size = min(BATCH_SIZE, number)
        order, at = self._shuffled(number), 0
        for step in range(num_steps):
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, 2 * (1 - step / num_steps))
            if at + size > number:
                order, at = self._shuffled(number), 0
            batch, at = order[:, at : at + size], at + size
            optimizer.zero_grad()
            error = functional.mse_loss(self._forward(inputs[batch]), targets[batch], reduction="sum") / size
            torch.autograd.backward(error)
            optimizer.step()

    def _shuffled(self, number: int) -> Tensor:
        return torch.rand(self.num_members, number, generator=self._rng).argsort(1)

    def predict(self, inputs: Tensor) -> Tensor:
        """What each member predicts: (number, inputs) to (members, number)."""
        with torch.no_grad():
            return self._forward(inputs.expand(self.num_members, -1, -1))

    def _forward(self, hidden: Tensor) -> Tensor:
        for weights, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = torch.baddbmm(bias, hidden, weights).relu()
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1]).squeeze(-1)
