import random

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.nn import find_mutables
from raynas.zoo import AUTOFORMER_BASE, AUTOFORMER_SMALL, AUTOFORMER_TINY, AutoFormer, AutoFormerSizes

SIZES = AutoFormerSizes(widths=(8, 12), depths=(1, 2, 3), heads=(2, 3), ratios=(1.5, 2.0), head_size=4)


def tiny(dropout: float = 0.0) -> AutoFormer:
    torch.manual_seed(0)
    return AutoFormer(4, SIZES, image_size=8, patch_size=4, in_channels=1, dropout=dropout)


def choose(width: int, blocks: list[tuple[int, float]]) -> dict[str, dict[str, float]]:
    """An architecture, from the embedding dimension and heads and ratio of each block."""
    values: dict[str, float] = {"width": width, "depth": len(blocks)}
    for number, (heads, ratio) in enumerate(blocks):
        values |= {f"block{number}.heads": heads, f"block{number}.ratio": ratio}
    return {key: {"_value": value} for key, value in values.items()}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (AUTOFORMER_SMALL, 3 * (9**12 + 9**13 + 9**14)),
        (AUTOFORMER_BASE, 3 * (9**14 + 9**15 + 9**16)),
    ],
    ids=["small", "base"],
)
def test_sizes_of_the_larger_spaces(sizes: AutoFormerSizes, expected: int) -> None:
    with torch.device("meta"):
        assert raynas.generate_search_space(AutoFormer(1000, sizes)).size == expected


def test_the_count_of_the_paper_counts_blocks_beyond_the_depth() -> None:
    every = [
        len(sizes.widths) * len(sizes.depths) * (len(sizes.heads) * len(sizes.ratios)) ** max(sizes.depths)
        for sizes in (AUTOFORMER_TINY, AUTOFORMER_SMALL, AUTOFORMER_BASE)
    ]
    assert f"{sum(every):.1e}" == "1.7e+16"


@pytest.mark.parametrize(
    ("sizes", "width", "heads", "expected"),
    [(AUTOFORMER_TINY, 192, 3, 5_717_416), (AUTOFORMER_SMALL, 384, 6, 22_050_664)],
    ids=["tiny", "small"],
)
def test_deit_is_one_of_the_architectures(sizes: AutoFormerSizes, width: int, heads: int, expected: int) -> None:
    with torch.device("meta"):  # parameters of DeiT-tiny and DeiT-small, Touvron et al., ICML 2021
        plain = raynas.freeze(AutoFormer(1000, sizes), choose(width, [(heads, 4.0)] * 12))
    assert sum(parameter.numel() for parameter in plain.parameters()) == expected


def test_a_frozen_model_is_torchs_transformer_where_heads_times_their_size_is_the_width() -> None:
    net = tiny().double().eval()
    plain = raynas.freeze(net, choose(8, [(2, 1.5), (2, 2.0)]))
    assert not find_mutables(plain)
    x = reference = torch.randn(2, 5, 8, dtype=torch.float64)
    for block, hidden in zip(plain.blocks.blocks, (12, 16), strict=True):
        layer = nn.TransformerEncoderLayer(8, 2, hidden, 0.0, "gelu", batch_first=True, norm_first=True).double()
        attention = block.attention
        projections = (attention.query, attention.key, attention.value)
        state = {
            "self_attn.in_proj_weight": torch.cat([each.weight for each in projections]),
            "self_attn.in_proj_bias": torch.cat([each.bias for each in projections]),
        }
        parts = {"self_attn.out_proj": attention.out, "linear1": block.up, "linear2": block.down}
        for name, part in {**parts, "norm1": block.norm1, "norm2": block.norm2}.items():
            state |= {f"{name}.weight": part.weight, f"{name}.bias": part.bias}
        layer.load_state_dict(state)
        reference = layer(reference)
    torch.testing.assert_close(plain.blocks(x), reference, rtol=1e-12, atol=1e-12)


def test_parameters_of_a_frozen_model() -> None:
    width, head_size, blocks = 12, 4, [(2, 1.5), (3, 2.0)]
    plain = raynas.freeze(tiny(), choose(width, blocks))
    expected = (16 + 1) * width + (1 + 5) * width + 2 * width + (width + 1) * 4  # patches, tokens, norm, head
    for heads, ratio in blocks:
        inner, hidden = heads * head_size, int(width * ratio)
        expected += 3 * (width + 1) * inner + (inner + 1) * width  # attention
        expected += (width + 1) * hidden + (hidden + 1) * width + 4 * width  # MLP and two norms
    assert sum(parameter.numel() for parameter in plain.parameters()) == expected


def test_fewer_heads_are_the_first_ones() -> None:
    net, images = tiny().eval(), torch.randn(2, 1, 8, 8)
    few = raynas.freeze(net, choose(12, [(2, 2.0)]))
    all_heads = raynas.freeze(net, choose(12, [(3, 2.0)]))
    with torch.no_grad():
        all_heads.blocks.blocks[0].attention.out.weight[:, 2 * 4 :] = 0
    torch.testing.assert_close(few(images), all_heads(images))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_frozen_models_compute_what_the_supernet_computes(dtype: torch.dtype, tolerance: float) -> None:
    net = tiny().to(dtype).eval()
    mutator, images = RandomMutator(net, seed=0), torch.randn(2, 1, 8, 8, dtype=dtype)
    for seed in range(10):
        architecture = mutator.space.sample(random.Random(seed))
        mutator.apply_architecture(architecture)
        expected, found = net(images), raynas.freeze(net, architecture)(images)
        assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_a_frozen_model_can_be_exported() -> None:
    plain = raynas.freeze(tiny().eval(), choose(8, [(3, 1.5), (2, 2.0)]))
    images = torch.randn(2, 1, 8, 8)
    exported = torch.export.export(plain, (images,)).module()
    torch.testing.assert_close(exported(images), plain(images))


def test_it_trains() -> None:
    net = tiny(dropout=0.1)
    mutator, optimizer = RandomMutator(net, seed=0), torch.optim.Adam(net.parameters(), lr=1e-2)
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 4
    losses = []
    for _ in range(60):
        mutator.reset()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_patches_must_cover_the_image() -> None:
    with pytest.raises(OptionError, match="patches of 16 do not cover images of 100"):
        AutoFormer(10, SIZES, image_size=100)
