"""A dry run over every candidate: what cannot be trained is named before training begins, not when a path first meets it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import Mutator
from raynas.nn import LayerChoice, find_mutables
from raynas.space import INPUT_CHOICE, Architecture, SearchSpace

MAX_OPTIONS = 64  # of one key; an input choice of any number has 2**n of them


def dry_run(model: nn.Module, mutator: Mutator, sample_input: Any, *, mixes: bool) -> None:
    """Run forward, on one sample, with each candidate of each key in turn.

    Nothing is changed: it runs in eval mode, without gradients, and generators go on as if nothing had been drawn.

    Args:
        model: on the CPU.
        mutator: bound to it.
        sample_input: with a batch dimension.
        mixes: whether outputs of the candidates of one layer choice are added, and so must have one shape.

    Raises:
        ModelError: forward fails; or, with ``mixes``, shapes differ. The message names key and candidate.
    """
    shapes: dict[str, dict[str, Any]] = {}
    hooks = [
        place.mutable.register_forward_hook(_Noting(shapes, place.key, mutator))
        for place in find_mutables(model)
        if isinstance(place.mutable, LayerChoice)
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for key, number, architecture in covering(mutator.space):
                mutator.apply_architecture(architecture)
                _run(model, sample_input, f"key {key!r}, candidate {_name(mutator.space, key, number)!r}", shapes.get(key, {}))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    for key, of_key in shapes.items() if mixes else ():
        if len({repr(shape) for shape in of_key.values()}) > 1:
            listed = ", ".join(f"{name!r} {shape}" for name, shape in of_key.items())
            raise ModelError(f"key {key!r}: the outputs of its candidates have different shapes and cannot be mixed: {listed}")


def covering(space: SearchSpace) -> Iterator[tuple[str, int, Architecture]]:
    """For each key and each of its options an architecture that takes it; the rest is drawn at random, always alike."""
    rng = Random(0)
    for key, domain in space.items():
        for number in range(min(domain.num_options, MAX_OPTIONS)):
            yield key, number, _with(space, key, domain.option(number), rng)


def _with(space: SearchSpace, key: str, option: tuple[int, ...], rng: Random) -> Architecture:
    wanted: dict[str, tuple[int, ...]] = {parent: at[:1] for parent, at in space[key].when.items()} | {key: option}
    drawn = space.sample(rng).indices
    chosen: dict[str, tuple[int, ...]] = {}
    for name, domain in space.items():
        if space.is_active(name, chosen):
            chosen[name] = wanted.get(name, drawn.get(name, domain.option(0)))
    document = {
        name: {"_idx": list(indices) if space[name].kind == INPUT_CHOICE else indices[0]} for name, indices in chosen.items()
    }
    return Architecture.from_dict(space, document)


def _run(model: nn.Module, sample_input: Any, where: str, siblings: dict[str, Any]) -> None:
    try:
        model(sample_input)
    except Exception as error:  # whatever forward raises
        listed = ", ".join(f"{name!r} {shape}" for name, shape in siblings.items()) or "none ran"
        raise ModelError(
            f"{where}: the model cannot run with it: {type(error).__name__}: {error} (shapes of outputs there: {listed})"
        ) from error


def _name(space: SearchSpace, key: str, number: int) -> Any:
    indices = space[key].option(number)
    names = [space[key].candidates[index] for index in indices]
    return names[0] if len(names) == 1 else names


class _Noting:
    """A forward hook that notes the shape of a layer choice's output by the candidate that made it."""

    def __init__(self, shapes: dict[str, dict[str, Any]], key: str, mutator: Mutator) -> None:
        self.shapes, self.key, self.mutator = shapes, key, mutator

    def __call__(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        (index,) = self.mutator.decisions[self.key].indices
        name = str(self.mutator.space[self.key].candidates[index])
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else type(output).__name__
        self.shapes.setdefault(self.key, {}).setdefault(name, shape)
