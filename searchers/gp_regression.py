"""Gaussian process regression over architectures: the distance, the kernel, the fit. What it is good for is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raynas.space import CHOICE, INPUT_CHOICE, Architecture, Domain, SearchSpace
from raynas.space.domain import Indices

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

RANK_SHARE = 0.5  # of the distance between two numbers; the rest is whether they are equal
MIN_NOISE = 1e-3  # variance, where the kernel's is 1; it keeps the equations well conditioned
MIN_UNEXPLAINED = 1e-9
START_DISTANCE = 0.5  # of the prior; over the square root of the number of keys it is what one key weighs
START_LOG_NOISE = -3.0
PRIOR_DEVIATION = 1.0  # of the logarithm of each parameter
MAX_LOG = 8.0  # either way
VARIANCE_PRIOR = 2.0  # results that say that the signal's variance is 1
FIRST_STEP, GROW, SHRINK, MAX_STEP = 0.3, 1.2, 0.5, 1.0  # of a logarithm; Rprop


class HammingEmbedding:
    """Architectures as vectors: the squared Euclidean distance of two is a graded Hamming distance, key by key.

    What a key adds, at most 1, is

    - 0 where it is inactive in both, 1 where it is active in one of them;
    - for operators and names 1 where they differ;
    - for numbers the mean of that and of the difference of their ranks over the largest;
    - for inputs the share of them that differ, of those that can.

    As a squared Euclidean distance it is one whose exponential is a kernel, whatever the weights of the keys.

    Args:
        space: the search space. Keys with a single option say nothing and are left out.

    Attributes:
        owners: for each entry of a vector the number of its key, among the keys that are not left out.

    Example:
        >>> space = SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}})
        >>> first, second, last = HammingEmbedding(space)([space.unrank(number) for number in range(3)])
        >>> round(float(((first - second) ** 2).sum()), 6), round(float(((first - last) ** 2).sum()), 6)
        (0.75, 1.0)
    """

    def __init__(self, space: SearchSpace) -> None:
        self._domains = [domain for domain in space.values() if domain.num_options > 1]
        self._inactive = [_embed(domain, None) for domain in self._domains]
        self.owners = np.repeat(np.arange(len(self._domains)), [len(vector) for vector in self._inactive])
        self._known: list[dict[Indices, Array]] = [
            {(index,): _embed(domain, (index,)) for index in range(len(domain.candidates)) if domain.kind != INPUT_CHOICE}
            for domain in self._domains
        ]

    def __call__(self, architectures: Sequence[Architecture]) -> Array:
        """A row for each architecture."""
        embedded = np.zeros((len(architectures), len(self.owners)))
        if self._domains:
            for row, architecture in zip(embedded, architectures, strict=True):
                np.concatenate(self._vectors(architecture.indices), out=row)
        return embedded

    def _vectors(self, choices: Mapping[str, Indices]) -> list[Array]:
        vectors = []
        for domain, inactive, known in zip(self._domains, self._inactive, self._known, strict=True):
            indices = choices.get(domain.key)
            vector = inactive if indices is None else known.get(indices)
            vectors.append(_embed(domain, indices) if vector is None else vector)
        return vectors


def _embed(domain: Domain, indices: Indices | None) -> Array:
    num_candidates = len(domain.candidates)
    if domain.kind == INPUT_CHOICE:
        chosen = domain.n_chosen
        if chosen is None:
            return _levels(num_candidates, indices, 0.5, 1 / num_candidates, 1.0)
        weight = 1 / (2 * min(chosen, num_candidates - chosen))
        return _levels(num_candidates, indices, chosen / num_candidates, weight, 1.0)
    ranks = _ranks(domain)
    one_hot = np.zeros(num_candidates + 1)
    one_hot[num_candidates if indices is None else indices[0]] = math.sqrt((1 - RANK_SHARE if ranks else 1) / 2)
    if not ranks:
        return one_hot
    largest = max(ranks)
    below = None if indices is None else tuple(range(ranks[indices[0]]))
    return np.concatenate([one_hot, _levels(largest, below, 0.5, RANK_SHARE / largest, RANK_SHARE)])


def _levels(size: int, ones: Indices | None, centre: float, weight: float, inactive: float) -> Array:
    """Zeros and ones, ``weight`` apart; ``None`` is their centre, lifted until it is ``inactive`` away from all of them."""
    vector = np.zeros(size + 1)
    if ones is None:
        vector[:size] = centre
        vector[size] = math.sqrt(inactive / weight - size * centre * (1 - centre))
    else:
        vector[list(ones)] = 1
    return vector * math.sqrt(weight)


def _ranks(domain: Domain) -> list[int]:
    """The rank of each candidate, from 0; empty where they are no numbers, or where ranks tell no more than the names."""
    if domain.kind != CHOICE or any(isinstance(candidate, str) for candidate in domain.candidates):
        return []
    places = {value: rank for rank, value in enumerate(sorted(set(domain.candidates)))}
    return [places[value] for value in domain.candidates] if len(places) > 2 else []


class GaussianProcess:
    """Regression with the kernel exp(-d), where d is the sum of the squared distance of each key times its weight.

    The signal's variance is integrated out of the marginal likelihood, up to a weak prior; the logarithms of the weights
    and of the noise have a normal prior.

    Args:
        owners: for each entry of a vector the number of its key.

    Attributes:
        parameters: the logarithms of the weights of the keys and, last, of the noise, as a share of the signal's variance.
    """

    def __init__(self, owners: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        self._owners = owners
        num_keys = int(owners.max()) + 1 if len(owners) else 0
        self._prior = np.append(np.full(num_keys, math.log(START_DISTANCE / max(1, num_keys) ** 0.5)), START_LOG_NOISE)
        self.parameters: Array = self._prior.copy()

    def fit(self, known: Array, targets: Array, num_steps: int) -> None:
        """Descend from the parameters at hand by Rprop (Riedmiller and Braun, 1993), which needs no scale of the gradient.

        Args:
            known: vectors, (number, size).
            targets: of mean zero, (number,).
            num_steps: each costs time that grows with the cube of the number.
        """
        step, before = np.full(len(self.parameters), FIRST_STEP), np.zeros(len(self.parameters))
        for _ in range(num_steps):
            sign = np.sign(self.loss_and_gradient(known, targets)[1])
            step = np.where(sign * before < 0, step * SHRINK, np.minimum(step * GROW, MAX_STEP))
            self.parameters = np.clip(self.parameters - step * sign, -MAX_LOG, MAX_LOG)
            before = sign

    def loss_and_gradient(self, known: Array, targets: Array) -> tuple[float, Array]:
        """The negative logarithm of marginal likelihood times prior, up to a constant, and its gradient by the parameters."""
        kernel, number = self._kernel(known, known), len(targets)
        covariance = kernel + self._noise() * np.eye(number)
        inverse = np.linalg.inv(covariance)
        weights = inverse @ targets
        variance = _signal_variance(targets, weights)
        from_prior = (self.parameters - self._prior) / PRIOR_DEVIATION
        loss = np.linalg.slogdet(covariance)[1] + (number + VARIANCE_PRIOR) * math.log(variance) + from_prior @ from_prior
        slope = (inverse - np.outer(weights, weights) / variance) / 2  # of the loss, by the covariance
        by_distance = -slope * kernel
        entries = 2 * (by_distance.sum(1) @ known**2 - (known * (by_distance @ known)).sum(0))
        keys = np.bincount(self._owners, entries, minlength=len(self.parameters) - 1) * np.exp(self.parameters[:-1])
        return loss / 2, np.append(keys, np.trace(slope) * math.exp(self.parameters[-1])) + from_prior / PRIOR_DEVIATION

    def predict(self, known: Array, targets: Array, asked: Array, running: Array) -> tuple[Array, Array, float]:
        """What to expect of ``asked``, once the results of ``running`` are just what is expected now.

        Args:
            known: vectors, (number, size).
            targets: of mean zero, (number,).
            asked: vectors, (candidates, size).
            running: vectors, (trials, size).

        Returns:
            The mean and the standard deviation of each of ``asked``, without noise, and the best mean of all ``known``.
        """
        everything = np.concatenate([known, running])
        noisy, across, number = self._noisy(everything), self._kernel(everything, asked), len(known)
        solved = np.linalg.solve(noisy, np.column_stack([np.append(targets, np.zeros(len(running))), across]))
        weights = np.linalg.solve(noisy[:number, :number], targets) if len(running) else solved[:, 0]
        variance = _signal_variance(targets, weights)
        mean = across[:number].T @ weights
        explained = (across * solved[:, 1:]).sum(0)
        deviation = np.sqrt(variance * np.maximum(1 - explained, MIN_UNEXPLAINED))
        return mean, deviation, float((targets - self._noise() * weights).max())

    def _noise(self) -> float:
        return math.exp(self.parameters[-1]) + MIN_NOISE

    def _noisy(self, vectors: Array) -> Array:
        return self._kernel(vectors, vectors) + self._noise() * np.eye(len(vectors))

    def _kernel(self, first: Array, second: Array) -> Array:
        scale = np.exp(self.parameters[:-1] / 2)[self._owners]
        first, second = first * scale, second * scale
        distance = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
        kernel: Array = np.exp(-np.maximum(distance, 0))
        return kernel


def _signal_variance(targets: Array, weights: Array) -> float:
    return float((targets @ weights + VARIANCE_PRIOR) / (len(targets) + VARIANCE_PRIOR))
