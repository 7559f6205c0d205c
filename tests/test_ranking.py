"""``benchmarks/ranking.py``: its images, what it measures in a small case, where an architecture stands, what it refuses."""

import importlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils.data import TensorDataset

from raynas.oneshot import METHODS
from raynas.space import Architecture, SearchSpace
from raynas.zoo import NasBenchMacro

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RAYNAS_DATA") or ROOT.parent / "shared" / "data")
needs_images = pytest.mark.skipif(
    not (DATA / "mnist.npz").is_file(), reason=f"{DATA}/mnist.npz is absent; say where it is with RAYNAS_DATA"
)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Gives a module of the benchmark by name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


def stripes(number: int) -> TensorDataset:
    """Images of 8 x 8 with stripes along one side or the other, so that there is something to learn."""
    labels = torch.arange(number) % 2
    lying = (torch.arange(8) % 2).float().expand(number, 1, 8, 8)
    images = torch.where(labels.view(-1, 1, 1, 1) == 0, lying, lying.transpose(2, 3))
    return TensorDataset(images + 0.5 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)), labels)


@pytest.mark.data
@needs_images
def test_images_are_drawn_with_a_seed_and_normalised(module: Callable[[str], ModuleType]) -> None:
    read = module("mnist").read_images
    (train, labels), (valid, _) = (data.tensors for data in read(DATA, 300, 100))
    assert train.shape == (300, 1, 28, 28)
    assert valid.shape == (100, 1, 28, 28)
    assert abs(float(train.mean())) < 1e-4
    assert abs(float(train.std()) - 1) < 1e-4
    assert set(labels.tolist()) == set(range(10))
    assert len({image.numpy().tobytes() for image in torch.cat([train, valid])}) == 400
    assert torch.equal(train, read(DATA, 300, 100)[0].tensors[0])
    assert not torch.equal(train, read(DATA, 300, 100, seed=1)[0].tensors[0])


def test_without_the_images_it_says_where_to_find_them(
    module: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        module("ranking").main(["--data", str(tmp_path)])
    assert "mnist.npz is absent; say where it is with --data or RAYNAS_DATA" in capsys.readouterr().err


@pytest.mark.nightly
def test_what_the_methods_export_is_compared_with_random_architectures(module: Callable[[str], ModuleType]) -> None:
    ranking, methods = module("ranking"), {"spos", "darts", "enas"}
    data = stripes(64)
    task = replace(module("mnist").make_task(data, data), model=lambda: NasBenchMacro(2, (2, 2, 4), 4, in_channels=1))
    figures = ranking.measure(ranking.Case(task, 3, dict.fromkeys(methods, 1), 1), twice=True)
    assert figures["num_architectures"] == 3
    assert set(figures["exported"]) == methods
    for method, found in figures["exported"].items():
        assert len(found["architecture"]) == 8, method
        assert 0 <= found["better_than"] <= 3, method
    assert figures["alone"]["min"] <= figures["exported"]["spos"]["alone"] <= figures["alone"]["max"]
    assert {"tau", "tau_alone"} <= set(figures)
    assert set(figures["seconds"]) == methods | {"inherited", "alone", "exported", "alone again"}


def test_every_method_that_learns_an_architecture_is_ranked(module: Callable[[str], ModuleType]) -> None:
    learning = {name for name, method in METHODS.items() if method.learns_architecture}
    assert set(module("ranking").EPOCHS) == learning | {"spos"}


def test_where_an_architecture_stands(module: Callable[[str], ModuleType]) -> None:
    ranking = module("ranking")
    space = SearchSpace({key: {"_type": "layer_choice", "_value": ["a", "b", "c"]} for key in ("first", "second")})
    architecture = Architecture.from_dict(space, {"first": {"_idx": 2}, "second": {"_idx": 0}})
    found = ranking.standing(architecture, 0.91234, [0.5, 0.91234, 0.95, 0.9])
    assert found == {"architecture": "20", "alone": 0.9123, "better_than": 2}
    assert ranking.tau([1, 2, 3, 4], [1, 2, 4, 3]) == 0.667
    assert ranking.tau([1, 2, 3, 4], [1, 1, 1, 1]) is None
