import dataclasses
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from safetensors.torch import load_file
from torch import nn

import raynas
from raynas.api.evaluators import WEIGHTS, Inherited
from raynas.errors import OptionError, TaskError, UnknownVersionError
from raynas.explore import Trial
from raynas.nn import LayerChoice
from raynas.oneshot import score
from raynas.runtime.cluster.connection import broadcast
from raynas.storage import Storage


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


def published(task: raynas.Task, name: str) -> raynas.SearchSpace:
    """Untrained weights in a registry; gives the space."""
    torch.manual_seed(0)
    net = task.model()
    raynas.WeightRegistry(name).publish(net)
    return raynas.generate_search_space(net)


def scores(evaluate: Any, architecture: raynas.Architecture) -> dict[str, float]:
    trial = Trial(0, architecture)
    evaluate.setup()
    evaluate.evaluate(trial)
    return trial.metrics


def test_what_inherited_sends_has_the_samples_it_needs_and_gives_the_same_scores(tiny_task: raynas.Task) -> None:
    space = published(tiny_task, "evaluators-sent")
    evaluate = raynas.inherited(tiny_task, registry="evaluators-sent", recalibration_samples=40)
    sent = evaluate.to_workers()
    assert len(sent.task.data("train")) == 40
    assert len(sent.task.data("valid")) == 64
    assert sent.task.test_data is None
    assert scores(sent, space.unrank(0)) == scores(evaluate, space.unrank(0))
    assert (
        len(raynas.inherited(tiny_task, registry="evaluators-sent", recalibration_samples=0).to_workers().task.data("train"))
        == 64
    )


def test_data_that_cannot_be_read_here_is_opened_by_each_evaluator(
    tiny_task: raynas.Task, caplog: pytest.LogCaptureFixture
) -> None:
    def elsewhere() -> Any:
        raise FileNotFoundError("not on this machine")

    published(tiny_task, "evaluators-elsewhere")
    task = dataclasses.replace(tiny_task, train_data=elsewhere)
    sent = raynas.inherited(task, registry="evaluators-elsewhere").to_workers()
    assert sent.task.train_data is elsewhere
    assert "the train data is opened by each evaluator, not here: FileNotFoundError: not on this machine" in caplog.text
    with pytest.raises(FileNotFoundError):
        sent.setup()


def test_batch_norm_statistics_come_from_the_data_that_is_given_or_stay(tiny_task: raynas.Task) -> None:
    space = published(tiny_task, "evaluators-statistics")
    architecture = space.validate({"first": {"_idx": 0}, "second": {"_idx": 0}, "skip": {"_idx": [1]}})

    def loss_with(**options: Any) -> float:
        return scores(raynas.inherited(tiny_task, registry="evaluators-statistics", **options), architecture)["loss"]

    default = loss_with()
    assert loss_with(recalibration_data=tiny_task.train_data) == default
    assert loss_with(recalibration_data=lambda: tiny_task.train_data) == default
    other = torch.utils.data.TensorDataset(torch.randn(64, 8) * 50, torch.zeros(64))
    assert (
        len(
            {
                default,
                loss_with(recalibration_data=other),
                loss_with(recalibration_samples=8),
                loss_with(recalibration_samples=0),
            }
        )
        == 4
    )


def test_inherited_scores_in_half_precision_nearly_the_same(tiny_task: raynas.Task) -> None:
    space = published(tiny_task, "evaluators-precision")
    for number in (0, space.size - 1):
        whole = scores(raynas.inherited(tiny_task, registry="evaluators-precision"), space.unrank(number))
        half = scores(raynas.inherited(tiny_task, registry="evaluators-precision", precision="bf16"), space.unrank(number))
        assert half != whole
        assert half["loss"] == pytest.approx(whole["loss"], rel=0.02)
        assert half["params"] == whole["params"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision 'fp8' does not exist; expected one of float32, bf16, fp16"),
        ({"recalibration_samples": -1}, "recalibration_samples is -1"),
        ({"recalibration_samples": True}, "recalibration_samples is True"),
        ({"recalibration_data": 3}, "is 3; expected data with a length"),
    ],
)
def test_inherited_refuses_what_it_does_not_know(tiny_task: raynas.Task, options: dict[str, Any], message: str) -> None:
    published(tiny_task, "evaluators-refuses")
    with pytest.raises((OptionError, TaskError), match=message):
        raynas.inherited(tiny_task, registry="evaluators-refuses", **options)


class Images(nn.Module):
    """One choice over images of 3 × 32 × 32."""

    def __init__(self) -> None:
        super().__init__()
        candidates = {"a": nn.Conv2d(3, 8, 3), "b": nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))}
        self.op, self.head = LayerChoice(candidates, key="op"), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.op(x).mean((2, 3)))


def where_tensors_lie(evaluate: Inherited) -> tuple[list[bool], float]:
    """Whether the data lies in the object store's mapping; a score, so that someone has read it."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if "plasma" in line or "/dev/shm" in line]
    spans = [tuple(int(end, 16) for end in line[0].split("-")) for line in maps]
    figures = scores(evaluate, raynas.generate_search_space(evaluate.task.model()).unrank(1))
    tensors = [tensor for data in (evaluate.valid_data, evaluate.train_data) for tensor in data.tensors]
    return [any(low <= tensor.data_ptr() < high for low, high in spans) for tensor in tensors], figures["loss"]


@pytest.mark.nightly
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_evaluators_read_the_data_where_it_lies_and_leave_it(tiny_task: raynas.Task) -> None:
    data = torch.utils.data.TensorDataset(torch.randn(500, 3, 32, 32), torch.randint(3, (500,)))
    data = torch.utils.data.Subset(data, range(400))
    task = dataclasses.replace(tiny_task, model=Images, train_data=lambda: data, valid_data=data)
    space = published(task, "evaluators-in-place")
    evaluate = raynas.inherited(task, registry="evaluators-in-place", recalibration_samples=300)
    there = ray.remote(num_cpus=0)(where_tensors_lie)
    sent = broadcast(evaluate.to_workers(), "evaluate")
    inside, loss = ray.get(there.remote(sent))
    assert inside == [True] * 4
    assert ray.get(there.remote(sent))[1] == loss == scores(evaluate, space.unrank(1))["loss"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_where_ray_is_connected_auto_takes_the_pool_with_the_scores_of_the_loop(tiny_task: raynas.Task) -> None:
    space = published(tiny_task, "evaluators-pool")
    evaluate = raynas.inherited(tiny_task, registry="evaluators-pool")
    pooled = raynas.search(space, evaluate, num_trials=8, resources_per_trial={"cpu": ray.cluster_resources()["CPU"]})
    local = raynas.search(space, evaluate, num_trials=8, engine="local")
    assert pooled.engine == "pool"
    assert set(pooled.trials.column("state").to_pylist()) == {"completed"}
    assert pooled.trials.sort_by("id").column("digest") == local.trials.column("digest")
    assert pooled.trials.sort_by("id").column("loss").to_pylist() == pytest.approx(local.trials.column("loss").to_pylist())


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
        evaluate.evaluate(Trial(0, architecture, checkpoints=Storage(tmp_path), on_report=interrupt))
    rest: list[dict[str, float]] = []
    evaluate.evaluate(Trial(0, architecture, checkpoints=Storage(tmp_path), on_report=rest.append))
    assert first + rest == whole
    assert sorted(path.name for path in (tmp_path / "00000").iterdir()) == [WEIGHTS]
