"""``MixedPrecision``: autocast, the scaled loss, and graphs that reach into an earlier step."""

import pytest
import torch
from torch import nn

from raynas.errors import TrainingError
from raynas.oneshot.precision import InPrecision, MixedPrecision

CPU = torch.device("cpu")


def step(precision: MixedPrecision, model: nn.Module, optimizer: torch.optim.Optimizer, factor: float = 1.0) -> None:
    optimizer.zero_grad()
    with precision.autocast():
        loss = model(torch.ones(2, 3)).pow(2).mean() * factor
    precision.backward(loss)
    precision.optimize(optimizer, list(model.parameters()), clip_norm=None)


def test_a_scaled_loss_makes_the_same_step() -> None:
    moved = []
    for name in ("float32", "fp16"):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        before = model.weight.detach().clone()
        precision, optimizer = MixedPrecision(name, CPU), torch.optim.SGD(model.parameters(), lr=0.1)  # type: ignore[arg-type]
        for _ in range(10):  # the first scales are too large, and such steps are skipped
            if torch.equal(model.weight, before):
                step(precision, model, optimizer)
        moved.append(model.weight.detach() - before)
    torch.testing.assert_close(moved[0], moved[1], rtol=0.02, atol=1e-4)


def test_a_gradient_that_is_not_finite_skips_the_step_and_lowers_the_scale() -> None:
    model = nn.Linear(3, 2)
    precision, optimizer = MixedPrecision("fp16", CPU), torch.optim.SGD(model.parameters(), lr=0.1)
    step(precision, model, optimizer)
    before, scale = model.weight.detach().clone(), precision.state_dict()["scale"]  # type: ignore[index]
    step(precision, model, optimizer, factor=float("inf"))
    assert torch.equal(model.weight, before)
    assert precision.state_dict()["scale"] == scale / 2  # type: ignore[index]


def test_the_scale_goes_on_where_it_was() -> None:
    model = nn.Linear(3, 2)
    precision, again = MixedPrecision("fp16", CPU), MixedPrecision("fp16", CPU)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for factor in (1.0, float("inf"), 1.0):
        step(precision, model, optimizer, factor)
    again.load_state_dict(precision.state_dict())
    assert again.state_dict() == precision.state_dict()
    assert MixedPrecision("bf16", CPU).state_dict() is None


def test_a_graph_that_is_kept_between_steps_is_explained() -> None:
    weight = torch.ones(1, requires_grad=True)
    kept = (weight * 2).exp()
    precision = MixedPrecision("float32", CPU)
    precision.backward((kept * 2).sum())
    with pytest.raises(TrainingError, match=r"keeps a tensor with its graph from one step to the next; detach\(\)"):
        precision.backward((kept * 3).sum())


def test_other_errors_of_backward_pass() -> None:
    with pytest.raises(RuntimeError, match="does not require grad"):
        MixedPrecision("float32", CPU).backward(torch.ones(()))


def test_a_model_runs_in_a_precision_and_what_comes_out_is_single() -> None:
    class Watching(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            output = super().forward(x)
            seen.append(output.dtype)
            return output

    seen: list[torch.dtype] = []
    model = Watching(3, 2)
    with torch.no_grad():
        plain = model(torch.ones(4, 3))
        half = InPrecision(model, "bf16", CPU)(torch.ones(4, 3))
        same = InPrecision(model, "float32", CPU)(torch.ones(4, 3))
    assert seen == [torch.float32, torch.bfloat16, torch.float32]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, plain, rtol=0.02, atol=0.01)
    assert torch.equal(same, plain)
    assert model.weight.dtype == torch.float32
