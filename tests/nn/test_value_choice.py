"""``ValueChoice``: its candidates, its keys, and who decides."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ArchitectureError, ModelError, MutatorError
from raynas.mutators import BaseMutator, FixedMutator, Mutator, RandomMutator, apply_fixed_architecture
from raynas.nn import Dropout, LayerChoice, Linear, ValueChoice, find_mutables, freeze, generate_search_space


class Net(nn.Module):
    """A width, and a name inside of a candidate."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([2, 4, 8], key="width")
        self.up = Linear(3, width)
        self.op = LayerChoice([Activation(), nn.Identity()], key="op")
        self.down = Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.op(self.up(x)))


class Activation(nn.Module):
    """A function by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ValueChoice(["relu", "tanh"], key="name")

    def forward(self, x: Tensor) -> Tensor:
        return getattr(torch, self.name())(x)


SMALL = {"width": {"_value": 2, "_idx": 0}, "op": {"_value": "0", "_idx": 0}, "name": {"_value": "tanh", "_idx": 1}}
X = torch.linspace(-1, 1, 12).view(4, 3)


def by_hand(net: Net, width: int, name: str | None) -> Tensor:
    hidden = X @ net.up.weight[:width].T + net.up.bias[:width]
    hidden = getattr(torch, name)(hidden) if name else hidden
    return hidden @ net.down.weight[:, :width].T + net.down.bias


@pytest.mark.parametrize("wrong", [[], (), "abc", None, 3, [1, None], [[1]], [1, 1], [1, 1.0], [1, True], ["a", "a"], {1, 2}])
def test_what_is_no_list_of_different_values_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelError, match=r"ValueChoice w: found .*expected different numbers or strings, at least one"):
        ValueChoice(wrong, key="w")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_what_no_file_could_hold_is_refused_with_the_key(wrong: float) -> None:
    with pytest.raises(ModelError, match=r"key 'w'.*finite number"):
        generate_search_space(ValueChoice([1, wrong], key="w"))


def test_it_is_a_key_of_the_space_with_its_conditions() -> None:
    space = generate_search_space(Net())
    assert space.to_dict() == {
        "width": {"_type": "choice", "_value": [2, 4, 8]},
        "op": {"_type": "layer_choice", "_value": ["0", "1"]},
        "name": {"_type": "choice", "_value": ["relu", "tanh"], "_when": {"op": [0]}},
    }
    assert space.size == 3 * (2 + 1)


def test_it_has_a_length_and_is_always_true() -> None:
    choice = ValueChoice(range(3))
    assert (len(choice), choice.length, bool(choice), choice.possible(), choice.candidates) == (
        3,
        3,
        True,
        (0, 1, 2),
        (0, 1, 2),
    )


@pytest.mark.parametrize("form", ["strict", "bare", "indices", "file"])
def test_every_form_of_an_architecture_is_applied(form: str, tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text(json.dumps(SMALL))
    forms: dict[str, Any] = {
        "strict": SMALL,
        "bare": {"width": 2, "op": {"_idx": 0}, "name": "tanh"},
        "indices": {key: {"_idx": entry["_idx"]} for key, entry in SMALL.items()},
        "file": tmp_path / "best.json",
    }
    net = apply_fixed_architecture(Net(), forms[form])
    torch.testing.assert_close(net(X), by_hand(net, 2, "tanh"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": {"_value": 3}}, "'width'"),
        ({"width": {"_value": "2"}}, "'width'"),
        ({"width": {"_idx": 3}}, "'width'"),
        ({"name": {"_value": "tanh", "_idx": 0}}, "'name'"),
        ({"op": {"_idx": 1}}, "'name'"),  # inactive
    ],
)
def test_an_architecture_that_does_not_fit_is_refused_by_its_key(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        apply_fixed_architecture(Net(), SMALL | changed)
    with pytest.raises(ArchitectureError, match=message):
        freeze(Net(), SMALL | changed)


def test_every_architecture_computes_with_its_slices() -> None:
    net = Net()
    mutator = RandomMutator(net)
    for architecture in mutator.space.enumerate():
        mutator.apply_architecture(architecture)
        name = architecture["name"]["_value"] if "name" in architecture else None
        torch.testing.assert_close(net(X), by_hand(net, architecture["width"]["_value"], name))


def test_random_resets_reach_every_value() -> None:
    net = Net()
    mutator = RandomMutator(net, seed=1)
    seen = set()
    for _ in range(40):
        mutator.reset()
        seen.add(net.up(X).shape[1])
        assert set(mutator.export_architecture()) <= {"width", "op", "name"}
    assert seen == {2, 4, 8}


def test_a_fixed_mutator_exports_what_it_was_given() -> None:
    assert FixedMutator(Net(), SMALL).export_architecture().to_dict() == SMALL


def decide(width: Any) -> dict[str, Any]:
    return {"width": width, "op": torch.tensor([False, True])}


@pytest.mark.parametrize("width", [torch.tensor([False, True, False]), torch.tensor([0.0, 0.3, 0.0])], ids=["bool", "float"])
def test_one_value_is_selected_with_zeros_elsewhere(width: Tensor) -> None:
    net = Net()
    Mutator(net).apply_on_model(decide(width))
    torch.testing.assert_close(net(X), by_hand(net, 4, None))


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (torch.tensor([True, True, False]), "2 values are selected; expected one, values cannot be mixed"),
        (torch.tensor([0.2, 0.3, 0.5]), "3 values are selected"),
        (torch.tensor([0.0, 1.0, -1.0]), "2 values are selected"),
        (torch.tensor([False] * 3), "no candidate is selected"),
        (torch.zeros(3), "no candidate is selected"),
        (torch.tensor([True, False]), r"shape \(2,\); expected a tensor of shape \(3,\)"),
        (torch.tensor([0, 1, 0]), r"torch.int64; expected torch.bool"),
        (4, "found 4; expected a tensor"),
    ],
)
def test_a_decision_that_is_not_one_value_names_the_key_and_changes_nothing(width: Any, message: str) -> None:
    net = Net()
    mutator = Mutator(net)
    mutator.apply_on_model(decide(torch.tensor([True, False, False])))
    with pytest.raises(MutatorError, match=f"key 'width': .*{message}"):
        mutator.apply_on_model(decide(width))
    assert net.up(X).shape[1] == 2


def test_a_decision_that_is_missing_names_the_key() -> None:
    with pytest.raises(MutatorError, match="key 'width' is not decided; expected a tensor of 3 entries"):
        Mutator(Net()).apply_on_model({"op": torch.tensor([False, True])})


def test_weights_of_values_are_not_exported_as_an_architecture() -> None:
    class Weighing(Mutator):
        def sample_final(self) -> dict[str, Tensor]:
            return decide(torch.tensor([0.0, 0.3, 0.0]))

    with pytest.raises(ArchitectureError, match=r"key 'width'.*weighs candidates"):
        Weighing(Net()).export_architecture()


def test_before_anything_is_decided_a_call_says_what_to_do() -> None:
    net = Net()
    with pytest.raises(MutatorError, match=r"ValueChoice width has no mutator.*RandomMutator\(model\).*raynas\.freeze"):
        net(X)
    RandomMutator(net)
    with pytest.raises(MutatorError, match=r"key 'width': nothing is decided yet; call mutator\.reset"):
        net(X)


def test_a_mutator_that_does_not_decide_for_values_is_named() -> None:
    net = Net()
    BaseMutator(net)
    with pytest.raises(MutatorError, match="BaseMutator does not decide for value choices; define on_forward_value_choice"):
        net(X)


def test_one_that_is_no_submodule_says_to_make_it_one() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.widths = [ValueChoice([1, 2], key="hidden")]

        def forward(self, x: Tensor) -> Tensor:
            return x * self.widths[0]()

    with pytest.raises(ModelError, match=r"Hidden has no mutables.*as an attribute of a module"):
        RandomMutator(Hidden())
    net = nn.Sequential(Hidden(), Dropout(ValueChoice([0.1, 0.2], key="p")))
    RandomMutator(net).reset()
    with pytest.raises(MutatorError, match=r"ValueChoice hidden .*none of its submodules: make it an attribute"):
        net(X)


def test_one_object_in_several_places_is_one_choice_under_its_first_path() -> None:
    width = ValueChoice([2, 4])
    net = nn.Sequential(Linear(3, width), Linear(width, width * 2), nn.Sequential(Linear(width * 2, 1)))
    assert [(place.key, place.mutable) for place in find_mutables(net)] == [("0.out_features", width)]
    assert generate_search_space(net).size == 2
    plain = freeze(net, {"0.out_features": 2})
    assert [tuple(tensor.shape) for tensor in plain.parameters() if tensor.dim() == 2] == [(2, 3), (4, 2), (1, 4)]


def test_equal_keys_by_hand_share_one_decision() -> None:
    net = nn.Sequential(*(Linear(a, b) for a, b in [(3, ValueChoice([2, 4], key="w")), (ValueChoice([2, 4], key="w"), 1)]))
    mutator = RandomMutator(net)
    assert list(mutator.space) == ["w"]
    for width in (2, 4):
        mutator.apply_architecture({"w": width})
        assert net[0](X).shape == (4, width)
        torch.testing.assert_close(freeze(net, {"w": width})(X), net(X))


def test_equal_keys_with_other_candidates_are_refused() -> None:
    net = nn.Sequential(Linear(3, ValueChoice([2, 4], key="w")), Linear(ValueChoice([4, 2], key="w"), 1))
    with pytest.raises(ModelError, match="'w' is used twice with different candidates"):
        generate_search_space(net)


@pytest.mark.parametrize(
    "other", [Dropout(ValueChoice([0.1], key="0.out_features")), LayerChoice([nn.ReLU()], key="0.out_features")]
)
def test_an_automatic_key_equal_to_one_by_hand_is_refused(other: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"key '0\.out_features' was given by hand and is also the path of a mutable"):
        generate_search_space(nn.Sequential(Linear(3, ValueChoice([2, 4])), other))


def test_a_model_that_is_itself_a_value_choice_needs_a_key() -> None:
    with pytest.raises(ModelError, match="the model itself is a ValueChoice; give it a key"):
        generate_search_space(ValueChoice([1, 2]))
    assert freeze(ValueChoice([1, 2], key="w"), {"w": 2})() == 2


PROGRAM = """
import sys
from raynas.nn import Conv2d, Linear, Repeat, ValueChoice, generate_search_space
from torch import nn
def block(index):
    return nn.ModuleDict({name: Linear(2, ValueChoice([2, 3])) for name in ("a", "b")})
net = nn.Sequential(Conv2d(3, 4, ValueChoice([1, 3]) * 1), Repeat(block, depth=(1, 2)))
result = generate_search_space(net).to_json()
print(result)
"""


@pytest.mark.nightly
def test_keys_are_the_same_in_every_process_and_for_every_instance() -> None:
    space: dict[str, Any] = {}
    exec(PROGRAM, space)  # here, beside a process whose hashes are others
    command = [sys.executable, "-c", PROGRAM]
    there = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}, timeout=60)
    assert json.loads(there.stdout) == json.loads(space["result"])
    assert list(json.loads(there.stdout)) == list(generate_search_space(space["net"]))
    assert [*json.loads(there.stdout)] == [
        "0.kernel_size.0",
        "1.depth",
        *(f"1.blocks.{number}.{name}.out_features" for number in (0, 1) for name in ("a", "b")),
    ]
