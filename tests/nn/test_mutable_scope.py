"""``MutableScope``: a mutator is told when it is entered and left, whatever happens inside."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.mutators import RandomMutator
from raynas.nn import InputChoice, LayerChoice, MutableScope, freeze, generate_search_space


class Cell(MutableScope):
    def __init__(self, *layers: nn.Module, key: str | None = None) -> None:
        super().__init__(key)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("a layer failed")


class Listener(RandomMutator):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.heard: list[str] = []

    def enter_mutable_scope(self, scope: MutableScope) -> None:
        self.heard.append(f"enter {scope.key}")

    def exit_mutable_scope(self, scope: MutableScope) -> None:
        self.heard.append(f"exit {scope.key}")


class Recorder(Listener):
    """Hears the choices too, and knows at each in which scopes it lies."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.open: list[MutableScope] = []
        self.inside: dict[str, list[str]] = {}

    def enter_mutable_scope(self, scope: MutableScope) -> None:
        super().enter_mutable_scope(scope)
        self.open.append(scope)

    def exit_mutable_scope(self, scope: MutableScope) -> None:
        super().exit_mutable_scope(scope)
        assert self.open.pop() is scope

    def on_forward_layer_choice(self, mutable: LayerChoice, *args: Any, **kwargs: Any) -> Any:
        self.inside[mutable.key] = [scope.key for scope in self.open]
        return super().on_forward_layer_choice(mutable, *args, **kwargs)

    def on_forward_input_choice(self, mutable: InputChoice, inputs: list[Any]) -> Any:
        self.inside[mutable.key] = [scope.key for scope in self.open]
        return super().on_forward_input_choice(mutable, inputs)


class Skipping(Cell):
    """A cell that takes its input, or what its layers make of it."""

    def __init__(self, *layers: nn.Module, key: str) -> None:
        super().__init__(*layers, key=key)
        self.skip = InputChoice(n_candidates=2, n_chosen=1, key=f"{key}.skip")

    def forward(self, x: Tensor) -> Tensor:
        return self.skip([x, super().forward(x)])


def make_net(last: nn.Module) -> nn.Sequential:
    op = LayerChoice([nn.Identity()], key="op")
    return nn.Sequential(Cell(op, Cell(nn.ReLU()), key="outer"), Cell(last))


def test_nested_scopes_are_entered_and_left_in_order() -> None:
    net = make_net(nn.Identity())
    listener = Listener(net)
    listener.reset()
    net(torch.ones(1))
    assert listener.heard == ["enter outer", "enter 0.layers.1", "exit 0.layers.1", "exit outer", "enter 1", "exit 1"]


def test_a_scope_is_left_when_forward_raises() -> None:
    net = make_net(Failing())
    listener = Listener(net)
    listener.reset()
    with pytest.raises(ValueError, match="a layer failed"):
        net(torch.ones(1))
    assert listener.heard[-2:] == ["enter 1", "exit 1"]


def test_without_a_mutator_a_scope_is_an_ordinary_module() -> None:
    assert torch.equal(Cell(nn.ReLU())(-torch.ones(2)), torch.zeros(2))


def test_a_scope_makes_no_choice() -> None:
    assert list(generate_search_space(make_net(nn.Identity()))) == ["op"]


def test_choices_are_heard_between_entering_and_leaving() -> None:
    first, second = (LayerChoice([nn.Identity(), nn.ReLU()], key=key) for key in ("first", "second"))
    net = nn.Sequential(LayerChoice([nn.Identity()], key="stem"), Skipping(first, Skipping(second, key="in"), key="out"))
    recorder = Recorder(net)
    recorder.reset()
    net(torch.ones(1))
    assert recorder.inside == {
        "stem": [],
        "first": ["out"],
        "second": ["out", "in"],
        "in.skip": ["out", "in"],
        "out.skip": ["out"],
    }
    assert recorder.heard == ["enter out", "enter in", "exit in", "exit out"]


def test_scopes_are_left_from_the_inside_out_when_forward_raises() -> None:
    net = Cell(Cell(Cell(LayerChoice([Failing()], key="op"), key="c"), key="b"), Cell(nn.ReLU(), key="after"), key="a")
    recorder = Recorder(net)
    recorder.reset()
    for _ in range(2):  # the second pass starts afresh
        recorder.heard.clear()
        with pytest.raises(ValueError, match="a layer failed"):
            net(torch.ones(1))
        assert recorder.heard == ["enter a", "enter b", "enter c", "exit c", "exit b", "exit a"]
        assert recorder.open == []


def test_every_call_is_heard_and_only_calls() -> None:
    cell, unused = Cell(LayerChoice([nn.Identity()], key="op"), key="cell"), Cell(nn.ReLU(), key="unused")
    net = nn.Sequential(cell, nn.ReLU(), cell, LayerChoice([unused, Cell(nn.Tanh(), key="used")], key="pick"))
    listener = Listener(net)
    listener.apply_architecture({"op": {"_idx": 0}, "pick": {"_idx": 1}})
    assert listener.heard == []
    net(torch.ones(1))
    assert listener.heard == ["enter cell", "exit cell"] * 2 + ["enter used", "exit used"]


def test_hooks_of_a_scope_run_inside_it() -> None:
    net = make_net(nn.Identity())
    listener = Listener(net)
    listener.reset()
    net[0].register_forward_pre_hook(lambda *_: listener.heard.append("before"))
    net[0].register_forward_hook(lambda *_: listener.heard.append("after"))
    net[0](torch.ones(1))
    assert listener.heard == ["enter outer", "before", "enter 0.layers.1", "exit 0.layers.1", "after", "exit outer"]


def test_a_frozen_model_tells_nobody_and_a_copy_its_own_mutator() -> None:
    net, x = make_net(nn.ReLU()), -torch.ones(2)
    listener = Listener(net)
    listener.reset()
    plain, twin = freeze(net, listener.sample_architecture()), copy.deepcopy(net)
    other = Listener(twin)
    other.reset()
    assert torch.equal(plain(x), twin(x))
    assert (listener.heard, len(other.heard)) == ([], 6)
