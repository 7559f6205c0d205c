"""Every error that raynas raises on purpose, in one tree.

RaynasError
├── SpaceError (ValueError)              a search space document is wrong
├── ArchitectureError (ValueError)       an architecture does not fit its space
├── ModelError (ValueError)              the mutables of a model are wrong
├── MutatorError (RuntimeError)          a mutator is missing, bound twice, or decides wrongly
├── TaskError (ValueError)               a task or the file that defines it is wrong
├── OptionError (ValueError)             an argument is out of its range
├── ConstraintError (RuntimeError)       a constraint raised an error
├── SearcherError (RuntimeError)         a searcher broke the tuner protocol
│   └── InvalidProposalError             it proposed what is no architecture of the space
├── ResultError (ValueError)             a searcher was told what is no result
├── UnknownSearcherError (LookupError)   no searcher of that name is installed
├── NoMoreTrials (Exception)             raised by a searcher: the space is done
├── SearchStoppedError (RuntimeError)    a search ended early, because its trials fail
├── TrainingError (RuntimeError)         training a supernet or a model failed
├── CheckpointError (ValueError)         a checkpoint is of another training
├── ClusterError (RuntimeError)          a cluster cannot be reached, or is not as it has to be
├── RegistryError (RuntimeError)         weights could not be published or fetched
│   ├── UnknownVersionError (LookupError)   that version or that name does not exist
│   ├── UploadLostError                     they got lost on the way; publish again
│   └── NoRoomError (MemoryError)           the object store is too small
├── RunExistsError (FileExistsError)     the run folder is there already
├── RunNotFoundError (FileNotFoundError) there is no such run
├── RunTakenOverError (RuntimeError)     another process drives the run now
├── RunNotKeptError (OSError)            the storage of a run cannot be written
└── RunDamagedError (OSError)            a file of a run cannot be read

TrialStopped (BaseException) is no error and stands beside the tree: it ends a trial that a scheduler has stopped.

Each class also derives from the builtin in parentheses, takes one message, and so survives pickling.
"""


class RaynasError(Exception):
    """The root: ``except raynas.RaynasError`` catches everything that raynas raises on purpose."""


class SpaceError(RaynasError, ValueError):
    """A search space document is wrong; the message names the key."""


class ArchitectureError(RaynasError, ValueError):
    """An architecture does not fit its search space; the message names the key."""


class ModelError(RaynasError, ValueError):
    """The mutables of a model are wrong; the message names the key."""


class MutatorError(RaynasError, RuntimeError):
    """A mutator is missing, bound twice, or its decision does not fit the model."""


class TaskError(RaynasError, ValueError):
    """A task, or the file that defines it, is wrong."""


class OptionError(RaynasError, ValueError):
    """An argument is out of its range, or does not exist."""


class ConstraintError(RaynasError, RuntimeError):
    """A constraint raised an error instead of saying whether it allows an architecture."""


class SearcherError(RaynasError, RuntimeError):
    """A searcher broke the tuner protocol; the message names the searcher."""


class InvalidProposalError(SearcherError):
    """A searcher proposed what is no architecture of its search space; it is told so and asked again."""


class ResultError(RaynasError, ValueError):
    """A searcher was told a value that is no result: not a number, or not a finite one."""


class UnknownSearcherError(RaynasError, LookupError):
    """No searcher of that name is installed; the message lists those that are."""


class NoMoreTrials(RaynasError):
    """Raised by a searcher: it has nothing more to propose, now or later."""


class SearchStoppedError(RaynasError, RuntimeError):
    """A search ended before its time because its trials fail with one cause."""


class TrainingError(RaynasError, RuntimeError):
    """Training a supernet or a single model failed."""


class CheckpointError(RaynasError, ValueError):
    """A checkpoint was made by another training; the message names the difference."""


class ClusterError(RaynasError, RuntimeError):
    """A cluster cannot be reached, its machines differ, or it has no job of that name."""


class RegistryError(RaynasError, RuntimeError):
    """Weights could not be published or fetched."""


class UnknownVersionError(RegistryError, LookupError):
    """The registry holds no such version; the message lists what it holds."""


class UploadLostError(RegistryError):
    """Weights got lost on their way into the registry, because what holds it has died and come back: publish again."""


class NoRoomError(RegistryError, MemoryError):
    """The object store is too small; the message says how much is needed."""


class RunExistsError(RaynasError, FileExistsError):
    """A run folder of that name is there already."""


class RunNotFoundError(RaynasError, FileNotFoundError):
    """There is no such run."""


class RunTakenOverError(RaynasError, RuntimeError):
    """Another process drives the run now; what this one did since is not kept."""


class RunNotKeptError(RaynasError, OSError):
    """The storage of a run cannot be written; the message says where the run is instead."""


class RunDamagedError(RaynasError, OSError):
    """A file of a run cannot be read."""


class TrialStopped(BaseException):
    """Raised by ``trial.report`` in a trial that is stopped; let it pass, after closing what is open.

    Not an ``Exception``, so that an ``except Exception`` around a step of training does not swallow it.
    """
