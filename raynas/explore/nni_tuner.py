"""``NniTuner``: a tuner written by others, in the manner of NNI, as a ``Searcher``; ``adapt`` knows who needs it."""

from __future__ import annotations

import copy
import inspect
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynas.errors import ArchitectureError, InvalidProposalError, NoMoreTrials, SearcherError
from raynas.explore.searcher import Constraint, Proposal, Searcher, Value
from raynas.space import Architecture, SearchSpace

ANSWER_SECONDS = 10.0
_logger = logging.getLogger(__name__)


def adapt(searcher: Any) -> Searcher:
    """The object as a ``Searcher``: itself if it is one, else in an ``NniTuner``.

    Raises:
        SearcherError: it lacks a method that a tuner must have.
    """
    return searcher if isinstance(searcher, Searcher) else NniTuner(searcher)


class NniTuner(Searcher):
    """A tuner written for NNI, or any object that promises no more than its methods, called the way NNI calls it.

    The tuner has ``update_search_space``, ``generate_parameters`` and ``receive_trial_result``, perhaps
    ``generate_multiple_parameters``, ``trial_end`` and ``import_data``, and of ours ``set_constraint``, ``state_dict`` and
    ``load_state_dict`` where it likes. It is used as it is:

    - It is handed fresh plain dicts and lists (``to_dict``), and what it answers is copied: neither side sees the other
      change anything. Arguments are given by position, since their names vary; NNI's keywords (``st_callback``,
      ``customized``, ``trial_job_id``) where a method takes them. numpy's numbers are read like Python's.
    - ``NoMoreTrialError``, known by its name, and a list that is too short mean: wait while trials run, done when none
      does. As in NNI, it is asked again once a trial has ended.
    - Who keeps ``st_callback`` may call it later, from any thread; the first answer to an id counts. With nothing running,
      one is waited for, ``answer_seconds`` at most.
    - NNI knows no conditions: what an answer holds for keys that are not active is left out, and given back to the tuner
      with the result.
    - An answer that does not fit the space raises ``InvalidProposalError``; ``trial_end`` then says that its trial failed.
    - A result of what it did not propose, as in a run that is resumed, goes to its ``import_data``.

    A larger value is better, whatever the mode of the search: make the tuner with ``optimize_mode="maximize"``.

    Args:
        tuner: the object.
        answer_seconds: how long an answer through the callback is waited for when nothing runs.

    Attributes:
        tuner: the object.
        name: of its class.

    Raises:
        SearcherError: it lacks a method that a tuner must have.

    Example:
        >>> from raynas import SearchSpace
        >>> class Widest:
        ...     def update_search_space(self, search_space):
        ...         self.widths = search_space["width"]["_value"]
        ...     def generate_parameters(self, parameter_id, **kwargs):
        ...         return {"width": max(self.widths)}
        ...     def receive_trial_result(self, parameter_id, parameters, value, **kwargs): ...
        >>> searcher = adapt(Widest())
        >>> searcher.update_search_space(SearchSpace({"width": {"_type": "choice", "_value": [16, 24, 32]}}))
        >>> searcher.generate_parameters(0)
        Architecture(width=32)
    """

    def __init__(self, tuner: Any, answer_seconds: float = ANSWER_SECONDS) -> None:
        super().__init__()
        self.tuner, self.answer_seconds, self.name = tuner, answer_seconds, type(tuner).__name__
        for method in ("update_search_space", "generate_parameters", "receive_trial_result"):
            if not callable(getattr(tuner, method, None)):
                raise SearcherError(f"{self.name} is no searcher: it has no method {method}")
        self.multi_objective = getattr(tuner, "multi_objective", True)  # type: ignore[misc]  # the tuner's, not the class's
        self._flat: SearchSpace | None = None  # the space without its conditions; None where it has none
        self._running: dict[int, _Answer] = {}  # by the ids of trials
        self._next_id = 0  # for the tuner: it knows trials by these, which are theirs unless it left one unanswered
        self._open: list[int] = []  # ids that it was asked for and whose answer was not taken
        self._answers: dict[int, _Answer] = {}
        self._changed = True  # something ended, or was imported, since it was last asked
        self._has_none = False  # when it was last asked it had nothing
        self._warned = False
        self._answered = threading.Condition()  # guards _open and _answers; never held while the tuner is called
        self._callbacks: weakref.WeakSet[_Callback] = weakref.WeakSet()  # those that somebody keeps

    def update_search_space(self, search_space: SearchSpace) -> None:
        super().update_search_space(search_space)
        if any(domain.when for domain in search_space.values()):
            fields = ("_type", "_value")
            self._flat = SearchSpace({key: {name: domain[name] for name in fields} for key, domain in search_space.items()})
        self.tuner.update_search_space(search_space.to_dict())

    def set_constraint(self, allowed: Constraint) -> None:
        super().set_constraint(allowed)
        if hasattr(self.tuner, "set_constraint"):
            self.tuner.set_constraint(lambda parameters: allowed(self._read(_plain(parameters))))

    # --- proposals -------------------------------------------------------------------------------------------------

    def generate_parameters(self, parameter_id: int) -> Architecture | Proposal | None:
        if not self._answers and (self._changed or not self._open or not self._running):
            self._ask(parameter_id)
        if not self._answers and not self._running:
            self._await_answer()
        answer = self._take(parameter_id)
        if answer is None:
            if self._has_none and not self._running:
                raise NoMoreTrials(f"{self.name} has nothing more to propose")
            return None
        if answer.architecture is None:
            raise InvalidProposalError(f"searcher {self.name}, proposal {parameter_id}: {answer.error}")
        return answer.architecture if answer.budget is None else Proposal(answer.architecture, answer.budget)

    def _ask(self, parameter_id: int) -> None:
        callback = _Callback(self._answer)
        self._callbacks.add(callback)
        tuner_id, self._changed, self._has_none = self._id_to_ask(parameter_id), False, False
        several = hasattr(self.tuner, "generate_multiple_parameters")
        method = self.tuner.generate_multiple_parameters if several else self.tuner.generate_parameters
        keywords = _taken(method, {"st_callback": callback})
        try:
            answers = list(method([tuner_id], **keywords)) if several else [method(tuner_id, **keywords)]
        except Exception as error:
            if not any(kind.__name__ == "NoMoreTrialError" for kind in type(error).__mro__):
                raise
            answers, error.__traceback__ = [], None  # its frames would keep the callback where they hold the error too
        self._has_none = not answers
        if answers and answers[0] is not None:
            self._answer(tuner_id, answers[0])

    def _id_to_ask(self, parameter_id: int) -> int:
        """The id that the tuner left open, unless it may still be answered; else a new one."""
        with self._answered:
            if self._open and len(self._callbacks) == 1:  # the one that is about to be handed out
                return self._open[0]
            tuner_id = max(parameter_id, self._next_id)
            self._open.append(tuner_id)
            self._next_id = tuner_id + 1
        return tuner_id

    def _answer(self, parameter_id: int, parameters: Any) -> None:
        """The tuner answers, from any thread."""
        budget = parameters.budget if isinstance(parameters, Proposal) else None
        plain = _plain(parameters.architecture if isinstance(parameters, Proposal) else parameters)
        with self._answered:
            if parameter_id in self._open and parameter_id not in self._answers:
                self._answers[parameter_id] = self._make_answer(int(parameter_id), plain, budget)
                self._answered.notify_all()
            else:
                _logger.warning("searcher %s answered id %s, which is not open: ignored", self.name, parameter_id)

    def _make_answer(self, tuner_id: int, parameters: Any, budget: float | None) -> _Answer:
        try:
            return _Answer(tuner_id, parameters, budget, self._read(parameters))
        except ArchitectureError as error:
            return _Answer(tuner_id, parameters, budget, None, str(error))

    def _read(self, parameters: Any) -> Architecture:
        if self._flat is None or not isinstance(parameters, Mapping) or len(parameters) < len(self._flat):
            return self.space.validate(parameters)
        choices = self._flat.validate(parameters).indices
        return Architecture.trusted(self.space, {key: at for key, at in choices.items() if self.space.is_active(key, choices)})

    def _await_answer(self) -> None:
        end = time.monotonic() + self.answer_seconds
        with self._answered:
            while self._callbacks and not self._answers and (left := end - time.monotonic()) > 0:
                self._answered.wait(min(left, 0.05))  # a thread that ends and so drops the callback notifies nobody

    def _take(self, parameter_id: int) -> _Answer | None:
        """The answer to this id, else the earliest; it runs from now on."""
        with self._answered:
            if not self._answers:
                return None
            number = parameter_id if parameter_id in self._answers else next(iter(self._answers))
            self._open.remove(number)
            self._running[parameter_id] = self._answers.pop(number)
        return self._running[parameter_id]

    # --- results ---------------------------------------------------------------------------------------------------

    def receive_trial_result(self, parameter_id: int, parameters: Architecture, value: Value) -> None:
        super().receive_trial_result(parameter_id, parameters, value)
        architecture = self.space.validate(parameters)
        answer = self._running.get(parameter_id)
        if answer is None or answer.architecture != architecture:
            self.trial_end(parameter_id, False)  # whatever it proposed under this id was not run
            self.import_data([{"parameter": architecture.to_dict(), "value": value}])
            return
        told = architecture.to_dict()
        if len(answer.parameters) > len(told):
            told |= copy.deepcopy({key: answer.parameters[key] for key in answer.parameters if key not in told})
        method = self.tuner.receive_trial_result
        keywords = _taken(method, {"customized": False, "trial_job_id": str(parameter_id)})
        number = {name: float(each) for name, each in value.items()} if isinstance(value, Mapping) else float(value)
        method(answer.tuner_id, told, number, **keywords)

    def trial_end(self, parameter_id: int, success: bool) -> None:
        answer = self._running.pop(parameter_id, None)
        if answer is None:
            return
        self._changed = True
        if hasattr(self.tuner, "trial_end"):
            method = self.tuner.trial_end
            method(answer.tuner_id, success, **_taken(method, {"trial_job_id": str(parameter_id)}))

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        self._changed = True
        if hasattr(self.tuner, "import_data"):
            known = [self.space.validate(entry["parameter"]).to_dict() for entry in data]
            self.tuner.import_data([{**_plain(entry), "parameter": known[i]} for i, entry in enumerate(data)])
        elif not self._warned:
            self._warned = True
            _logger.warning("searcher %s has no import_data: it does not learn what others proposed", self.name)

    # --- its state -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any] | None:
        state = self.tuner.state_dict() if hasattr(self.tuner, "state_dict") else None
        if state is None:
            return None
        with self._answered:
            return {
                "tuner": copy.deepcopy(state),
                "next_id": self._next_id,
                "open": list(self._open),
                "answers": [answer.state() for answer in self._answers.values()],
                "running": {str(number): answer.state() for number, answer in self._running.items()},
                "changed": self._changed,
                "has_none": self._has_none,
            }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.tuner.load_state_dict(copy.deepcopy(state["tuner"]))
        self._next_id, self._open = state["next_id"], list(state["open"])
        self._answers = {entry[0]: self._make_answer(*copy.deepcopy(entry)) for entry in state["answers"]}
        self._running = {int(key): self._make_answer(*copy.deepcopy(entry)) for key, entry in state["running"].items()}
        self._changed, self._has_none = state["changed"], state["has_none"]


@dataclass
class _Answer:
    """What the tuner answered to an id of its own, as plain dicts and lists; no architecture if it is invalid."""

    tuner_id: int
    parameters: Any
    budget: float | None
    architecture: Architecture | None
    error: str = ""

    def state(self) -> list[Any]:
        return [self.tuner_id, copy.deepcopy(self.parameters), self.budget]


@dataclass(eq=False)
class _Callback:
    """What a tuner is handed as ``st_callback``: an object of its own, which lives while anybody keeps it."""

    answer: Callable[[int, Any], None]

    def __call__(self, parameter_id: int, parameters: Any) -> None:
        self.answer(parameter_id, parameters)


def _taken(method: Callable[..., Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """Those of the keywords that the method takes."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # written in C
        return {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return keywords
    named = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    return {name: value for name, value in keywords.items() if name in named}


def _plain(value: Any) -> Any:
    """A copy in plain dicts, lists and Python's own numbers."""
    if isinstance(value, Architecture):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value  # numpy's and torch's numbers and arrays
