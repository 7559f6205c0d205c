"""Commands that run something: ``run``, ``supernet``, ``search``, ``retrain``, ``resume``."""

from __future__ import annotations

import json
from typing import Any

import click

import raynas
from raynas.cli.display import TerminalDisplay, to_stderr
from raynas.cli.job_commands import follow
from raynas.cli.options import cluster_options, given, json_option, run_options


@click.command()
@run_options
def run(file: str, **options: Any) -> None:
    """Do everything: supernet, search, retraining, report.

    \b
    Example:
      raynas run examples/digits.py --num-trials 100
    """
    _start(file, "report", **options)


@click.command()
@run_options
def supernet(file: str, **options: Any) -> None:
    """Train the supernet and stop; raynas resume goes on.

    \b
    Example:
      raynas supernet examples/digits.py --num-workers 2
    """
    _start(file, "supernet", **options)


@click.command()
@run_options
def search(file: str, **options: Any) -> None:
    """Train the supernet, search it and stop; raynas resume goes on.

    \b
    Example:
      raynas search examples/digits.py --searcher random
    """
    _start(file, "search", **options)


@click.command()
@click.argument("run_folder", metavar="RUN")
@cluster_options
@json_option
def resume(run_folder: str, address: str | None, allow_local: bool, as_json: bool) -> None:
    """Go on with a run that was interrupted; what is done is not done again.

    \b
    Example:
      raynas resume runs/digits-001
    """
    if address is not None and raynas.is_dashboard(address):
        follow(raynas.submit_resume(run_folder, address=address, options=given({"allow_local": allow_local})), address)
        return
    if address is not None:
        raynas.connect(address)
    with TerminalDisplay(to_stderr() if as_json else None) as display:
        folder = raynas.RunFolder.open(run_folder)
        _go(raynas.Run(folder, display, allow_local=allow_local), display, "report", as_json=as_json)


@click.command()
@click.argument("file")
@click.argument("architecture", type=click.Path(exists=True, dir_okay=False))
@click.option("--epochs", type=int, help="Passes over the training data; the plan's retrain_epochs if left out.")
@click.option("--num-workers", type=int, default=0, show_default=True, help="Processes; 0: this one.")
@click.option("--seed", type=int, help="Of weights and data order.")
@json_option
def retrain(file: str, architecture: str, epochs: int | None, num_workers: int, seed: int | None, as_json: bool) -> None:
    """Train the architecture of a JSON file from scratch and print its figures.

    \b
    Example:
      raynas retrain examples/digits.py runs/digits-001/best.json --epochs 30
    """
    task, plan = raynas.load_task_file(file)
    space = raynas.generate_search_space(task.model())
    chosen = raynas.Architecture.load(space, architecture)
    with TerminalDisplay(to_stderr() if as_json else None) as display:
        display.stage("retrain", architecture)
        retrained = raynas.retrain(
            task,
            chosen,
            num_workers=num_workers,
            epochs=epochs or plan.retrain_epochs,
            seed=plan.seed if seed is None else seed,
            on_progress=display.steps,
        )
    if as_json:
        click.echo(json.dumps({"split": retrained.split, "metrics": retrained.metrics}, indent=1))
        return
    for name, value in retrained.metrics.items():
        click.echo(f"{retrained.split} {name} {value:.4f}")


def _start(
    file: str, until: str, *, storage: str, name: str | None, address: str | None, allow_local: bool, as_json: bool, **plan: Any
) -> None:
    if address is not None and raynas.is_dashboard(address):
        if until != "report":
            raise click.UsageError("a job does everything: take raynas run, or --address of Ray itself on one of its machines")
        options = given(plan | {"allow_local": allow_local})
        follow(raynas.submit(file, address=address, storage_path=storage, name=name, options=options), address)
        return
    planned = raynas.load_task_file(file)[1].replace(plan)
    if address is not None:
        raynas.connect(address)
    with TerminalDisplay(to_stderr() if as_json else None) as display:
        run = raynas.start_run(file, display, plan=planned, storage_path=storage, name=name, allow_local=allow_local)
        _go(run, display, until, as_json=as_json)


def _go(run: raynas.Run, display: TerminalDisplay, until: str, *, as_json: bool) -> None:
    folder = run.folder.shown
    try:
        figures = run.run(until)
    except KeyboardInterrupt:
        display.console.print(f"\ninterrupted; go on with: raynas resume {folder}", highlight=False, soft_wrap=True)
        raise
    if as_json:
        click.echo(json.dumps(figures | {"run_folder": folder}, indent=1, ensure_ascii=False))
        return
    display.result(figures, folder)
    following = f"open {folder}/report.html" if until == "report" else f"raynas resume {folder}"
    display.console.print(f"\nnext: {following}", highlight=False, soft_wrap=True)
