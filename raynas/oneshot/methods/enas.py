"""A controller network that learns by REINFORCE: Pham et al., "Efficient neural architecture search via parameter sharing",
ICML 2018. The controller itself is ``mutators.controller``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raynas.errors import OptionError
from raynas.mutators import ControllerMutator, Draws
from raynas.oneshot.batches import Batch
from raynas.oneshot.methods.probability_figures import probability_figures
from raynas.oneshot.one_shot_trainer import OneShotTrainer, refuse
from raynas.space import Architecture


@dataclass(frozen=True)
class EnasOptions:
    """The defaults are the paper's, but for how often the controller learns.

    Attributes:
        controller_every: steps of the weights before each step of the controller.
        num_samples: architectures that a step of the controller scores.
        learning_rate: of the controller's Adam.
        entropy_weight: of the entropy of the controller, which is added to the reward.
        baseline_decay: of the moving average of the reward.
        hidden_size: of the LSTM.
        temperature, tanh_constant: logits are ``tanh_constant * tanh(logits / temperature)``.

    Raises:
        OptionError: one is out of its range.
    """

    controller_every: int = 5
    num_samples: int = 10
    learning_rate: float = 0.00035
    entropy_weight: float = 0.1
    baseline_decay: float = 0.99
    hidden_size: int = 100
    temperature: float = 5.0
    tanh_constant: float = 2.5

    def __post_init__(self) -> None:
        for name in ("controller_every", "num_samples", "hidden_size"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise OptionError(f"{name} is {value!r}; expected an integer of at least 1")
        for name in ("learning_rate", "temperature", "tanh_constant"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise OptionError(f"{name} is {value!r}; expected a number above 0")
        if not 0 <= self.entropy_weight < float("inf"):
            raise OptionError(f"entropy_weight is {self.entropy_weight!r}; expected a number of at least 0")
        if not 0 <= self.baseline_decay < 1:
            raise OptionError(f"baseline_decay is {self.baseline_decay!r}; expected a number from 0, below 1")


class Reinforce:
    """Teaches a controller which of its architectures were good (Williams, 1992), with a moving average as baseline.

    Args:
        mutator: the controller.
        options: of the method.

    Attributes:
        baseline: moving average of reward and weighted entropy; ``None`` before the first step.
        figures: of the last step.
    """

    def __init__(self, mutator: ControllerMutator, options: EnasOptions) -> None:
        self._mutator, self._options = mutator, options
        self.optimizer = torch.optim.Adam(mutator.parameters(), lr=options.learning_rate)
        self.baseline: float | None = None
        self.figures: dict[str, float] = {}

    def update(self, draws: Draws, rewards: Tensor) -> None:
        """One step of the controller.

        Args:
            draws: of some architectures.
            rewards: (architectures,), larger is better.
        """
        weight, decay = self._options.entropy_weight, self._options.baseline_decay
        log_probs, entropies = self._mutator.log_prob_and_entropy(draws)
        mean = float((rewards + weight * entropies.detach()).mean())
        before = mean if self.baseline is None else self.baseline
        self.optimizer.zero_grad()
        losses = policy_losses(log_probs, entropies, rewards, baseline=before, entropy_weight=weight)
        torch.autograd.backward(losses.mean())
        self.optimizer.step()
        self.baseline = decay * before + (1 - decay) * mean
        self.figures = {
            "controller/reward": float(rewards.mean()),
            "controller/baseline": self.baseline,
            "controller/entropy": float(entropies.detach().mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Optimizer, baseline and figures; the controller's weights are the mutator's."""
        return {"optimizer": self.optimizer.state_dict(), "baseline": self.baseline, "figures": dict(self.figures)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.baseline, self.figures = state["baseline"], dict(state["figures"])


class EnasTrainer(OneShotTrainer):
    """The weights learn on one path that the controller draws (equation 1 with M = 1); the controller learns from rewards.

    The reward is the task's first metric on a batch of validation data, or minus its loss where it has none. Works with every
    kind of mutable.
    """

    learns_architecture = True
    Options = EnasOptions
    method_options: EnasOptions
    mutator: ControllerMutator

    def make_mutator(self, model: nn.Module, seed: int) -> ControllerMutator:
        options = self.method_options
        mutator = ControllerMutator(
            model,
            seed=seed,
            hidden_size=options.hidden_size,
            temperature=options.temperature,
            tanh_constant=options.tanh_constant,
        )
        if not mutator.num_draws:
            refuse("enas", dict.fromkeys(mutator.space, "there is nothing to choose"))
        self.reinforce = Reinforce(mutator, options)
        return mutator

    def train_step(self, batch: Batch) -> Tensor:
        loss = super().train_step(batch)
        if (self.steps_done + 1) % self.method_options.controller_every == 0:
            self.train_controller()
        return loss

    def train_controller(self) -> None:
        """One step of the controller; the path of the weights stays applied."""
        path = self.mutator.applied_architecture()
        draws = self.mutator.draw(self.method_options.num_samples)
        rewards = self.rewards(self.mutator.architectures(draws))
        self.mutator.apply_architecture(path)
        self.reinforce.update(draws, rewards)

    @torch.no_grad()
    def rewards(self, architectures: Sequence[Architecture]) -> Tensor:
        """(architectures,), float64: of each on one batch of validation data, over all workers.

        The model computes as it does in training, by the statistics of the batch, since its running ones are a mixture over
        all paths.
        """
        batch, rewards = self.valid_batch(), []
        name, mode = self.task.objective
        measure = self.task.metrics[name] if mode == "max" else self.task.loss
        with kept_buffers(self.model):
            for architecture in architectures:
                self.mutator.apply_architecture(architecture)
                with self.precision.autocast():
                    reward = measure(self.model(batch.inputs), batch.targets)
                rewards.append(torch.as_tensor(reward, dtype=torch.float64))
        weighted = torch.stack(rewards).cpu() * (batch.share if mode == "max" else -batch.share)
        self.world.sum([weighted])
        return weighted

    def search_signal(self) -> dict[str, float]:
        return {**self.reinforce.figures, **probability_figures(self.mutator.space, self.mutator.probabilities())}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "reinforce": self.reinforce.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.reinforce.load_state_dict(state["reinforce"])


def policy_losses(log_probs: Tensor, entropies: Tensor, rewards: Tensor, *, baseline: float, entropy_weight: float) -> Tensor:
    """For each architecture drawn, what to descend.

    Its gradient's expectation is that of -(E[reward] + entropy_weight * entropy of the controller): the entropies are those
    on the way to an architecture, so the gradient has one part through the chances of getting there and one of their own.
    """
    gains = rewards + entropy_weight * entropies.detach() - baseline
    return -gains * log_probs - entropy_weight * entropies


@contextmanager
def kept_buffers(model: nn.Module) -> Iterator[None]:
    """Inside, running statistics may change; afterwards they are what they were."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
