"""``SearchFiles``: what a search leaves in its run folder, written while it runs and at its end."""

from __future__ import annotations

import time
from typing import Any

from raynas.api.run_folder import RunFolder, write_json
from raynas.api.search_result import front_hypervolume
from raynas.explore import SearchSession, SearchState, write_trials

WRITE_EVERY = 5.0  # seconds
MAX_SHARE = 0.02  # of the time of a search that goes into writing its tables anew


class SearchFiles:
    """Keeps ``trials.parquet``, ``best.json`` and ``result.json`` up to date.

    Readers see whole files: each is written beside and renamed.

    Args:
        folder: the run folder.
        facts: what is known of the search from the beginning, for ``result.json``.
    """

    def __init__(self, folder: RunFolder, facts: dict[str, Any]) -> None:
        self._folder, self._facts = folder, facts
        self._next = time.monotonic() + WRITE_EVERY

    def __call__(self, session: SearchSession) -> None:
        """Something has happened; the files are written where they are due."""
        if time.monotonic() < self._next:
            return
        start = time.monotonic()
        self.write(session.state)
        took = time.monotonic() - start
        self._next = time.monotonic() + max(WRITE_EVERY, took / MAX_SHARE)

    def write(self, state: SearchState) -> None:
        """Write all of them."""
        write_trials(state.records.values(), self._folder.trials)
        front = state.front()
        if front and len(state.objective.metrics) == 1:
            front[0].architecture.save(self._folder.best)
        elif front:
            entries = [
                {"architecture": record.architecture.to_dict(), "metrics": record.metrics, "trial_id": record.id}
                for record in front
            ]
            write_json({"front": entries}, self._folder.best)
        self._folder.add_result(self._facts | search_figures(state))


def search_figures(state: SearchState) -> dict[str, Any]:
    """What ``result.json`` says of a search."""
    ends = [record.state for record in state.records.values()]
    figures: dict[str, Any] = {
        "num_trials": state.num_spent,
        "num_forbidden": state.num_forbidden,
        "num_invalid": state.num_invalid,
        **{f"num_{end}": ends.count(end) for end in ("completed", "failed", "stopped", "reused", "running")},
    }
    if len(state.objective.metrics) > 1:
        volume, reference = front_hypervolume(state)
        return figures | {"front_size": len(state.front()), "hypervolume": volume, "hypervolume_reference": reference}
    best = state.best()
    if best is not None:
        figures |= {"best_architecture": best.architecture.to_dict(), "best_value": best.metrics[state.objective.metrics[0]]}
    return figures
