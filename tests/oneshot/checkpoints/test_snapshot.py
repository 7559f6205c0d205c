"""``Snapshot``: nothing that happens afterwards reaches it."""

from collections import Counter, OrderedDict

import torch

from raynas.oneshot.checkpoints.snapshot import Snapshot


def test_it_stays_as_it_was() -> None:
    weight = torch.arange(6.0).view(2, 3)
    state = {
        "model": OrderedDict(weight=weight, tied=weight, turned=weight.t()),
        "counts": Counter({2: 1}),
        "list": [torch.tensor(3), (1, [2])],
        "none": None,
    }
    copied = Snapshot().take(state)
    weight.zero_()
    state["list"][1][1].append(5)  # type: ignore[index]
    state["counts"].update([7])  # type: ignore[union-attr]
    assert copied["model"]["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert copied["model"]["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert copied["model"]["tied"] is copied["model"]["weight"]
    assert (type(copied["model"]), copied["counts"], copied["none"]) == (OrderedDict, Counter({2: 1}), None)
    assert (copied["list"][0].item(), copied["list"][1]) == (3, (1, [2]))


def test_its_memory_is_used_again_while_shapes_stay() -> None:
    snapshot, weight = Snapshot(), torch.ones(4)
    first = snapshot.take({"a": weight, "b": torch.ones(2)})
    weight += 1
    second = snapshot.take({"a": weight, "b": torch.ones(3), "c": torch.ones(1)})
    assert second["a"].data_ptr() == first["a"].data_ptr()
    assert second["a"].tolist() == [2, 2, 2, 2]
    assert second["b"].tolist() == [1, 1, 1]


def test_parameters_come_without_their_history() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    copied = Snapshot().take([parameter, parameter * 2])
    assert not copied[0].requires_grad
    assert copied[1].grad_fn is None
