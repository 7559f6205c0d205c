"""``Layout``: every weight once, in the shard of its candidate, at an aligned place; nothing else is read as one."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raynas.errors import RegistryError
from raynas.nn import LayerChoice, state_owners
from raynas.weights import Layout, Shard
from raynas.weights.layout import ALIGNMENT, SMALL


def layout_of(model: nn.Module) -> Layout:
    return Layout.of(model, model.state_dict())


def shards_of(model: nn.Module) -> list[Shard]:
    return [shard for pack in layout_of(model).packs for shard in pack.shards]


# --- what lies where ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["supernet", "elastic", "every_kind"])
def test_every_name_of_the_state_dict_is_in_the_shard_of_its_owner(request: pytest.FixtureRequest, fixture: str) -> None:
    model = request.getfixturevalue(fixture)
    found = [(entry.name, shard.owner) for shard in shards_of(model) for entry in shard.tensors]
    assert sorted(name for name, _ in found) == sorted(model.state_dict())
    assert dict(found) == state_owners(model)
    entries = layout_of(model).tensors
    buffers = {name for name, _ in model.named_buffers()}
    for name, tensor in model.state_dict().items():
        assert (entries[name].shape, entries[name].torch_dtype) == (tuple(tensor.shape), tensor.dtype)
        assert (entries[name].is_buffer, entries[name].num_bytes) == (name in buffers, tensor.nbytes)


def test_owners_are_innermost_candidates_with_weights(supernet: nn.Module) -> None:
    outer = ("outer", (1,))
    assert sorted(shard.owner for shard in shards_of(supernet)) == [
        *((), (("outer", (0,)),), (outer,)),
        *((outer, ("inner", (0,))), (outer, ("inner", (1,)))),
    ]


def test_titles_name_the_innermost_choice_first(supernet: nn.Module) -> None:
    assert {shard.title for shard in shards_of(supernet)} == {
        *("outside all choices", "outer[0]", "outer[1]"),
        *("inner[0] in outer[1]", "inner[1] in outer[1]"),
    }


def test_places_are_aligned_and_do_not_overlap(every_kind: nn.Module) -> None:
    for shard in shards_of(every_kind):
        end = 0
        for entry in sorted(shard.tensors, key=lambda entry: entry.offset):
            assert entry.offset % ALIGNMENT == 0
            assert end <= entry.offset or not entry.num_bytes
            end = max(end, entry.offset + entry.num_bytes)
        assert end <= shard.num_bytes < end + ALIGNMENT


def test_tied_tensors_are_stored_once(supernet: nn.Module) -> None:
    shard = next(shard for shard in shards_of(supernet) if shard.owner == ())
    at = {entry.name: entry.offset for entry in shard.tensors}
    assert at["stem.weight"] == at["head.weight"]
    assert len(set(at.values())) == 3
    assert shard.num_bytes == 3 * ALIGNMENT


@pytest.mark.parametrize(
    "other",
    [lambda base: base.view(torch.int8)[:30], lambda base: base.conj(), lambda base: base[:15], lambda base: base[::2]],
    ids=["dtype", "conjugate", "shape", "stride"],
)
def test_what_only_begins_at_the_same_byte_is_not_tied(other: Callable[[Tensor], Tensor]) -> None:
    net = nn.Sequential(LayerChoice([nn.Identity()], key="op"))
    base = torch.randn(30, dtype=torch.complex64)
    net.register_buffer("base", base)
    net.register_buffer("other", other(base))
    (shard,) = shards_of(net)
    one, two = shard.tensors
    assert two.offset >= one.offset + one.num_bytes
    assert shard.num_bytes >= one.num_bytes + two.num_bytes


def test_a_module_in_two_candidates_is_stored_once_and_outside() -> None:
    block = nn.Linear(64, 64)
    tied = nn.Sequential(LayerChoice([block, nn.Sequential(block)], key="op"))
    (shard,) = shards_of(tied)
    assert shard.owner == ()
    assert shard.num_bytes == block.weight.nbytes + block.bias.nbytes


# --- packs ----------------------------------------------------------------------------------------------------------


def test_small_shards_share_a_block_with_those_of_their_innermost_mutable(supernet: nn.Module) -> None:
    packs = layout_of(supernet).packs
    assert [[shard.title for shard in pack.shards] for pack in packs] == [
        ["outside all choices"],
        ["outer[0]", "outer[1]"],
        ["inner[0] in outer[1]", "inner[1] in outer[1]"],
    ]
    for pack in packs:
        end = 0
        for shard in pack.shards:
            assert shard.start == end
            end = shard.end
        assert pack.num_bytes == end
    assert sum(len(pack.shards) for pack in packs) == 5


def test_a_large_shard_has_its_own_block() -> None:
    small, large = (lambda: nn.Linear(4, 4)), (lambda: nn.Linear(500, 500))
    net = nn.Sequential(LayerChoice([small(), large(), small()], key="a"), LayerChoice([large(), small()], key="b"), large())
    packs = layout_of(net).packs
    assert sorted([shard.title for shard in pack.shards] for pack in packs) == [
        *(["a[0]", "a[2]"], ["a[1]"]),
        *(["b[0]"], ["b[1]"]),
        ["outside all choices"],
    ]
    assert sorted(pack.num_bytes >= SMALL for pack in packs) == [False, False, True, True, True]


def test_mutables_that_share_a_key_share_a_block() -> None:
    net = nn.Sequential(*(LayerChoice([nn.Linear(4, 4), nn.Linear(4, 4)], key="op") for _ in range(3)))
    (pack,) = layout_of(net).packs
    assert [shard.title for shard in pack.shards] == ["op[0]", "op[1]"]


def test_which_shards_take_part(supernet: nn.Module) -> None:
    layout = layout_of(supernet)

    def titles(chosen: dict[str, list[int]]) -> list[str]:
        used = layout.used_by(chosen)
        return [layout.packs[number].shards[place].title for number, places in used.items() for place in places]

    outside = "outside all choices"
    assert titles({}) == [outside]
    assert titles({"outer": [0]}) == [outside, "outer[0]"]
    assert titles({"outer": [1], "inner": [1]}) == [outside, "outer[1]", "inner[1] in outer[1]"]
    assert titles({"outer": [0, 1], "inner": [0]}) == [outside, "outer[0]", "outer[1]", "inner[0] in outer[1]"]
    assert titles({"inner": [0]}) == [outside]


# --- what cannot be stored ------------------------------------------------------------------------------------------


class Labelled(nn.Linear):
    def get_extra_state(self) -> dict[str, int]:
        return {"label": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Nothing to keep."""


def with_buffer(tensor: Tensor) -> nn.Module:
    module = nn.Module()
    module.register_buffer("mask", tensor)
    return module


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated, but still there
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: with_buffer(torch.eye(3).to_sparse()), "mask"),
        (lambda: with_buffer(torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)), "mask"),
        (lambda: Labelled(2, 2), "_extra_state"),
    ],
    ids=["sparse", "quantised", "no tensor"],
)
def test_what_is_not_dense_or_no_tensor_is_refused_by_name(make: Callable[[], nn.Module], name: str) -> None:
    net = nn.Sequential(LayerChoice([make()], key="op"))
    with pytest.raises(RegistryError, match=rf"'0\.candidates\.0\.{name}' is "):
        layout_of(net)


# --- which layouts are equal ----------------------------------------------------------------------------------------


def test_a_copy_of_the_model_has_the_same_layout(supernet: nn.Module, every_kind: nn.Module) -> None:
    one, other, third = layout_of(supernet), layout_of(copy.deepcopy(supernet)), layout_of(every_kind)
    assert (one, one.digest, one.differences(other)) == (other, other.digest, [])
    assert one.digest != third.digest
    assert len(one.digest) == 32


def test_differences_are_a_line_for_each_tensor(supernet: nn.Module) -> None:
    other = copy.deepcopy(supernet)
    other.stem.bias = None
    other.head.bias = nn.Parameter(torch.zeros(5))
    other.extra = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    assert layout_of(supernet).differences(layout_of(other)) == [
        "'extra.weight' is float64 [1, 1], expected missing",
        "'head.bias' is float32 [5], expected float32 [4]",
        "'stem.bias' is missing, expected float32 [4]",
    ]


def test_equal_tensors_with_other_owners_or_ties_differ(supernet: nn.Module) -> None:
    untied = copy.deepcopy(supernet)
    untied.head.weight = nn.Parameter(untied.head.weight.detach().clone())
    one = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Identity()], key="a"))
    other = nn.Sequential(LayerChoice([nn.Linear(2, 2), nn.Identity()], key="b"))
    for ours, theirs in ((supernet, untied), (one, other)):
        (line,) = layout_of(ours).differences(layout_of(theirs))
        assert line.startswith("the tensors are the same")


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["supernet", "elastic", "every_kind"])
def test_a_layout_survives_json(request: pytest.FixtureRequest, fixture: str) -> None:
    layout = layout_of(request.getfixturevalue(fixture))
    again = Layout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert (again, again.digest) == (layout, layout.digest)


def small_document() -> dict[str, Any]:
    net = nn.Sequential(LayerChoice([nn.Linear(2, 2, bias=False)], key="op"), nn.Linear(2, 2))
    document: dict[str, Any] = json.loads(json.dumps(layout_of(net).to_dict()))
    return document


PACK, SHARD = ("packs", 1), ("packs", 1, "shards", 0)
TENSOR = (*SHARD, "tensors", 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *(((*TENSOR, "dtype"), value) for value in ("load", "nn", "hub", "ones", "float33", "", None, 5, ["float32"])),
        *(((*TENSOR, "offset"), value) for value in (-64, 3, 67, 128, 1 << 40, float("inf"), float("nan"), "x", None)),
        *(
            ((*TENSOR, "shape"), value)
            for value in ([-2], [-1, -2], [1000], [2**32, 2**32], [10**30], 3, ["x"], [float("inf")])
        ),
        *(((*SHARD, key), value) for key in ("start", "num_bytes") for value in (-64, 64, 1 << 40, float("inf"), "x", None)),
        *(((*PACK, "num_bytes"), value) for value in (-64, 0, 64, 1 << 40, float("inf"), None)),
        *(((*SHARD, "owner"), value) for value in ([["op"]], [[1, 2, 3]], [["op", "x"]], 5, [["op", [float("inf")]]])),
        *((path, value) for path in (("packs",), PACK, SHARD, TENSOR) for value in (None, 5, "packs", [7], {"packs": 1})),
        ((*SHARD, "tensors"), []),
    ],
)
def test_what_is_no_layout_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    document: Any = small_document()
    Layout.from_dict(document)
    *parents, last = path
    place = document
    for each in parents:
        place = place[each]
    assert place[last] != value
    place[last] = value
    with pytest.raises(RegistryError, match="no layout of weights"):
        Layout.from_dict(document)


def test_a_size_that_does_not_fit_into_an_integer_is_no_small_one() -> None:
    entry = {"name": "x", "dtype": "uint8", "shape": [2**32, 2**32], "offset": 0, "is_buffer": True}
    shard = {"owner": [], "start": 0, "num_bytes": 0, "tensors": [entry]}  # 2**64 wraps around to 0
    with pytest.raises(RegistryError, match="the shard outside all choices lies elsewhere than its tensors"):
        Layout.from_dict({"packs": [{"num_bytes": 0, "shards": [shard]}]})


@pytest.mark.parametrize("document", [{}, [], None, "packs", 5])
def test_another_document_is_refused(document: Any) -> None:
    with pytest.raises(RegistryError, match="no layout of weights"):
        Layout.from_dict(document)
