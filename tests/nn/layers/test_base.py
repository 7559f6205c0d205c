"""What all sliced layers share: keys, state, copies, wrappers, and what becomes of them."""

import copy
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import ModelError
from raynas.mutators import RandomMutator
from raynas.nn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    MultiheadAttention,
    Mutable,
    SlicedLayer,
    ValueChoice,
    freeze,
    generate_search_space,
)


class Net(nn.Module):
    """Every kind of argument, without a key by hand."""

    def __init__(self) -> None:
        super().__init__()
        width, kernel = ValueChoice([4, 8]), ValueChoice([3, 5])
        self.conv = Conv2d(3, width, kernel, padding=kernel // 2, stride=(1, ValueChoice([1, 2])))
        self.norm = BatchNorm2d(width)
        self.mix = nn.Sequential(Conv2d(width, ValueChoice([2, 3]) * 2, 1), Dropout(ValueChoice([0.1, 0.2])))
        self.head = Linear(self.mix[0].settings["out_channels"], 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.norm(self.conv(x)).relu()).mean((2, 3)))


KEYS = ["conv.out_channels", "conv.kernel_size", "conv.stride.1", "mix.0.out_channels.0", "mix.1.p"]
X = torch.linspace(-1, 1, 2 * 3 * 6 * 6).view(2, 3, 6, 6)


def small(model: nn.Module) -> RandomMutator:
    mutator = RandomMutator(model)
    mutator.apply_architecture({key: {"_idx": 0} for key in mutator.space})
    return mutator


def test_a_key_is_the_layer_and_the_argument() -> None:
    assert list(generate_search_space(Net())) == KEYS
    assert list(generate_search_space(nn.ModuleList([Net()]))) == [f"0.{key}" for key in KEYS]
    assert list(generate_search_space(Linear(2, ValueChoice([1, 2])))) == ["out_features"]


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager"), nn.Sequential], ids=["parallel", "compile", "in"]
)
def test_a_wrapped_model_has_the_same_keys_and_computes_the_same(wrap: Callable[[nn.Module], nn.Module]) -> None:
    net = Net().eval()
    wrapped = wrap(copy.deepcopy(net))
    prefix = "0." if isinstance(wrapped, nn.Sequential) else ""
    assert list(generate_search_space(wrapped)) == [prefix + key for key in KEYS]
    small(net)
    small(wrapped)
    torch.testing.assert_close(wrapped(X), net(X))


def test_distributed_training_gives_the_same_gradients() -> None:
    net = Net()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(net))
        assert list(generate_search_space(wrapped)) == KEYS
        small(wrapped)
        torch.manual_seed(0)  # dropout
        wrapped(X).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    small(net)
    torch.manual_seed(0)
    net(X).sum().backward()
    for one, other in zip(net.parameters(), wrapped.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("index", [0, 1])
def test_a_sliced_layer_compiles_without_a_break(index: int) -> None:
    layer = Linear(3, ValueChoice([2, 4], key="width") * 2)
    RandomMutator(layer).apply_architecture({"width": {"_idx": index}})
    x = torch.randn(2, 3)
    torch.testing.assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), layer(x))


def test_state_has_the_names_of_torchs_layers_and_goes_round() -> None:
    net, other = Net(), Net()
    names = {f"{layer}.{leaf}" for layer in ("conv", "norm", "mix.0", "head") for leaf in ("weight", "bias")}
    assert set(net.state_dict()) == names | {f"norm.{leaf}" for leaf in ("running_mean", "running_var", "num_batches_tracked")}
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    small(net.eval())
    small(other.eval())
    assert torch.equal(net(X), other(X))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_changes_its_dtype_with_its_slices(dtype: torch.dtype) -> None:
    net = Net().to(dtype).eval()
    small(net)
    output = net(X.to(dtype))
    plain = freeze(net, {key: {"_idx": 0} for key in KEYS})
    assert output.dtype == dtype
    assert {tensor.dtype for tensor in plain.parameters()} == {dtype}
    torch.testing.assert_close(plain(X.to(dtype)), output)


def test_a_model_without_memory_is_frozen_too() -> None:
    plain = freeze(Net().to("meta"), {key: {"_idx": 0} for key in KEYS})
    assert {tensor.device.type for tensor in plain.state_dict().values()} == {"meta"}
    assert plain.conv.weight.shape == (4, 3, 3, 3)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["copy", "pickle"])
def test_a_copy_is_unbound_and_decides_for_itself(duplicate: Callable[[nn.Module], nn.Module]) -> None:
    net = Net().eval()
    mutator = small(net)
    twin = duplicate(net)
    assert not {id(module) for module in twin.modules()} & {id(module) for module in net.modules()}
    assert twin.head.settings["in_features"] is twin.mix[0].settings["out_channels"]  # still one value
    second = RandomMutator(twin)
    second.apply_architecture({key: {"_idx": 1} for key in KEYS})
    assert twin.mix[0](torch.zeros(1, 8, 2, 2)).shape[1] == 6
    assert net.mix[0](torch.zeros(1, 4, 2, 2)).shape[1] == 4
    assert net.head.settings["in_features"].operands[0].mutator is mutator


def test_weights_may_be_handed_in_from_outside() -> None:
    layer = Linear(2, ValueChoice([1, 3], key="width"))
    small(layer)
    weights = {"weight": torch.ones(3, 2), "bias": torch.full((3,), 5.0)}
    x = torch.tensor([[1.0, 2.0]])
    assert torch.func.functional_call(layer, weights, (x,)).tolist() == [[8]]
    gradient = torch.func.grad(lambda given: torch.func.functional_call(layer, given, (x,)).sum())(weights)
    assert gradient["bias"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_not_trained_stays_so(index: int) -> None:
    net = Net()
    net.conv.weight.requires_grad_(False)
    plain = freeze(net, {key: {"_idx": index} for key in KEYS})
    assert [name for name, tensor in plain.named_parameters() if not tensor.requires_grad] == ["conv.weight"]


@pytest.mark.parametrize("index", [0, 1])
def test_tied_weights_stay_tied_when_their_slices_agree(index: int) -> None:
    dim = ValueChoice([4, 8], key="dim")
    net = nn.ModuleList([Embedding(9, dim), Linear(dim, 9, bias=False), Linear(dim, dim)])
    net += [MultiheadAttention(dim, 2), MultiheadAttention(dim, 2), Linear(8, 9, bias=False)]
    net[1].weight = net[5].weight = net[0].weight
    net[4].in_proj_weight = net[3].in_proj_weight  # sliced in thirds, which is no view
    plain = freeze(net, {"dim": {"_idx": index}})
    assert plain[0].weight is plain[1].weight
    assert plain[3].in_proj_weight is plain[4].in_proj_weight
    assert plain[3].out_proj.weight is not plain[4].out_proj.weight
    assert (plain[5].weight is plain[0].weight) == (index == 1)  # one is sliced, the other is not
    plain[0].weight.data.zero_()
    assert net[0].weight.ne(0).all()


@pytest.mark.parametrize("training", [True, False])
def test_a_frozen_layer_is_in_the_mode_of_the_sliced_one(training: bool) -> None:
    plain = freeze(Net().train(training), {key: {"_idx": 0} for key in KEYS})
    assert {module.training for module in plain.modules()} == {training}


def test_a_layer_with_a_forward_of_its_own_is_not_frozen_to_torchs() -> None:
    class Doubled(Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    with pytest.raises(
        ModelError, match=r"Doubled has a forward of its own, but would be frozen to Linear.*module of your own"
    ):
        freeze(nn.Sequential(Doubled(2, ValueChoice([1, 2], key="width"))), {"width": 1})


class PlainScale(nn.Module):
    """One factor for each of the last channels of the plain layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Scale(SlicedLayer, PlainScale):
    """A user's own, which keeps the last channels."""

    plain = PlainScale

    def __init__(self, channels: Any) -> None:
        PlainScale.__init__(self, max(channels.possible()))
        self.take(channels=channels)

    def cut(self, tensors: Mapping[str, Tensor], now: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"factor": tensors["factor"][-now["channels"] :]}

    def forward(self, x: Tensor) -> Tensor:
        return x * self.cut(self.whole(), self.now())["factor"]


@pytest.mark.parametrize("channels", [2, 5])
def test_a_users_own_layer_is_sliced_and_frozen(channels: int) -> None:
    net = nn.Sequential(Scale(ValueChoice([2, 5])))
    RandomMutator(net).apply_architecture({"0.channels": channels})
    plain = freeze(net, {"0.channels": channels})
    x = torch.randn(3, channels)
    assert type(plain[0]) is PlainScale
    assert plain[0].factor.numel() == channels
    assert torch.equal(plain(x), net(x))
    assert torch.equal(net(x), x * net[0].factor[-channels:])


def test_a_layer_that_does_not_say_how_it_is_cut_is_named() -> None:
    class Vague(SlicedLayer, nn.Identity):
        plain = nn.Identity

        def __init__(self) -> None:
            nn.Identity.__init__(self)
            self.take(width=ValueChoice([1, 2], key="width"))

    with pytest.raises(TypeError, match="Vague does not say which part of its weights is used; define cut"):
        freeze(nn.Sequential(Vague()), {"width": 1})


def test_layers_without_values_need_no_mutator_and_are_frozen_to_torchs() -> None:
    net = nn.Sequential(Linear(4, 4), LayerNorm(4), Dropout(ValueChoice([0.1], key="p")))
    plain = freeze(net, {"p": 0.1})
    assert [type(layer) for layer in plain] == [nn.Linear, nn.LayerNorm, nn.Dropout]
    assert torch.equal(plain[:2](torch.ones(4)), net[1](net[0](torch.ones(4))))
    assert not any(isinstance(module, SlicedLayer | Mutable) for module in plain.modules())


def test_a_layer_shows_its_values() -> None:
    shown = repr(Linear(2, ValueChoice([1, 2], key="w") * 2))
    assert "in_features=2, out_features=(ValueChoice([1, 2], key='w') * 2), bias=True" in shown


@pytest.mark.parametrize(
    ("kind", "sizes", "name"),
    [
        (Linear, (2, 2), "bias"),
        (Conv2d, (2, 2, 1), "bias"),
        (BatchNorm2d, (2,), "eps"),
        (BatchNorm2d, (2,), "momentum"),
        (BatchNorm2d, (2,), "affine"),
        (LayerNorm, (2,), "eps"),
        (LayerNorm, (2,), "bias"),
        (MultiheadAttention, (4, 2), "batch_first"),
    ],
)
def test_an_argument_that_cannot_vary_takes_no_value(kind: type[nn.Module], sizes: tuple[int, ...], name: str) -> None:
    with pytest.raises(ModelError, match=rf"{kind.__name__}: {name} is ValueChoice.*, but cannot vary"):
        kind(*sizes, **{name: ValueChoice([True, False])})
