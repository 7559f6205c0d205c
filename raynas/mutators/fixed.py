"""``FixedMutator``: one architecture for good, in the model as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from raynas.mutators.mutator import Mutator
from raynas.nn import generate_search_space
from raynas.space import Architecture


class FixedMutator(Mutator):
    """Fixes one architecture.

    Args:
        model: a model with mutables and without a mutator.
        architecture: of its space.

    Raises:
        ArchitectureError: the architecture does not fit the model's space.
    """

    def __init__(self, model: nn.Module, architecture: Mapping[str, Any]) -> None:
        chosen = Architecture.from_dict(generate_search_space(model), architecture)  # before the model is bound for good
        super().__init__(model)
        self.architecture = chosen
        self.reset()

    def reset(self) -> None:
        self.apply_architecture(self.architecture)

    def sample_search(self) -> dict[str, Tensor]:
        return self.architecture_masks(self.architecture)

    def sample_final(self) -> dict[str, Tensor]:
        return self.sample_search()


def apply_fixed_architecture(model: nn.Module, architecture: Mapping[str, Any] | str | Path) -> nn.Module:
    """Fix the mutables of ``model``, which keeps all its candidates; ``freeze`` makes a plain model instead.

    Args:
        model: a model with mutables and without a mutator.
        architecture: an architecture, the same as plain dicts, or the path of its JSON file.

    Returns:
        ``model``.

    Raises:
        ArchitectureError: the architecture does not fit the model's space.
        MutatorError: the model has a mutator already.

    Example:
        >>> import torch
        >>> from raynas.nn import LayerChoice
        >>> net = nn.Sequential(LayerChoice({"double": nn.Linear(2, 4), "same": nn.Identity()}, key="op"))
        >>> apply_fixed_architecture(net, {"op": {"_value": "same"}})(torch.zeros(1, 2)).shape
        torch.Size([1, 2])
    """
    if isinstance(architecture, str | Path):
        architecture = Architecture.load(generate_search_space(model), architecture)
    FixedMutator(model, architecture)
    return model
