"""The sandwich rule with in-place distillation: Yu et al., "BigNAS", ECCV 2020, section 3.1; Cai et al., "Once-for-all",
ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators import RandomMutator
from raynas.oneshot.batches import Batch, detached
from raynas.oneshot.one_shot_trainer import OneShotTrainer, refuse
from raynas.oneshot.trainer import Loss
from raynas.space import CHOICE, Architecture, Domain

Pick = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True)
class SandwichOptions:
    """Attributes:
    num_random: random architectures at each step, beside the largest and the smallest.
    distill: whether all others learn from the output of the largest instead of the targets.

    Raises:
        OptionError: one is out of its range.
    """

    num_random: int = 2
    distill: bool = True

    def __post_init__(self) -> None:
        if type(self.num_random) is not int or self.num_random < 0:
            raise OptionError(f"num_random is {self.num_random!r}; expected an integer of at least 0")
        if type(self.distill) is not bool:
            raise OptionError(f"distill is {self.distill!r}; expected True or False")


class SandwichMutator(RandomMutator):
    """Samples random architectures, and those that take the largest or the smallest of all numbers.

    What is no number (layers, inputs, names) is drawn for each of them, every option of a key with the same probability.
    """

    def sample_extreme(self, pick: Pick) -> Architecture:
        """The architecture with the numbers that ``pick``, which is ``max`` or ``min``, takes of each key's candidates."""
        chosen: dict[str, tuple[int, ...]] = {}
        for key in sorted(self.space, key=lambda key: len(self.space[key].when)):  # ancestors first
            domain = self.space[key]
            if self.space.is_active(key, chosen):
                if is_numeric(domain):
                    chosen[key] = (domain.candidates.index(pick(domain.candidates)),)
                else:
                    chosen[key] = domain.option(self._rng.randrange(domain.num_options))
        return Architecture.trusted(self.space, {key: chosen[key] for key in self.space if key in chosen})

    def sample_paths(self, num_random: int) -> list[Architecture]:
        """The largest, the smallest, and some random architectures, in this order."""
        return [self.sample_extreme(max), self.sample_extreme(min), *(self.sample_architecture() for _ in range(num_random))]


class Distillation:
    """Losses of one step: the teacher's is the task's, the pupils' compares them with what the teacher said.

    A batch may come in pieces, which are the same and in the same order for the teacher and for every pupil. So what the
    teacher said is kept for each piece.

    Args:
        loss: the task's.
    """

    def __init__(self, loss: Loss) -> None:
        self._loss, self._said, self._num_compared = loss, list[Any](), 0

    def teacher(self, output: Any, target: Any) -> Tensor:
        """The task's loss; the output is remembered."""
        self._said.append(detached(output))
        return self._loss(output, target)

    def pupil(self, output: Any, target: Any) -> Tensor:
        """Soft cross-entropy where the targets are class indices, else the task's loss against the teacher's output."""
        said = self._said[self._num_compared % len(self._said)]
        self._num_compared += 1
        return soft_cross_entropy(output, said) if _are_classes(output, target) else self._loss(output, said)


class SandwichTrainer(OneShotTrainer):
    """At every step the largest, the smallest and some random architectures, then one update.

    The largest learns from the targets, the others from its output on the same batch (``distill``). Works with every kind of
    mutable, if there is a value choice of numbers; the depth of a ``Repeat`` is one.
    """

    Options = SandwichOptions
    method_options: SandwichOptions
    mutator: SandwichMutator

    def make_mutator(self, model: nn.Module, seed: int) -> SandwichMutator:
        mutator = SandwichMutator(model, seed=seed)
        if not any(is_numeric(domain) for domain in mutator.space.values()):
            refuse("sandwich", {key: f"a {domain.kind} without a largest value" for key, domain in mutator.space.items()})
        return mutator

    def train_step(self, batch: Batch) -> Tensor:
        paths = self.mutator.sample_paths(self.method_options.num_random)
        if not self.method_options.distill:
            return self.train_paths(batch, paths)
        step = Distillation(self.task.loss)
        return self.train_paths(batch, paths, losses=[step.teacher] + [step.pupil] * (len(paths) - 1))


def is_numeric(domain: Domain) -> bool:
    """Whether the candidates have a largest one: numbers, no names and no switches."""
    return domain.kind == CHOICE and all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in domain.candidates
    )


def soft_cross_entropy(output: Tensor, teacher: Tensor) -> Tensor:
    """The mean over samples of -sum(softmax(teacher) * log_softmax(output)); classes are in dimension 1."""
    return nn.functional.cross_entropy(output, teacher.softmax(1))


def _are_classes(output: Any, target: Any) -> bool:
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        return False
    return not target.is_floating_point() and output.dim() > 1 and target.shape == output.shape[:1] + output.shape[2:]
