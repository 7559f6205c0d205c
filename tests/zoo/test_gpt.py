import random

import pytest
import torch
from torch import nn

import raynas
from raynas.errors import ModelError, OptionError
from raynas.mutators import RandomMutator
from raynas.nn import find_mutables
from raynas.zoo import GPT, GPTSizes

SIZES = GPTSizes(widths=(8, 12), depths=(1, 2, 3), heads=(1, 2, 4), ratios=(2, 3))


def tiny(dropout: float = 0.0) -> GPT:
    torch.manual_seed(0)
    return GPT(11, 9, SIZES, dropout=dropout)


def choose(width: int, blocks: list[tuple[int, float]]) -> dict[str, dict[str, float]]:
    """An architecture, from the embedding dimension and heads and ratio of each block."""
    values: dict[str, float] = {"width": width, "depth": len(blocks)}
    for number, (heads, ratio) in enumerate(blocks):
        values |= {f"block{number}.heads": heads, f"block{number}.ratio": ratio}
    return {key: {"_value": value} for key, value in values.items()}


def test_gpt_2_is_one_of_the_architectures_around_its_sizes() -> None:
    with torch.device("meta"):
        net = GPT(50257, 1024, GPTSizes(widths=(768,), depths=(12,), heads=(12,), ratios=(4,)))
        plain = raynas.freeze(net, choose(768, [(12, 4)] * 12))
    assert sum(parameter.numel() for parameter in plain.parameters()) == 124_439_808  # of the weights that were published


def test_a_frozen_model_is_torchs_transformer() -> None:
    blocks = [(4, 3), (2, 2)]
    plain = raynas.freeze(tiny().double().eval(), choose(8, blocks))
    assert not find_mutables(plain)
    tokens = torch.randint(11, (2, 7))
    x = plain.tokens.weight[tokens] + plain.positions.weight[:7]
    mask, num_parameters = torch.ones(7, 7, dtype=torch.bool).triu(1), (11 + 9) * 8 + 2 * 8  # embeddings, norm
    for block, (heads, ratio) in zip(plain.blocks.blocks, blocks, strict=True):
        layer = nn.TransformerEncoderLayer(8, heads, 8 * ratio, 0.0, "gelu", batch_first=True, norm_first=True).double()
        num_parameters += sum(parameter.numel() for parameter in layer.parameters())
        names = {"attention": "self_attn", "up": "linear1", "down": "linear2", "norm1": "norm1", "norm2": "norm2"}
        for ours, theirs in names.items():
            layer.get_submodule(theirs).load_state_dict(block.get_submodule(ours).state_dict())
        x = layer(x, src_mask=mask)
    torch.testing.assert_close(plain(tokens), plain.norm(x) @ plain.tokens.weight.T, rtol=1e-12, atol=1e-12)
    assert sum(parameter.numel() for parameter in plain.parameters()) == num_parameters


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_frozen_models_compute_what_the_supernet_computes(dtype: torch.dtype, tolerance: float) -> None:
    net = tiny().to(dtype).eval()
    mutator, tokens = RandomMutator(net, seed=0), torch.randint(11, (2, 7))
    for seed in range(10):
        architecture = mutator.space.sample(random.Random(seed))
        mutator.apply_architecture(architecture)
        plain = raynas.freeze(net, architecture)
        for grad in (True, False):  # without gradients torch's attention takes another way
            with torch.set_grad_enabled(grad):
                expected, found = net(tokens), plain(tokens)
            assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def test_no_token_sees_a_later_one() -> None:
    net = tiny().double().eval()
    mutator, tokens = RandomMutator(net, seed=0), torch.randint(11, (1, 9))
    changed = tokens.clone()
    changed[0, 5] = (tokens[0, 5] + 1) % 11
    for architecture in (choose(8, [(2, 2), (4, 3)]), choose(12, [(4, 3)] * 3)):
        mutator.apply_architecture(architecture)
        for model in (net, raynas.freeze(net, architecture)):
            difference = (model(tokens) - model(changed)).abs().amax(dim=(0, 2))
            assert difference[:5].max() == 0
            assert difference[5:].min() > 0


def test_embedding_and_output_stay_one_matrix() -> None:
    net = tiny()
    assert net.head.weight is net.tokens.weight
    for width in SIZES.widths:
        plain = raynas.freeze(net, choose(width, [(2, 2)]))
        assert plain.head.weight is plain.tokens.weight
        assert plain.head.weight.shape == (11, width)


def test_weights_begin_small_and_smaller_where_blocks_add_to_their_input() -> None:
    torch.manual_seed(0)
    net = GPT(256, 64, GPTSizes(widths=(64,), depths=(8,), heads=(4,), ratios=(4,)))
    block = net.blocks.blocks[0]
    for weight in (net.tokens.weight, block.attention.in_proj_weight, block.up.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    for weight in (block.attention.out_proj.weight, block.down.weight):
        assert weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)


def test_a_frozen_model_can_be_exported() -> None:
    plain = raynas.freeze(tiny().eval(), choose(8, [(4, 2), (1, 3)]))
    tokens = torch.randint(11, (2, 7))
    exported = torch.export.export(plain, (tokens,)).module()
    torch.testing.assert_close(exported(tokens), plain(tokens))


def test_it_learns_what_comes_next() -> None:
    net = tiny(dropout=0.1)
    mutator, optimizer = RandomMutator(net, seed=0), torch.optim.Adam(net.parameters(), lr=1e-2)
    text = torch.arange(40).remainder(11).unfold(0, 10, 3)  # each token is the one before it plus 1
    losses = []
    for _ in range(60):
        mutator.reset()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(text[:, :-1]).flatten(0, 1), text[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="5 heads cannot share 8 dimensions"):
        GPT(11, 9, GPTSizes(widths=(8,), depths=(1,), heads=(5,), ratios=(2,)))
    with pytest.raises(OptionError, match="found 10 tokens in a row; expected at most 9"):
        tiny()(torch.zeros(1, 10, dtype=torch.long))
