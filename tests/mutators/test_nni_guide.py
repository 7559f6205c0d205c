"""What NNI 1.x's guide to writing a NAS algorithm does works here as it is written there, but for the imports."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import raynas
from raynas.errors import ArchitectureError, SpaceError
from raynas.mutators import BaseMutator, Mutator, RandomMutator
from raynas.nn import InputChoice, LayerChoice, freeze, generate_search_space

SPACE = {
    "mutable_1": {"_type": "layer_choice", "_value": ["conv3x3", "conv5x5", "maxpool"]},
    "mutable_2": {"_type": "input_choice", "_value": {"candidates": ["mutable_1", "stem", "2"], "n_chosen": 1}},
    "mutable_3": {"_type": "input_choice", "_value": {"candidates": ["0", "1"], "n_chosen": None}},
}


class Net(nn.Module):
    """Two layer choices with one key, an input choice of one, and one of any number."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 1)
        self.blocks = nn.Sequential(*(LayerChoice(self.operators(), key="mutable_1") for _ in range(2)))
        self.skip = InputChoice(choose_from=["mutable_1", "stem", InputChoice.NO_KEY], n_chosen=1, key="mutable_2")
        self.more = InputChoice(n_candidates=2, key="mutable_3")
        self.head = nn.Linear(4, 3)

    def operators(self) -> dict[str, nn.Module]:
        return {
            "conv3x3": nn.Conv2d(4, 4, 3, padding=1),
            "conv5x5": nn.Conv2d(4, 4, 5, padding=2),
            "maxpool": nn.MaxPool2d(3, 1, 1),
        }

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        out = self.blocks(stem)
        chosen = self.skip([out, stem, out * stem])
        more = self.more([out, stem])
        return self.head((chosen if more is None else chosen + more).mean((2, 3)))


class ByHand(Mutator):
    """A random mutator as the guide writes it."""

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__(model)
        self.rng = Random(seed)

    def sample_search(self) -> dict[str, Tensor]:
        result = {}
        for mutable in self.mutables:
            if isinstance(mutable, LayerChoice):
                chosen = self.rng.randrange(mutable.length)
                result[mutable.key] = torch.tensor([i == chosen for i in range(mutable.length)], dtype=torch.bool)
            elif isinstance(mutable, InputChoice):
                if mutable.n_chosen is None:
                    result[mutable.key] = torch.randint(high=2, size=(mutable.n_candidates,)).view(-1).bool()
                else:
                    chosen_inputs = self.rng.sample(range(mutable.n_candidates), mutable.n_chosen)
                    mask = [i in chosen_inputs for i in range(mutable.n_candidates)]
                    result[mutable.key] = torch.tensor(mask, dtype=torch.bool)
        return result

    def sample_final(self) -> dict[str, Tensor]:
        return self.sample_search()


class Spelled(ByHand):
    """``reset`` and ``export`` written out."""

    def reset(self) -> None:
        self.apply_on_model(self.sample_search())

    def export(self) -> dict[str, Tensor]:
        return self.sample_final()


class Controller(Mutator):
    """A mutator that is a network: an LSTM cell that decides key by key."""

    def __init__(self, model: nn.Module, width: int = 8) -> None:
        super().__init__(model)
        self.start = nn.Parameter(torch.zeros(1, width))
        self.cell = nn.LSTMCell(width, width)
        lengths = [mutable.length if isinstance(mutable, LayerChoice) else mutable.n_candidates for mutable in self.mutables]
        self.heads = nn.ModuleList(nn.Linear(width, length) for length in lengths)
        self.log_probability: Tensor | None = None

    def sample_search(self) -> dict[str, Tensor]:
        return self.decide(lambda logits: int(torch.distributions.Categorical(logits=logits).sample()))

    def sample_final(self) -> dict[str, Tensor]:
        return self.decide(lambda logits: int(logits.argmax()))

    def decide(self, pick: Any) -> dict[str, Tensor]:
        decisions, log_probabilities, state = {}, [], None
        for mutable, head in zip(self.mutables, self.heads, strict=True):
            state = self.cell(self.start, state)
            logits = head(state[0])[0]
            index = pick(logits)
            log_probabilities.append(logits.log_softmax(0)[index])
            decisions[mutable.key] = torch.arange(len(logits)) == index
        self.log_probability = torch.stack(log_probabilities).sum()
        return decisions


class Blend(BaseMutator):
    """Decides how candidates are run, by the two callbacks alone: the mean of all, and the first input."""

    def on_forward_layer_choice(self, mutable: LayerChoice, *args: Any, **kwargs: Any) -> tuple[Any, Tensor]:
        outputs = [candidate(*args, **kwargs) for candidate in mutable]
        return sum(outputs) / len(outputs), torch.ones(mutable.length, dtype=torch.bool)

    def on_forward_input_choice(self, mutable: InputChoice, inputs: list[Any]) -> tuple[Any, Tensor]:
        return inputs[0], torch.arange(mutable.n_candidates) == 0


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, 1, 6, 6, generator=generator), torch.randint(3, (8,), generator=generator)


def snapshot(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def changed(module: nn.Module, before: list[Tensor]) -> bool:
    return any(not torch.equal(now, then) for now, then in zip(module.parameters(), before, strict=True))


def test_mutables_with_one_key_are_one(model: Net) -> None:
    mutables = ByHand(model).mutables
    assert [mutable.key for mutable in mutables] == ["mutable_1", "mutable_2", "mutable_3"]
    layer, one, some = mutables
    assert isinstance(layer, LayerChoice)
    assert isinstance(one, InputChoice)
    assert isinstance(some, InputChoice)
    assert (layer.length, one.n_candidates, one.n_chosen, some.n_chosen) == (3, 3, 1, None)


@pytest.mark.parametrize("kind", [ByHand, Spelled])
def test_a_random_mutator_by_hand_trains_the_model(model: Net, batch: tuple[Tensor, Tensor], kind: type[ByHand]) -> None:
    mutator, criterion = kind(model), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = batch
    seen = set()
    for _ in range(30):
        optimizer.zero_grad()
        mutator.reset()
        out = model(x)
        loss = criterion(out, y)
        loss.backward()
        optimizer.step()
        decided = {key: decision.indices for key, decision in mutator.decisions.items()}
        seen.add(str(decided))
        for block in model.blocks:
            trained = [any(parameter.grad is not None for parameter in candidate.parameters()) for candidate in block]
            reached = decided["mutable_2"] != (1,) or 0 in decided["mutable_3"]
            assert trained == [reached and decided["mutable_1"] == (index,) for index in (0, 1)] + [False]
    assert len(seen) > 10


def test_a_reset_holds_until_the_next_and_export_leaves_it(model: Net, batch: tuple[Tensor, Tensor]) -> None:
    mutator = Spelled(model)
    mutator.reset()
    before = model(batch[0])
    exported = [mutator.export() for _ in range(10)]
    assert len({str(each) for each in exported}) > 1
    assert torch.equal(model(batch[0]), before)
    model(batch[0]).sum().backward()  # a model like any other
    assert torch.equal(model(batch[0]), before)


def test_reset_alone_is_enough_to_debug_a_model(model: Net, batch: tuple[Tensor, Tensor]) -> None:
    mutator = RandomMutator(model)
    mutator.reset()
    assert model(batch[0]).shape == (8, 3)
    assert all(len(decision.indices) == 1 for key, decision in mutator.decisions.items() if key != "mutable_3")


def test_an_export_becomes_json_when_its_tensors_become_lists(model: Net) -> None:
    mutator = ByHand(model)
    space = generate_search_space(Net())
    for _ in range(20):
        exported = mutator.export()
        with pytest.raises(TypeError, match="Tensor is not JSON serializable"):
            json.dumps(exported)
        text = json.dumps({key: tensor.tolist() for key, tensor in exported.items()})
        architecture = raynas.Architecture.from_export(space, json.loads(text))
        assert architecture == raynas.Architecture.from_export(space, exported)
        assert {key: [index in at for index in range(3)] for key, at in architecture.indices.items() if key != "mutable_3"} == {
            key: exported[key].tolist() for key in ("mutable_1", "mutable_2")
        }
        freeze(model, architecture)


def test_a_mutator_may_be_a_network_with_an_optimizer(model: Net, batch: tuple[Tensor, Tensor]) -> None:
    mutator = Controller(model)
    own, models = ({id(parameter) for parameter in module.parameters()} for module in (mutator, model))
    assert len(own) == len(list(mutator.state_dict())) == 1 + 4 + 6
    assert not own & models
    optimizer, (x, y) = torch.optim.Adam(mutator.parameters(), lr=0.01), batch
    for _ in range(2):
        weights, controller = snapshot(model), snapshot(mutator)
        optimizer.zero_grad()
        mutator.reset()
        with torch.no_grad():
            reward = -nn.functional.cross_entropy(model(x), y)
        (-reward * mutator.log_probability).backward()
        assert all(parameter.grad is None for parameter in model.parameters())
        optimizer.step()
        assert changed(mutator, controller)
        assert not changed(model, weights)
    assert mutator.export_architecture() == mutator.export_architecture()  # the most likely one


def test_a_network_is_saved_like_any_other(model: Net, tmp_path: Path) -> None:
    mutator, other = Controller(model), Controller(Net())
    torch.save(mutator.state_dict(), tmp_path / "controller.pt")
    other.load_state_dict(torch.load(tmp_path / "controller.pt", weights_only=True))
    assert other.export_architecture().digest == mutator.export_architecture().digest


def test_callbacks_decide_how_candidates_run(model: Net, batch: tuple[Tensor, Tensor]) -> None:
    mutator = Blend(model)
    assert [mutable.key for mutable in mutator.mutables] == list(SPACE)
    stem = out = model.stem(batch[0])
    for block in model.blocks:
        out = sum(candidate(out) for candidate in block.candidates) / 3
    assert not torch.equal(out, stem)
    assert torch.equal(model(batch[0]), model.head((out + out).mean((2, 3))))


def test_the_search_space_is_the_guides_document(model: Net) -> None:
    space = generate_search_space(model)
    assert space.to_dict() == SPACE
    assert raynas.SearchSpace.from_json(json.dumps(SPACE)) == space


def test_the_guides_two_documents_fit_each_other() -> None:
    layers = {"_type": "layer_choice", "_value": ["op1_repr", "op2_repr", "op3_repr"]}
    inputs = {"_type": "input_choice", "_value": {"candidates": ["in1_key", "in2_key", "in3_key"], "n_chosen": 1}}
    space = raynas.SearchSpace.from_json(json.dumps({"key_name_1": layers, "key_name_2": inputs}))
    assert space.to_dict() == {"key_name_1": layers, "key_name_2": inputs}
    assert space.size == 9
    answer = {"key_name_1": {"_value": "op1_repr", "_idx": 0}, "key_name_2": {"_value": ["in2_key"], "_idex": [1]}}
    architecture = raynas.Architecture.from_json(space, json.dumps(answer))
    assert architecture.indices == {"key_name_1": (0,), "key_name_2": (1,)}
    assert architecture.to_dict()["key_name_2"] == {"_value": ["in2_key"], "_idx": [1]}  # written as it should have been


def test_the_guides_repeated_key_is_refused() -> None:
    text = '{"key_name": {"_type": "layer_choice", "_value": ["op1_repr"]}, "key_name": {"_type": "choice", "_value": [1]}}'
    with pytest.raises(SpaceError, match="'key_name' is repeated"):
        raynas.SearchSpace.from_json(text)


def test_a_tuners_answer_is_read_with_idex_too(model: Net) -> None:
    answer = {
        "mutable_1": {"_value": "maxpool", "_idx": 2},
        "mutable_2": {"_value": ["stem"], "_idex": [1]},
        "mutable_3": {"_value": [], "_idex": []},
    }
    space = raynas.SearchSpace(SPACE)
    architecture = raynas.Architecture.from_json(space, json.dumps(answer))
    assert architecture.to_dict() == {
        key: {"_value": entry["_value"], "_idx": entry.get("_idx", entry.get("_idex"))} for key, entry in answer.items()
    }
    mutator = RandomMutator(model)
    mutator.apply_architecture(answer)
    assert {key: decision.indices for key, decision in mutator.decisions.items()} == architecture.indices
    with pytest.raises(ArchitectureError, match="'mutable_2'"):
        space.validate(answer | {"mutable_2": {"_value": ["stem"], "_idex": [2]}})
