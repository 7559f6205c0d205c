"""``SlicedLayer``: what all layers share whose sizes may be values: made for the largest, cut to the current ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.nn.value import Value, current, evaluate, possible
from raynas.nn.varying import Choices, Varying, check_forward

Tensors = Mapping[str, Tensor]
Number = int | Value


class SlicedLayer(Varying):
    """A layer of torch some of whose arguments may be values. Inherit from it and from the layer, in this order.

    Its weights are those of the layer with the largest arguments, under the same names; each forward pass uses the part that
    belongs to the current ones. The first channels are kept, kernels are cropped around their centre (Cai et al.,
    "Once-for-all", ICLR 2020, section 3.3, without the transformation matrices).

    Attributes:
        plain: the layer of torch that it becomes.
        unvarying: names of arguments that are no values.
        settings: all arguments by name, values among them.
        arguments: those that are values, so that the walk finds them under ``<layer>.<argument>``.
    """

    plain: ClassVar[type[nn.Module]]
    unvarying: ClassVar[frozenset[str]] = frozenset({"bias"})
    settings: dict[str, Any]
    arguments: nn.ModuleDict

    def take(self, **settings: Any) -> None:
        """Keep the arguments; called by ``__init__`` after that of the layer of torch.

        Raises:
            ModelError: one is a value and may not be.
        """
        self.settings = {name: tuple(setting) if isinstance(setting, list) else setting for name, setting in settings.items()}
        found: dict[str, nn.Module] = {}
        for name, setting in self.settings.items():
            if name in self.unvarying and isinstance(setting, Value):
                raise ModelError(
                    f"{type(self).__name__}: {name} is {setting}, but cannot vary; put both layers into a LayerChoice instead"
                )
            if isinstance(setting, Value):
                found[name] = setting
            elif isinstance(setting, tuple) and any(isinstance(entry, Value) for entry in setting):
                entries = {str(i): entry for i, entry in enumerate(setting) if isinstance(entry, Value)}
                found[name] = nn.ModuleDict(entries)
        self.arguments = nn.ModuleDict(found)

    def cut(self, tensors: Tensors, now: Mapping[str, Any]) -> dict[str, Tensor]:
        """The parts of weights and buffers that belong to given arguments, as views where that is possible.

        Args:
            tensors: of the whole layer, by name.
            now: the arguments, without values.
        """
        raise TypeError(f"{type(self).__name__} does not say which part of its weights is used; define cut")

    def now(self) -> dict[str, Any]:
        """The arguments with the current values."""
        return {name: current(setting) for name, setting in self.settings.items()}

    def whole(self) -> dict[str, Tensor]:
        """Weights and buffers that are there, by name."""
        return dict((*self.named_parameters(), *self.named_buffers()))

    def to_plain(self, choices: Choices) -> nn.Module:
        check_forward(type(self), "plain", self.plain.__name__)
        now = {name: evaluate(setting, choices.decided) for name, setting in self.settings.items()}
        with torch.device("meta"):
            plain = self.plain(**now)
        whole = self.whole()
        cut = self.cut({name: choices.whole(tensor) for name, tensor in whole.items()}, now)
        for name, tensor in whole.items():
            owner, _, leaf = name.rpartition(".")
            module = plain.get_submodule(owner)
            kept = choices.part(tensor, cut.get(name, choices.whole(tensor)), type(self))
            kind = module._parameters if isinstance(tensor, nn.Parameter) else module._buffers
            kind[leaf] = kept  # type: ignore[assignment]
        return plain.train(self.training)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={setting}" for name, setting in self.settings.items())


def largest(layer: str, name: str, setting: Any) -> Any:
    """The largest that an argument can become; a tuple entry by entry.

    Raises:
        ModelError: it can become something else than a positive integer.
    """
    if isinstance(setting, tuple):
        return tuple(largest(layer, name, entry) for entry in setting)
    values = possible(setting)
    wrong = [value for value in values if type(value) is not int or value < 1]
    if wrong:
        raise ModelError(f"{layer}: {name} can become {wrong[0]!r}; expected a positive integer")
    return max(values)
