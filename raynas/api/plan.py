"""``Plan``: the numbers of a whole run, beside the task in a user's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raynas.api.workers import check_workers
from raynas.errors import OptionError
from raynas.oneshot import TrainOptions


@dataclass(frozen=True)
class Plan:
    """How ``raynas run`` goes about a task. The command line overrides what stands in the file.

    Attributes:
        seed: of everything.
        method: how the supernet is trained.
        method_options: of the method.
        training: fields of ``raynas.TrainOptions`` for the supernet, ``{"precision": "bf16"}`` for example, but for ``epochs``
            and ``seed``, which are this plan's.
        num_workers: processes that train the supernet; ``(min, max)``: as many as there is room for; 0 trains in the
            calling one.
        use_gpu: one GPU for each worker, and one for each trial unless ``resources_per_trial`` says otherwise.
        supernet_epochs: passes over the training data.
        searcher: its name.
        searcher_options: for it; ``seed`` is added.
        engine: what runs the trials: ``"local"`` without Ray, else under Ray ``"tune"``, ``"pool"``, or ``"auto"``: the pool
            for the search with inherited weights, Tune for training the final models.
        num_trials: how many architectures are evaluated.
        max_concurrent: how many at once; ``None``: as there is room.
        resources_per_trial: ``{"cpu": 1, "gpu": 0.25}`` for example; ``None``: a CPU, and with ``use_gpu`` a GPU.
        max_flops: of one forward pass of one sample; ``None``: no limit.
        max_params: ``None``: no limit.
        retrain_epochs: passes over the training data for the final model.
        num_random: how many random architectures within the same limits are retrained beside the best, to compare.
        wait: seconds that training waits for room for its workers.
        object_store_memory: bytes of the object store of a Ray that is started here; ``None``: as Ray decides.

    Raises:
        OptionError: a number is out of its range.
    """

    seed: int = 0
    method: str = "spos"
    method_options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    num_workers: int | tuple[int, int] = 2
    use_gpu: bool = False
    supernet_epochs: int = 50
    searcher: str = "spos_evolution"
    searcher_options: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "auto"
    num_trials: int = 500
    max_concurrent: int | None = None
    resources_per_trial: Mapping[str, float] | None = None
    max_flops: float | None = None
    max_params: float | None = None
    retrain_epochs: int = 20
    num_random: int = 5
    wait: float = 600.0
    object_store_memory: int | None = None

    def __post_init__(self) -> None:
        check_workers(self.num_workers, self.wait)
        lowest = {"num_random": 0, "supernet_epochs": 1, "num_trials": 1, "retrain_epochs": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise OptionError(f"Plan {name} is {value!r}; expected an integer of at least {least}")
        self.train_options()

    @property
    def trial_resources(self) -> dict[str, float]:
        """What each trial holds."""
        if self.resources_per_trial is not None:
            return dict(self.resources_per_trial)
        return {"cpu": 1, "gpu": 1} if self.use_gpu else {"cpu": 1}

    def train_options(self) -> TrainOptions:
        """How the supernet is trained. Raises ``OptionError`` naming a field that does not exist or is out of its range."""
        known = {entry.name for entry in dataclasses.fields(TrainOptions)} - {"epochs", "seed"}
        unknown = [name for name in self.training if name not in known]
        if unknown:
            raise OptionError(f"Plan training has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
        return TrainOptions(epochs=self.supernet_epochs, seed=self.seed, **self.training)

    def replace(self, changes: Mapping[str, Any]) -> Plan:
        """The plan with those changes that are not ``None``."""
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        mappings = {name: dict(getattr(self, name)) for name in ("searcher_options", "method_options", "training")}
        if self.resources_per_trial is not None:
            mappings["resources_per_trial"] = dict(self.resources_per_trial)
        return dataclasses.asdict(self) | mappings

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Plan:
        """Read what ``to_dict`` wrote. Raises ``OptionError`` naming a field that does not exist."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        unknown = [name for name in document if name not in known]
        if unknown:
            raise OptionError(f"a plan has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
        workers = document.get("num_workers")
        read = {"num_workers": tuple(workers)} if isinstance(workers, list) else {}
        return cls(**{**document, **read})
