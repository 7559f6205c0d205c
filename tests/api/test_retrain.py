from pathlib import Path

import pytest
import torch

import raynas
import raynas.runtime
from raynas.errors import ArchitectureError, OptionError, RegistryError
from raynas.nn.mutable import Mutable
from raynas.oneshot import score
from raynas.runtime import TrainDriverOptions


def test_it_hands_back_a_plain_model_with_its_test_figures(tiny_task: raynas.Task) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(0)
    final = raynas.retrain(tiny_task, architecture, epochs=30)
    assert not [module for module in final.model.modules() if isinstance(module, Mutable)]
    assert not final.model.training
    assert final.split == "test"
    assert final.metrics["accuracy"] > 0.6
    assert score(final.model, tiny_task, tiny_task.data("test"), device=torch.device("cpu")) == final.metrics


def test_equal_seeds_give_equal_models(tiny_task: raynas.Task) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(3).to_dict()
    first, second = (raynas.retrain(tiny_task, architecture, epochs=2, seed=1).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_bad_arguments_are_named(tiny_task: raynas.Task, tmp_path: Path) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(0)
    with pytest.raises(ArchitectureError, match="'third' is not in the search space"):
        raynas.retrain(tiny_task, {"third": {"_idx": 0}})
    with pytest.raises(OptionError, match="epochs"):
        raynas.retrain(tiny_task, architecture, epochs=0)
    for num_workers in (-2, True, (0, 2), (3, 2), (1, 2, 3), "2"):
        with pytest.raises(OptionError, match="num_workers"):
            raynas.retrain(tiny_task, architecture, num_workers=num_workers)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="wait is -1"):
        raynas.retrain(tiny_task, architecture, num_workers=(1, 2), wait=-1)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(RegistryError, match=r"model\.safetensors"):
        raynas.load_retrained(tiny_task, architecture, tmp_path / "model.safetensors")


@pytest.mark.parametrize("num_workers", [2, (1, 1), (1, 2)])
def test_how_many_workers_and_how_long_they_are_waited_for_is_handed_on(
    tiny_task: raynas.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_workers: int | tuple[int, int]
) -> None:
    class Seen(Exception):
        """Instead of a training."""

    def train(_job: object, _finish: object, options: TrainDriverOptions, **_: object) -> None:
        assert (options.num_workers, options.wait, options.use_gpu) == (num_workers, 7.0, False)
        assert (options.folder, options.name) == (tmp_path / "elastic", "retrain")
        raise Seen

    monkeypatch.setattr(raynas.runtime, "train_on_ray", train)
    with pytest.raises(Seen):
        raynas.retrain(
            tiny_task,
            raynas.generate_search_space(tiny_task.model()).unrank(0),
            num_workers=num_workers,
            wait=7.0,
            storage_path=tmp_path,
            name="elastic",
        )
