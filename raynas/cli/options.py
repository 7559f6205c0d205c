"""Options that several commands have, and how their texts are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., None]


def read_workers(value: Any) -> int | tuple[int, int]:
    """``4``, or ``2,8`` for as many as there is room for."""
    parts = str(value).split(",")
    if len(parts) > 2 or not all(part.strip().isdigit() for part in parts):
        raise click.BadParameter(f"{value!r} is neither a number nor MIN,MAX")
    numbers = [int(part) for part in parts]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else numbers[0]


def read_resources(value: Any) -> dict[str, float]:
    """``{"cpu": 1, "gpu": 0.25}``"""
    try:
        resources = json.loads(value)
    except ValueError:
        resources = None
    if not isinstance(resources, dict):
        raise click.BadParameter(f'{value!r} is no JSON object such as \'{{"cpu": 1, "gpu": 0.25}}\'')
    return resources


def several(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


plan_options = several(
    click.option("--seed", type=int, help="Of everything."),
    click.option("--method", help="How the supernet is trained: spos, darts, enas, ..."),
    click.option(
        "--num-workers", type=read_workers, metavar="N or MIN,MAX", help="Processes that train the supernet; 0: this one."
    ),
    click.option("--use-gpu/--no-gpu", default=None, help="One GPU for each worker and, unless told otherwise, each trial."),
    click.option("--supernet-epochs", type=int, help="Passes over the training data."),
    click.option("--searcher", help="One of raynas searchers."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "local", "tune", "pool"]),
        help="What runs the trials: this process, Ray Tune, warm evaluators; auto: evaluators for inherited weights.",
    ),
    click.option("--num-trials", type=int, help="How many architectures are evaluated."),
    click.option("--max-concurrent", type=int, help="How many at once."),
    click.option(
        "--resources-per-trial", type=read_resources, metavar="JSON", help="What a trial holds, '{\"gpu\": 0.25}' for example."
    ),
    click.option("--max-flops", type=float, help="Limit on one forward pass of one sample."),
    click.option("--max-params", type=float, help="Limit on the parameters."),
    click.option("--retrain-epochs", type=int, help="Passes over the training data for the final model."),
    click.option("--num-random", type=int, help="Random architectures retrained beside the best."),
    click.option("--wait", type=float, help="Seconds that training waits for room for its workers."),
    click.option("--object-store-memory", type=int, help="Bytes of the object store of a Ray started here."),
)

place_options = several(
    click.option(
        "--storage", default="runs", show_default=True, help="The folder of run folders, or its URI, s3://bucket/runs."
    ),
    click.option("--name", help="Of the run folder; the file's name and a number if it is left out."),
)

cluster_options = several(
    click.option(
        "--address",
        help="Of a Ray cluster: auto on one of its machines, or HOST:PORT; http://HOST:8265 submits a job and follows it. "
        "Left out: RAY_ADDRESS, else a Ray that is started here.",
    ),
    click.option("--allow-local", is_flag=True, help="Let the run folder be on this machine alone."),
)

dashboard_option = click.option(
    "--address", required=True, envvar="RAY_API_SERVER_ADDRESS", help="Of the cluster's dashboard, http://HOST:8265."
)

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else on standard output."
)

run_options = several(click.argument("file"), plan_options, place_options, cluster_options, json_option)


def given(options: dict[str, Any]) -> list[str]:
    """The command line that says these options again."""
    words: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if name == "use_gpu" and value is not None:
            words.append("--use-gpu" if value else "--no-gpu")
        elif isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, tuple):
            words += [flag, ",".join(map(str, value))]
        elif isinstance(value, dict):
            words += [flag, json.dumps(value)]
        elif value is not None:
            words += [flag, str(value)]
    return words
