"""Which parameters weight decay reaches."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer


def spare_from_decay(optimizer: Optimizer) -> None:
    """Take weight decay from parameters of fewer than two dimensions: norms and biases.

    Each group with weight decay is split in two; where nothing is to be spared, it stays as it is. To be called before the
    first step and before a schedule is made, which counts groups.
    """
    spared: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        small = [parameter for parameter in group["params"] if parameter.ndim < 2]
        if group.get("weight_decay") and small:
            group["params"] = [parameter for parameter in group["params"] if parameter.ndim >= 2]
            spared.append({**group, "params": small, "weight_decay": 0.0})
    for group in spared:
        optimizer.add_param_group(group)
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
