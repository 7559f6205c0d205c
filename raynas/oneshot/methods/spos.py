"""Single path one-shot: Guo et al., "Single path one-shot neural architecture search with uniform sampling", ECCV 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.oneshot.batches import Batch
from raynas.oneshot.one_shot_trainer import OneShotTrainer


@dataclass(frozen=True)
class SposOptions:
    """Attributes:
    sampling: ``"shared"``: one path a step for all workers; ``"per_rank"``: another one for each, so that a step sees as
        many paths as there are workers.

    Raises:
        OptionError: there is no such sampling.
    """

    sampling: Literal["shared", "per_rank"] = "shared"

    def __post_init__(self) -> None:
        if self.sampling not in ("shared", "per_rank"):
            raise OptionError(f"sampling {self.sampling!r} does not exist; expected 'shared' or 'per_rank'")


class SposTrainer(OneShotTrainer):
    """At every step one path, drawn uniformly, is trained: equation 7 of the paper. Works with every kind of mutable."""

    Options = SposOptions
    method_options: SposOptions
    mutator: RandomMutator

    def make_mutator(self, model: nn.Module, seed: int) -> RandomMutator:
        return RandomMutator(model, seed=seed)

    def train_step(self, batch: Batch) -> Tensor:
        if self.method_options.sampling == "shared":
            return super().train_step(batch)
        paths = [self.mutator.sample_architecture() for _ in range(self.world.size)]  # all workers know all paths
        self.mutator.apply_architecture(paths[self.world.rank])
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.add_gradients(batch, expected=self.active.of_architectures(paths))
        self.update()
        return loss

    def shared_texts(self) -> dict[str, str]:
        texts = super().shared_texts()
        if self.method_options.sampling == "per_rank":
            del texts["the architecture"]
        return texts
