"""How weights learn: the task, the training loop, and the methods by which a supernet is trained. No Ray."""

from raynas.oneshot.batches import Batch
from raynas.oneshot.checkpoints.checkpoint import is_checkpoint, read_checkpoint, write_checkpoint
from raynas.oneshot.checkpoints.store import CheckpointStore
from raynas.oneshot.checkpoints.writer import CheckpointWriter, CommitAlone, describe_failure
from raynas.oneshot.collated import CollatedData
from raynas.oneshot.job import TrainingJob, make_trainer
from raynas.oneshot.methods import METHODS
from raynas.oneshot.one_shot_trainer import OneShotTrainer
from raynas.oneshot.options import Callback, Log, Precision, TrainHooks, TrainOptions
from raynas.oneshot.precision import InPrecision
from raynas.oneshot.scoring import recalibrate, score
from raynas.oneshot.taking_part import TakingPart
from raynas.oneshot.task import Task
from raynas.oneshot.trainer import Trainer
from raynas.oneshot.training_figures import TrainingFigures
from raynas.oneshot.workers.world import World

__all__ = [
    "METHODS",
    "Batch",
    "Callback",
    "CheckpointStore",
    "CheckpointWriter",
    "CollatedData",
    "CommitAlone",
    "InPrecision",
    "Log",
    "OneShotTrainer",
    "Precision",
    "TakingPart",
    "Task",
    "TrainHooks",
    "TrainOptions",
    "Trainer",
    "TrainingFigures",
    "TrainingJob",
    "World",
    "describe_failure",
    "is_checkpoint",
    "make_trainer",
    "read_checkpoint",
    "recalibrate",
    "score",
    "write_checkpoint",
]
