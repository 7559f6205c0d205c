"""``Value``: arithmetic on what is not chosen yet."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import DerivedValue, Linear, Value, ValueChoice, freeze, generate_search_space
from raynas.nn.value import Chosen, current, evaluate, joint, possible

NUMBERS = [2, 3, 7]
OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "x + 1": lambda x: x + 1,
    "1 + x": lambda x: 1 + x,
    "x - 5": lambda x: x - 5,
    "5 - x": lambda x: 5 - x,
    "x * 4": lambda x: x * 4,
    "4 * x": lambda x: 4 * x,
    "x / 4": lambda x: x / 4,
    "4 / x": lambda x: 4 / x,
    "x // 2": lambda x: x // 2,
    "17 // x": lambda x: 17 // x,
    "x % 3": lambda x: x % 3,
    "17 % x": lambda x: 17 % x,
    "x ** 2": lambda x: x**2,
    "2 ** x": lambda x: 2**x,
    "-x": lambda x: -x,
    "round": lambda x: round(x / 3),
    "round to digits": lambda x: round(x / 3, 1),
    "floor": lambda x: math.floor(x / 2),
    "ceil": lambda x: math.ceil(x / 2),
    "twice the same": lambda x: x * x - x,
    "deep": lambda x: -(((x + 1) * 2 // x) ** 2) % 5,
}


def choice(numbers: Any = NUMBERS, key: str | None = "x") -> ValueChoice:
    return ValueChoice(list(numbers), key=key)


def outer(*values: Any) -> nn.Module:
    """A model that holds values under names of its own."""
    net = nn.Module()
    for position, value in enumerate(values):
        setattr(net, f"v{position}", value)
    return net


@pytest.mark.parametrize("name", OPERATIONS)
def test_arithmetic_gives_what_python_gives_in_every_way_to_ask(name: str) -> None:
    compute = OPERATIONS[name]
    net = outer(derived := compute(choice()))
    assert isinstance(derived, DerivedValue)
    assert list(generate_search_space(net)) == ["x"]  # no key of its own
    assert possible(derived) == {compute(number) for number in NUMBERS}
    mutator = RandomMutator(net)
    for number in NUMBERS:
        mutator.apply_architecture({"x": number})
        for found in (derived(), net.v0(), freeze(net, {"x": number}).v0()):
            assert found == compute(number)
            assert type(found) is type(compute(number))


@pytest.mark.parametrize(("merge", "expected"), [(Value.max, [3, 3, 7]), (Value.min, [2, 3, 3])])
def test_the_largest_and_the_smallest_of_values_and_numbers(merge: Callable[..., Value], expected: list[int]) -> None:
    net = outer(merge(choice(), 3), merge(3, choice(), choice() + 0))
    mutator = RandomMutator(net)
    for number, wanted in zip(NUMBERS, expected, strict=True):
        mutator.apply_architecture({"x": number})
        assert (net.v0(), net.v1()) == (wanted, wanted)


def test_names_are_joined_and_repeated() -> None:
    name = choice(["re", "si"], "name")
    assert possible(name + "lu") == {"relu", "silu"}
    assert possible("_" + name * 2) == {"_rere", "_sisi"}


@pytest.mark.parametrize(
    "compare",
    [
        lambda x: x < 3,
        lambda x: 3 >= x,  # noqa: SIM300
        lambda x: x > choice(),
        lambda x: max(x, 3),
        lambda x: min(3, x),
        lambda x: sorted([x, x * 2]),
        lambda x: x == 2,
        lambda x: x * 2 != 4,
        lambda x: "a" == x,  # noqa: SIM300
    ],
)
def test_comparing_is_refused_and_says_what_to_write(compare: Callable[[Value], Any]) -> None:
    with pytest.raises(ModelError, match=r"cannot be compared before it is chosen.*current value, self\.width\(\)"):
        compare(choice())


def test_python_s_max_names_the_one_to_write() -> None:
    with pytest.raises(ModelError, match=r"write Value\.max\(a, b\)"):
        max(choice(), choice())


def test_values_are_found_in_collections_by_what_they_are() -> None:
    one, other = choice(), choice()
    assert one in [other, one]
    assert one != other
    assert len({one, other, one}) == 2


@pytest.mark.parametrize("use", [int, float, range, lambda x: [1, 2, 3][x], lambda x: torch.zeros(x)])
def test_a_value_is_no_number_yet(use: Callable[[Any], Any]) -> None:
    with pytest.raises((ModelError, TypeError)) as caught:
        use(choice())
    assert isinstance(caught.value, ModelError) or use not in (int, float, range)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (choice() // choice([0, 1], "y"), r"\(ValueChoice.* // ValueChoice.*\) cannot be computed from \[2, 0\]: .*zero"),
        (choice(["a", "b"]) - 1, r"cannot be computed from \['a', 1\]: unsupported operand"),
    ],
    ids=["zero", "names"],
)
def test_what_python_cannot_compute_is_named(value: Value, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Linear(8, value)


def test_the_largest_of_one_value_is_itself() -> None:
    assert possible(Value.max(choice())) == possible(Value.min(choice())) == set(NUMBERS)


@pytest.mark.parametrize("operand", [None, [1], torch.ones(2), nn.ReLU(), 1j])
def test_other_operands_are_refused(operand: Any) -> None:
    with pytest.raises(ModelError, match=r"\+: found .*expected a value of raynas\.nn, a number or a string"):
        choice() + operand


def test_one_choice_in_several_arguments_is_decided_once() -> None:
    x = choice([1, 2])
    assert set(joint(x, x * 10, 5)) == {(1, 10, 5), (2, 20, 5)}
    assert set(joint((x, 3), choice([7, 8], "y"))) == {((1, 3), 7), ((1, 3), 8), ((2, 3), 7), ((2, 3), 8)}


def test_equal_keys_are_decided_alike_and_values_without_key_are_not() -> None:
    assert set(joint(choice([1, 2]), choice([1, 2]))) == {(1, 1), (2, 2)}
    assert len(set(joint(choice([1, 2], None), choice([1, 2], None)))) == 4


def test_too_many_ways_are_refused_at_once() -> None:
    value: Any = 0
    for number in range(10):
        value = value + choice(range(10), str(number))
    with pytest.raises(ModelError, match="more than 100,000 ways"):
        possible(value)


def test_what_is_not_a_value_is_itself() -> None:
    assert (current(3), current("a"), current((1, 2)), possible(3), evaluate((3, "a"), {})) == (3, "a", (1, 2), {3}, (3, "a"))


def test_tuples_are_read_entry_by_entry() -> None:
    x = choice()
    net = outer(x)
    RandomMutator(net).apply_architecture({"x": 7})
    assert current((x, x + 1, 4)) == (7, 8, 4)
    assert evaluate((x, (x + 1,), 4), {id(x): 2}) == (2, (3,), 4)


def test_a_value_that_is_not_decided_is_no_value() -> None:
    with pytest.raises(KeyError):
        (choice() + 1).evaluate({})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_computes_with_copies(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    x = choice()
    net = outer(x, x * 2, Value.max(x, x + 1))
    RandomMutator(net).apply_architecture({"x": 2})
    twin = duplicate(net)
    RandomMutator(twin).apply_architecture({"x": 7})
    assert (net.v1(), net.v2(), twin.v1(), twin.v2()) == (4, 3, 14, 8)


class Attention(nn.Module):
    """A user's own module: values are attributes that are called, in a list too."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = ValueChoice([1, 2, 4])
        self.size = 8 // self.heads
        self.listed = [self.heads, self.size, self.size * self.heads]  # where no walk comes

    def forward(self, x: Tensor) -> Tensor:
        heads, size = self.heads(), self.size()
        assert [value() for value in self.listed] == [heads, size, 8]
        return x.view(-1, heads, size).softmax(-1).flatten(1) * heads


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_a_users_own_module_calls_values_before_and_after_freezing(heads: int) -> None:
    net = nn.Sequential(Attention())
    RandomMutator(net).apply_architecture({"0.heads": heads})
    plain = freeze(net, {"0.heads": {"_value": heads}})
    x = torch.randn(3, 8)
    assert (plain[0].heads(), plain[0].size()) == (heads, 8 // heads)
    assert torch.equal(plain(x), net(x))
    assert not any(isinstance(module, Value) for module in plain.modules())
    assert torch.equal(torch.compile(plain, backend="aot_eager", fullgraph=True)(x), net(x))
    assert torch.equal(torch.export.export(plain, (x,)).module()(x), net(x))


class Listed(nn.Module):
    """A value that is a submodule only as an argument of a layer, and is called from a list."""

    def __init__(self) -> None:
        super().__init__()
        width = ValueChoice([2, 4], key="width")
        self.up = Linear(3, width)
        self.widths = [width, width * 10]

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x) * self.widths[0]() + self.widths[1]()


@pytest.mark.parametrize("width", [2, 4])
def test_a_value_that_a_layer_holds_may_be_called_from_a_list(width: int) -> None:
    net = nn.Sequential(Listed()).double()
    RandomMutator(net).apply_architecture({"width": width})
    x = torch.randn(3, 3).double()
    plain = freeze(net, {"width": width})
    torch.testing.assert_close(net(x), plain[0].up(x) * width + 10 * width, rtol=0, atol=1e-12)
    torch.testing.assert_close(plain(x), net(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "method"), [(Value, "evaluate"), (Chosen, "possible")])
def test_a_kind_that_does_not_say_what_it_becomes_is_named(kind: type[Value], method: str) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} does not say .*define {method}"):
        getattr(kind(), method)(*[{}] if method == "evaluate" else [])


def test_values_are_shown_as_they_are_written() -> None:
    x = choice([1, 2])
    shown = "ValueChoice([1, 2], key='x')"
    assert repr(2 * x + 1) == f"((2 * {shown}) + 1)"
    assert repr(Value.max(x, 3)) == f"max({shown}, 3)"
    assert repr(-x) == f"-({shown})"
