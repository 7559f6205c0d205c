"""How a session goes on from a journal: the same search, its events once more, the searcher brought to where it was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raynas.errors import InvalidProposalError, RunExistsError
from raynas.explore.journal import Event, Journal
from raynas.space import SearchSpace

if TYPE_CHECKING:
    from raynas.explore.session import SearchSession


def check_same_search(found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Compare the first event of a journal with the one that would be written now.

    Raises:
        RunExistsError: the space, the objective or the searcher is another; the message shows the difference.
    """
    for name in (name for name in asked if name not in ("event", "time")):
        if found.get(name) == asked[name]:
            continue
        if name == "space":
            difference = str(SearchSpace(found[name]).diff(SearchSpace(asked[name])))
        else:
            difference = f"{found.get(name)}; asked for now: {asked[name]}"
        raise RunExistsError(f"the run was made with another {name}: {difference}")


def replay(session: SearchSession, journal: Journal) -> None:
    """Apply the events of a journal to a new session.

    The searcher loads the state that was stored last. Of later events it is asked and told again, and its proposals are
    compared: where one differs it is not deterministic, which is warned of once, and it is told the journal's.
    """
    seen, state = journal.load_state()
    if state is not None:
        session.searcher.load_state(state)
    differs = False
    for number, event in enumerate(journal.events[1:], 1):
        telling = number >= seen
        if telling and not differs and event["event"] in ("proposed", "invalid") and not event.get("initial"):
            differs = not _proposes_again(session, event)
        session.take(event, telling=telling)


def _proposes_again(session: SearchSession, event: Event) -> bool:
    try:
        proposal = session.generate(event["id"])
        again = proposal.architecture.to_row() if proposal else None
    except InvalidProposalError:
        again = None
    if again == event.get("choices"):
        return True
    name = session.searcher.name
    warnings.warn(f"searcher {name} is not deterministic: proposal {event['id']} differs on resuming", stacklevel=2)
    return False
