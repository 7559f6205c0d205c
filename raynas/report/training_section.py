"""The section of the page about a supernet's training: its figures, and what the method has come to prefer."""

from __future__ import annotations

import numpy as np

from raynas.errors import OptionError
from raynas.report.plots import MAX_KEYS, to_svg
from raynas.report.probabilities import probabilities_of
from raynas.report.quantities import format_share
from raynas.report.run_files import RunFiles
from raynas.report.template import Html, picture, section, table, tag
from raynas.report.theme import embed
from raynas.report.training_figures import PROBABILITY, TrainingFigures
from raynas.report.training_plot import plot_probabilities, plot_training
from raynas.space import Domain

_TITLE = "Training of the supernet"


def training_section(run: RunFiles) -> Html | None:
    """What ``supernet.jsonl`` says; ``None`` if there is none."""
    figures = run.training
    if figures is None:
        return None
    try:
        svg = Html(embed(to_svg(plot_training(figures)), "training"))
    except OptionError as cause:
        return section(_TITLE, tag("p", f"Nothing to draw: {cause}.", cls="absent"))
    learns = any(name.startswith(PROBABILITY) for name in figures.names)
    caption = "Figures as training went on; the numbers at the right are the last ones"
    look = (
        "look for an entropy that falls, as the method makes up its mind, and for validation that still gets better meanwhile"
        if learns
        else "look for a loss that still falls at the end: more epochs would help"
    )
    shown = [picture(svg, _TITLE, f"{caption}: {look}.")]
    return section(_TITLE, *shown, *(_learnt(run, figures) if learns else ()))


def _learnt(run: RunFiles, figures: TrainingFigures) -> list[Html]:
    """The picture of the probabilities, and the table of what they came to; nothing if the names are of another space."""
    try:
        svg = Html(embed(to_svg(plot_probabilities(run.space, figures, learnt=run.learnt, max_keys=MAX_KEYS)), "learnt"))
    except OptionError:
        return []
    bold = " and in bold if it is in the architecture that was learnt" if run.learnt is not None else ""
    caption = (
        f"Each row is a candidate as training went on, stronger where the method held it more likely{bold}: "
        "look for rows that fill up, which are decided, and for keys that stay mixed, where the choice says little."
    )
    if len(run.space) > MAX_KEYS:
        caption = f"The first {MAX_KEYS} of {len(run.space):,} keys. {caption}"
    rows = [row for domain in run.space.values() if (row := _row(run, domain, figures)) is not None]
    head = ("Key", "Chosen" if run.learnt is not None else "Likeliest so far", "Probability at the end", "Next likeliest")
    return [picture(svg, "What the method has learnt", caption), table(head, rows, cls="learnt")]


def _row(run: RunFiles, domain: Domain, figures: TrainingFigures) -> tuple[str, str, str, str] | None:
    known = probabilities_of(domain, figures)
    if known is None:
        return None
    last, names = known[-1], domain.labels
    order = np.argsort(-np.nan_to_num(last), kind="stable").tolist()
    if run.learnt is None:
        chosen = tuple(order[: domain.n_chosen or 1]) if np.isfinite(last).any() else None
    else:
        chosen = run.learnt.indices.get(domain.key)
    if chosen is None:
        return domain.key, "not active", "", ""
    rest = [index for index in order if index not in chosen and np.isfinite(last[index])][:1]
    shares = [format_share(float(last[index])) for index in chosen if np.isfinite(last[index])]
    runner_up = ", ".join(f"{names[index]} {format_share(float(last[index]))}" for index in rest)
    return domain.key, ", ".join(names[index] for index in chosen) or "none", ", ".join(shares), runner_up
