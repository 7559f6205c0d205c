"""Weight decay spares norms and biases, and leaves groups as they are where there is nothing to spare."""

import torch
from torch import nn

from raynas.oneshot.optimizers import spare_from_decay


def decays(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    by_id = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    return {name: by_id[id(parameter)] for name, parameter in model.named_parameters()}


def test_parameters_of_one_dimension_are_spared() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Embedding(2, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.25, weight_decay=0.1)
    spare_from_decay(optimizer)
    assert decays(model, optimizer) == {"0.weight": 0.1, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0, "2.weight": 0.1}
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_the_users_groups_keep_what_is_theirs() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    groups = [
        {"params": model[0].parameters(), "lr": 0.5},
        {"params": model[1].parameters(), "weight_decay": 0.0},
        {"params": model[2].parameters(), "weight_decay": 0.3},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=0.2)
    spare_from_decay(optimizer)
    assert decays(model, optimizer) == {
        "0.weight": 0.2,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "2.weight": 0.0,
        "2.bias": 0.0,
    }
    assert sorted(group["lr"] for group in optimizer.param_groups) == [0.1, 0.1, 0.5, 0.5]


def test_without_decay_nothing_changes() -> None:
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = list(optimizer.param_groups)
    spare_from_decay(optimizer)
    assert optimizer.param_groups == before
