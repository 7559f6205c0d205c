"""Scoring a model: its metrics over data, and the batch-norm statistics that must be right before."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from raynas.oneshot.batches import batches_in_order
from raynas.oneshot.task import MapDataset, Task
from raynas.oneshot.workers.world import World


@torch.no_grad()
def score(
    model: nn.Module,
    task: Task,
    data: MapDataset,
    *,
    device: torch.device,
    batch_size: int = 512,
    world: World | None = None,
) -> dict[str, float]:
    """The task's metrics and its loss, as means over the samples, in eval mode.

    Args:
        model: on ``device``.
        task: its loss and metrics are used.
        data: map-style data.
        device: where to compute.
        batch_size: samples at once.
        world: workers that share the data, each every ``world.size``-th batch; the figures are those of all of it.
    """
    measures: dict[str, Any] = {**task.metrics, "loss": task.loss}
    totals, count = dict.fromkeys(measures, 0.0), 0
    was_training = model.training
    model.eval()
    for inputs, targets, size in batches_in_order(data, batch_size, device=device, world=world):
        outputs = model(inputs)
        for name, measure in measures.items():
            totals[name] += float(measure(outputs, targets)) * size
        count += size
    model.train(was_training)
    sums = torch.tensor([*totals.values(), count], dtype=torch.float64)
    if world is not None:
        world.sum([sums])
    *means, _ = (sums / sums[-1]).tolist()
    return dict(zip(totals, means, strict=True))


@torch.no_grad()
def recalibrate(model: nn.Module, data: Any, *, device: torch.device, num_samples: int, batch_size: int = 256) -> None:
    """Compute the running statistics of batch norm anew, from training data, in place.

    A supernet's own statistics are a mixture over all paths and fit none of them (Guo et al., ECCV 2020, section 3.4).

    Args:
        model: on ``device``; its buffers must be its own.
        data: training data; of what can only be iterated the first samples are read.
        device: where to compute.
        num_samples: how many of the first samples are used.
        batch_size: samples at once, at most; the statistics are the means over the batches.
    """
    norms = [module for module in model.modules() if isinstance(module, _NormBase) and module.track_running_stats]
    if not norms:
        return
    momenta, was_training = [norm.momentum for norm in norms], model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    if not hasattr(data, "__getitem__"):
        data = list(itertools.islice(data, num_samples))
    length = min(num_samples, len(data))
    even = math.ceil(length / math.ceil(length / batch_size))  # batches of one size count alike, and none is a single sample
    for inputs, _, _ in batches_in_order(data, even, device=device, limit=length):
        model(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)
