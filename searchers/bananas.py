"""BANANAS: White et al., "BANANAS: Bayesian optimization with neural architectures for neural architecture search", AAAI 2021."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raynas.errors import OptionError
from raynas.space import Architecture

from .predictor_based import PredictorBasedSearcher, normal_scores

BATCH_SIZE = 64
LEARNING_RATE = 0.01
WEIGHT_DECAY = 0.0
LOSS = "mse"
GROWTH = 1.1
LAYERS = 2


class BananasSearcher(PredictorBasedSearcher):
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
        self.num_members, self.width, self.num_steps, self.retrain_every = num_members, width, num_steps, retrain_every
        self._trained_on = 0
        self._training_seed = 0
        self._ensemble: MlpEnsemble | None = None

    def score(self, candidates: Sequence[Architecture]) -> list[float]:
        """independent Thompson sampling"""
        number = len(self._archive.results)
        if not self._trained_on or number >= min(self._trained_on + self.retrain_every, math.ceil(self._trained_on * GROWTH)):
            self._trained_on, self._training_seed, self._ensemble = number, self.rng.getrandbits(32), None
        if self._ensemble is None:
            self._ensemble = self._train()
        predicted = self._ensemble.predict(self._encode(candidates))
        deviation, mean = torch.std_mean(predicted, dim=0)
        return [self.rng.gauss(m, s) for m, s in zip(mean.tolist(), deviation.tolist(), strict=True)]

    def _train(self) -> MlpEnsemble:
        results = self._archive.results[: self._trained_on]
        inputs = self._encode([result.architecture for result in results])
        targets = torch.tensor(normal_scores([result.value for result in results]), dtype=torch.float32)
        ensemble = MlpEnsemble(self.num_members, inputs.shape[1], self.width, len(self.space), self._training_seed)
        ensemble.fit(inputs, targets, self.num_steps)
        return ensemble

    def _encode(self, architectures: Sequence[Architecture]) -> Tensor:
        return torch.tensor([self.space.encode(architecture) for architecture in architectures])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"trained_on": self._trained_on, "training_seed": self._training_seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._trained_on, self._training_seed, self._ensemble = state["trained_on"], state["training_seed"], None


class MlpEnsemble:
    def __init__(self, num_members: int, num_inputs: int, width: int, num_ones: int, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed)
        self.num_members = num_members
        sizes = [num_inputs] + [width] * LAYERS + [1]
        self._parameters: list[Tensor] = []
        for i, (size, outputs) in enumerate(zip(sizes, sizes[1:])):
            weights = torch.randn(num_members, size, outputs, generator=self._rng) * math.sqrt((2 if outputs > 1 else 1) / (num_ones if i == 0 else size))
            self._parameters += [weights.requires_grad_(), torch.zeros(num_members, 1, outputs).requires_grad_()]

    def fit(self, inputs: Tensor, targets: Tensor, num_steps: int) -> None:
        optimizer = torch.optim.AdamW(self._parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, foreach=True)
        number = len(inputs)
        size = min(BATCH_SIZE, number)
        at = number
        for step in range(num_steps):
            for g in optimizer.param_groups:
                g["lr"] = LEARNING_RATE * min(1, 2 * (1 - step / num_steps))
            if at + size > number:
                order = torch.rand(self.num_members, number, generator=self._rng).argsort(1)
                at = 0
            batch = order[:, at : at + size]
            at += size
            optimizer.zero_grad()
            p = self(inputs[batch])
            y = targets[batch]
            if LOSS == "mse":
                loss = functional.mse_loss(p, y, reduction="sum") / size
            elif LOSS == "mae":
                loss = functional.l1_loss(p, y, reduction="sum") / size
            elif LOSS == "mape":
                loss = ((p - y) / (y - targets.min() + .5)).abs().sum() / size
            loss.backward()
            optimizer.step()

    def predict(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return self(inputs.expand(self.num_members, -1, -1))

    def __call__(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        layers = list(zip(self._parameters[::2], self._parameters[1::2]))
        for weights, bias in layers[:-1]:
            hidden = torch.baddbmm(bias, hidden, weights).relu()
        weights, bias = layers[-1]
        return torch.baddbmm(bias, hidden, weights).squeeze(-1)
