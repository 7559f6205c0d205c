"""The command line: each command a thin call of public names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

import raynas
from raynas.cli.display import TerminalDisplay, result_rows

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(raynas.__version__, prog_name="raynas")
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
def cli(debug: bool) -> None:
    """Neural architecture search on Ray.

    FILE is a Python file that defines task = raynas.Task(...), and plan = raynas.Plan(...) where the defaults do not do.
    RUN is a run folder.

    \b
    Example:
      raynas run examples/digits.py
    """


def plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that override a file's plan."""
    options = [
        click.option("--storage", default="runs", show_default=True, help="The folder of run folders."),
        click.option("--name", help="Of the run folder; the file's name and a number if it is left out."),
        click.option("--seed", type=int, help="Of everything."),
        click.option("--method", help="How the supernet is trained: spos, darts, enas, ..."),
        click.option("--num-workers", type=int, help="Processes that train the supernet; 0: this one."),
        click.option("--supernet-epochs", type=int, help="Passes over the training data."),
        click.option("--searcher", help="One of raynas searchers."),
        click.option(
            "--engine",
            type=click.Choice(["auto", "local", "tune", "pool"]),
            help="What runs the trials: this process, Ray Tune, warm evaluators; auto: evaluators for inherited weights.",
        ),
        click.option("--num-trials", type=int, help="How many architectures are evaluated."),
        click.option("--max-concurrent", type=int, help="How many at once."),
        click.option("--max-flops", type=float, help="Limit on one forward pass of one sample."),
        click.option("--max-params", type=float, help="Limit on the parameters."),
        click.option("--retrain-epochs", type=int, help="Passes over the training data for the final model."),
        click.option("--num-random", type=int, help="Random architectures retrained beside the best."),
        click.option("--object-store-memory", type=int, help="Bytes of the object store of a Ray started here."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _start(file: str, until: str, storage: str, name: str | None, changes: dict[str, Any]) -> None:
    _, plan = raynas.load_task_file(file)
    with TerminalDisplay() as display:
        run = raynas.start_run(file, display, plan=plan.replace(changes), storage_path=storage, name=name)
        _go(run, display, until)


def _go(run: raynas.Run, display: TerminalDisplay, until: str) -> None:
    folder = run.folder.path
    try:
        figures = run.run(until)
    except KeyboardInterrupt:
        display.console.print(f"\ninterrupted; go on with: raynas resume {folder}", highlight=False, soft_wrap=True)
        raise
    display.result(figures, folder)
    following = f"open {folder / 'report.html'}" if until == "report" else f"raynas resume {folder}"
    display.console.print(f"\nnext: {following}", highlight=False, soft_wrap=True)


@cli.command()
@click.argument("file")
@plan_options
def run(file: str, storage: str, name: str | None, **changes: Any) -> None:
    """Do everything: supernet, search, retraining, report.

    \b
    Example:
      raynas run examples/digits.py --num-trials 100
    """
    _start(file, "report", storage, name, changes)


@cli.command()
@click.argument("file")
@plan_options
def supernet(file: str, storage: str, name: str | None, **changes: Any) -> None:
    """Train the supernet and stop; raynas resume goes on.

    \b
    Example:
      raynas supernet examples/digits.py --num-workers 2
    """
    _start(file, "supernet", storage, name, changes)


@cli.command()
@click.argument("file")
@plan_options
def search(file: str, storage: str, name: str | None, **changes: Any) -> None:
    """Train the supernet, search it and stop; raynas resume goes on.

    \b
    Example:
      raynas search examples/digits.py --searcher random
    """
    _start(file, "search", storage, name, changes)


@cli.command()
@click.argument("file")
@click.argument("architecture", type=click.Path(exists=True, dir_okay=False))
@click.option("--epochs", type=int, help="Passes over the training data; the plan's retrain_epochs if left out.")
@click.option("--num-workers", type=int, default=0, show_default=True, help="Processes; 0: this one.")
@click.option("--seed", type=int, help="Of weights and data order.")
def retrain(file: str, architecture: str, epochs: int | None, num_workers: int, seed: int | None) -> None:
    """Train the architecture of a JSON file from scratch and print its figures.

    \b
    Example:
      raynas retrain examples/digits.py runs/digits-001/best.json --epochs 30
    """
    task, plan = raynas.load_task_file(file)
    space = raynas.generate_search_space(task.model())
    chosen = raynas.Architecture.load(space, architecture)
    with TerminalDisplay() as display:
        display.stage("retrain", architecture)
        retrained = raynas.retrain(
            task,
            chosen,
            num_workers=num_workers,
            epochs=epochs or plan.retrain_epochs,
            seed=plan.seed if seed is None else seed,
            on_progress=display.steps,
        )
    for name, value in retrained.metrics.items():
        click.echo(f"{retrained.split} {name} {value:.4f}")


@cli.command()
@click.argument("run_folder", metavar="RUN")
def resume(run_folder: str) -> None:
    """Go on with a run that was interrupted; what is done is not done again.

    \b
    Example:
      raynas resume runs/digits-001
    """
    with TerminalDisplay() as display:
        _go(raynas.Run(raynas.RunFolder.open(run_folder), display), display, "report")


@cli.command()
@click.argument("run_folder", metavar="RUN")
def report(run_folder: str) -> None:
    """Write a run's report.html anew and print its figures.

    \b
    Example:
      raynas report runs/digits-001
    """
    folder = raynas.RunFolder.open(run_folder)
    page = raynas.write_report(folder.path)
    for name, value in result_rows(folder.read_result()):
        click.echo(f"{name:<32}{value}")
    click.echo(f"{'report':<32}{page}")


@cli.command()
@click.argument("file", metavar="FILE[:NAME]")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the space as JSON.")
@click.option("--input-shape", help="Of one batch, 1,3,32,32 for example; shows what comes out of each choice.")
def space(file: str, output: str | None, input_shape: str | None) -> None:
    """Show the search space of a file's task, or of the model that it defines under NAME.

    \b
    Example:
      raynas space examples/digits.py -o space.json
      raynas space examples/digits.py:Net --input-shape 1,1,8,8
    """
    path, _, name = file.partition(":")
    if name:
        model, sample = raynas.load_model(path, name), None
    else:
        task, _ = raynas.load_task_file(path)
        model, sample = task.model(), task.sample_input()
    found, shapes = raynas.generate_search_space(model), {}
    if input_shape is not None:
        shapes = raynas.output_shapes(model, input_shape=read_shape(input_shape))
    elif sample is not None:
        shapes = raynas.output_shapes(model, sample)
    with TerminalDisplay() as display:
        display.space(found, shapes)
    if output is not None:
        found.save(output)


def read_shape(text: str) -> tuple[int, ...]:
    """``1,3,32,32`` as numbers."""
    sizes = text.split(",")
    if not all(size.strip().isdigit() for size in sizes):
        raise click.BadParameter(f"{text!r} is no shape; expected numbers such as 1,3,32,32", param_hint="--input-shape")
    return tuple(map(int, sizes))


@cli.command()
def searchers() -> None:
    """List the searchers that are installed.

    \b
    Example:
      raynas searchers
    """
    for name in raynas.searchers():
        click.echo(name)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the exit code is 0, 2 for an error that raynas names, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(arguments, prog_name="raynas", standalone_mode=False)
    except (KeyboardInterrupt, click.exceptions.Abort):
        code = EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except raynas.RaynasError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        click.echo(f"raynas: {error}", err=True)
        code = EXIT_ERROR
    finally:
        raynas.disconnect()  # nothing of ours stays behind
    sys.exit(code)
