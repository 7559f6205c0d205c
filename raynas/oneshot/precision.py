"""Half precision: ``MixedPrecision`` trains with it, ``InPrecision`` only runs a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from raynas.errors import TrainingError
from raynas.oneshot.batches import as_float
from raynas.oneshot.options import Precision

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class MixedPrecision:
    """Micikevicius et al., "Mixed precision training", ICLR 2018: autocast, and for ``fp16`` a scaled loss (section 3.2).

    The scale is moved by whether the summed gradients are finite, and so alike on all workers.

    Args:
        precision: see ``TrainOptions``.
        device: where the model is.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self._device, self._dtype = device.type, _DTYPES.get(precision)
        self._scaler = torch.amp.GradScaler(self._device) if precision == "fp16" else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return torch.autocast(self._device, self._dtype) if self._dtype is not None else nullcontext()

    def scale(self, loss: Tensor) -> Tensor:
        """What a gradient is taken of."""
        if self._scaler is None:
            return loss
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``, scaled where that is needed.

        Raises:
            TrainingError: the graph reaches into an earlier step.
        """
        try:
            torch.autograd.backward(self.scale(loss))
        except RuntimeError as error:
            if "backward through the graph a second time" not in str(error):
                raise
            raise TrainingError(
                "the model or the loss keeps a tensor with its graph from one step to the next; detach() what it keeps"
            ) from error

    def optimize(self, optimizer: Optimizer, parameters: Sequence[nn.Parameter], *, clip_norm: float | None) -> None:
        """Unscale, clip, and step, unless a gradient is not finite and the scale has to come down first."""
        if self._scaler is not None:
            if all(parameter.grad is None for parameter in parameters):
                return  # a scaler has nothing to look at then, and says so with an assertion
            self._scaler.unscale_(optimizer)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state_dict(self) -> dict[str, Any] | None:
        """The scale and how long it has been so."""
        return self._scaler.state_dict() if self._scaler is not None else None

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on with it."""
        if self._scaler is not None and state is not None:
            self._scaler.load_state_dict(state)


class InPrecision(nn.Module):
    """A model whose forward pass is in a precision; what comes out is ``float32``, so that metrics are exact means.

    Args:
        model: on ``device``; its weights and running statistics stay as they are.
        precision: see ``TrainOptions``.
        device: where the model is.
    """

    def __init__(self, model: nn.Module, precision: Precision, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self._precision = MixedPrecision(precision, device)

    def forward(self, *inputs: Any) -> Any:
        with self._precision.autocast():
            outputs = self.model(*inputs)
        return as_float(outputs)
