"""How a space is explored: the tuner protocol, the session that mediates, the history on disk. No torch, no Ray."""

from raynas.explore.archive import Archive, Known
from raynas.explore.evaluation import BY_VALUE, Evaluate, Outcome, Trial, cause_of, prepare_evaluate, run_trial
from raynas.explore.history import TrialRecord, trials_table, write_trials
from raynas.explore.journal import Journal
from raynas.explore.limits import SearchLimits
from raynas.explore.local_engine import EngineOptions, pass_on, refuse_tunes_own, run_local
from raynas.explore.objective import Objective
from raynas.explore.pareto import crowding_distance, dominates, hypervolume, non_dominated_sort, pareto_front
from raynas.explore.plugins import make_searcher, searchers
from raynas.explore.progress import ProgressLine
from raynas.explore.saved_files import SavedFiles
from raynas.explore.search_state import SearchState
from raynas.explore.searcher import Constraint, Proposal, Searcher
from raynas.explore.session import SearchSession
from raynas.explore.watch import watch

__all__ = [
    "BY_VALUE",
    "Archive",
    "Constraint",
    "EngineOptions",
    "Evaluate",
    "Journal",
    "Known",
    "Objective",
    "Outcome",
    "ProgressLine",
    "Proposal",
    "SavedFiles",
    "SearchLimits",
    "SearchSession",
    "SearchState",
    "Searcher",
    "Trial",
    "TrialRecord",
    "cause_of",
    "crowding_distance",
    "dominates",
    "hypervolume",
    "make_searcher",
    "non_dominated_sort",
    "pareto_front",
    "pass_on",
    "prepare_evaluate",
    "refuse_tunes_own",
    "run_local",
    "run_trial",
    "searchers",
    "trials_table",
    "watch",
    "write_trials",
]
