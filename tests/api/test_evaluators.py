from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import raynas
from raynas.api.evaluators import WEIGHTS
from raynas.errors import UnknownVersionError
from raynas.explore import Trial
from raynas.oneshot import score


def test_inherited_scores_with_the_supernets_weights_and_leaves_them(tiny_task: raynas.Task, tmp_path: Path) -> None:
    raynas.train_supernet(tiny_task, epochs=20, storage_path=tmp_path, name="evaluators-net")
    space = raynas.generate_search_space(tiny_task.model())
    registry = raynas.WeightRegistry("evaluators-net")
    before = {name: tensor.clone() for name, tensor in registry.fetch(space.unrank(0)).items()}
    result = raynas.search(space, raynas.inherited(tiny_task, registry=registry), num_trials=12, engine="local")
    assert result.best.value > 0.6  # chance is a third
    assert set(result.best.metrics) == {"accuracy", "loss", "params", "flops"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in registry.fetch(space.unrank(0)).items())


def test_inherited_says_what_publishes(tiny_task: raynas.Task) -> None:
    with pytest.raises(UnknownVersionError, match="train_supernet"):
        raynas.inherited(tiny_task, registry="nobody-published")


def test_from_scratch_trains_each_candidate_and_keeps_its_weights(tiny_task: raynas.Task, tmp_path: Path) -> None:
    space = raynas.generate_search_space(tiny_task.model())
    evaluate = raynas.from_scratch(tiny_task, epochs=20)
    result = raynas.search(space, evaluate, num_trials=3, storage_path=tmp_path, engine="local")
    assert result.best.value > 0.6
    path = tmp_path / "search" / "checkpoints" / f"{result.best.trial_id:05d}" / WEIGHTS
    model = raynas.load_retrained(tiny_task, result.best.architecture, path)
    assert set(load_file(path)) == set(model.state_dict())
    figures = score(model, tiny_task, tiny_task.data("valid"), device=torch.device("cpu"))
    assert figures["accuracy"] == result.best.value


def test_from_scratch_needs_no_run_folder(tiny_task: raynas.Task) -> None:
    space = raynas.generate_search_space(tiny_task.model())
    first = raynas.search(space, raynas.from_scratch(tiny_task, epochs=2), num_trials=2, engine="local")
    second = raynas.search(space, raynas.from_scratch(tiny_task, epochs=2), num_trials=2, engine="local")
    assert first.trials.column("loss") == second.trials.column("loss")


def test_from_scratch_reports_each_epoch_and_a_budget_is_epochs(tiny_task: raynas.Task) -> None:
    evaluate = raynas.from_scratch(tiny_task, epochs=5)
    evaluate.setup()
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(0)
    for budget, epochs in ((None, 5), (2.0, 2), (0.2, 1)):
        reported: list[dict[str, float]] = []
        evaluate.evaluate(Trial(0, architecture, budget=budget, on_report=reported.append))
        assert len(reported) == epochs
        assert all(set(figures) == {"accuracy", "loss", "params", "flops"} for figures in reported)
        assert len({figures["loss"] for figures in reported}) == epochs


def test_from_scratch_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tiny_task: raynas.Task, tmp_path: Path) -> None:
    architecture = raynas.generate_search_space(tiny_task.model()).unrank(0)
    evaluate = raynas.from_scratch(tiny_task, epochs=6)
    evaluate.setup()
    whole: list[dict[str, float]] = []
    evaluate.evaluate(Trial(0, architecture, on_report=whole.append))

    def interrupt(figures: dict[str, float]) -> None:
        first.append(figures)
        if len(first) == 4:
            raise KeyboardInterrupt

    first: list[dict[str, float]] = []
    with pytest.raises(KeyboardInterrupt):
        evaluate.evaluate(Trial(0, architecture, checkpoints=tmp_path, on_report=interrupt))
    rest: list[dict[str, float]] = []
    evaluate.evaluate(Trial(0, architecture, checkpoints=tmp_path, on_report=rest.append))
    assert first + rest == whole
    assert sorted(path.name for path in (tmp_path / "00000").iterdir()) == [WEIGHTS]
