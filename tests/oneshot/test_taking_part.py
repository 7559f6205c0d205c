"""What has learnt is known, and published again; what has not is not looked at."""

from pathlib import Path

import torch

import raynas
from raynas.oneshot import TakingPart, Trainer, TrainHooks, TrainingJob, TrainOptions, World, make_trainer


class Watch(raynas.Callback):
    """Takes what has learnt every other step, beside the weights that really changed since the last time."""

    def __init__(self) -> None:
        self.part = TakingPart()
        self.taken: list[tuple[dict[str, set[int]] | None, set[str]]] = []
        self.before: dict[str, torch.Tensor] = {}

    def on_step_end(self, trainer: Trainer, loss: torch.Tensor) -> None:
        if trainer.steps_done % 2 == 0:
            now = {name: each.detach().clone() for name, each in trainer.model.state_dict().items()}
            changed = {name for name, each in self.before.items() if not torch.equal(each, now[name])}
            self.taken.append((self.part.take(trainer.model), changed))
            self.before = now


def watched(task: raynas.Task) -> Watch:
    watch = Watch()
    given = TrainOptions(epochs=4, seed=1)
    make_trainer(TrainingJob(task, given, method="spos"), World(), TrainHooks(callbacks=(watch,))).train()
    return watch


def test_what_changed_belongs_to_a_candidate_that_learnt(tiny_task: raynas.Task) -> None:
    first, *later = watched(tiny_task).taken
    assert first[0] is None  # the newest version may be of steps that are done again
    for learnt, changed in later:
        assert learnt is not None
        for name in changed:
            layer, *rest = name.split(".")
            if layer in ("first", "second"):
                assert int(rest[1]) in learnt[layer], (name, learnt)
    some = [learnt for learnt, _ in later if learnt is not None and learnt.get("first") != {0, 1}]
    assert some, "not all of them learn each time"


def test_versions_on_the_way_are_whole_though_only_what_learnt_was_looked_at(tiny_task: raynas.Task, tmp_path: Path) -> None:
    weights: dict[int, dict[str, torch.Tensor]] = {}

    class Keep(raynas.Callback):
        def on_step_end(self, trainer: Trainer, loss: torch.Tensor) -> None:
            if trainer.steps_done % 3 == 0:
                weights[trainer.steps_done // 3] = {name: each.clone() for name, each in trainer.model.state_dict().items()}

    options = TrainOptions(epochs=3, seed=1, publish_every=3)
    made = raynas.train_supernet(
        tiny_task, options=options, callbacks=[Keep()], storage_path=tmp_path, name="on-the-way", registry="taking-part"
    )
    registry = raynas.WeightRegistry("taking-part")
    for version in registry.versions()[:-1]:
        for name, tensor in registry.fetch(None, version=version).items():
            assert torch.equal(tensor, weights[version][name]), (version, name)
    assert made.version == registry.newest()
    registry.close()
