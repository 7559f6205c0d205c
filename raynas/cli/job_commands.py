"""Commands for clusters: ``submit``, ``logs``, ``stop``, ``download``, ``doctor``, and ``pack``, which a job runs."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

import raynas
from raynas.cli.options import dashboard_option, given, json_option, place_options, plan_options

EXIT_PROBLEMS = 1


@click.command()
@click.argument("file")
@plan_options
@place_options
@click.option("--allow-local", is_flag=True, help="Let the run folder be on the head alone.")
@click.option("--follow", "follows", is_flag=True, help="Print what the run prints until it ends.")
@dashboard_option
@json_option
def submit(
    file: str, storage: str, name: str | None, allow_local: bool, follows: bool, address: str, as_json: bool, **plan: Any
) -> None:
    """Have a cluster do everything, as a Ray job that goes on when this machine has gone.

    \b
    Example:
      raynas submit task.py --address http://10.0.0.1:8265 --storage /mnt/runs --follow
    """
    options = given(plan | {"allow_local": allow_local})
    job = raynas.submit(file, address=address, storage_path=storage, name=name, options=options)
    if as_json:
        click.echo(json.dumps({"name": job, "address": address}))
    if follows:
        follow(job, address)
    elif not as_json:
        click.echo(f"submitted {job}; see what it does with: raynas logs {job} --address {address} --follow")


@click.command()
@click.argument("name")
@click.option("--follow", "follows", is_flag=True, help="Go on until it ends.")
@dashboard_option
def logs(name: str, follows: bool, address: str) -> None:
    """Print what a run that was submitted has printed.

    \b
    Example:
      raynas logs task-001 --address http://10.0.0.1:8265 --follow
    """
    if follows:
        follow(name, address)
        return
    for text in raynas.logs(name, address=address):
        click.echo(text, nl=False)


@click.command()
@click.argument("name")
@click.option(
    "--address",
    required=True,
    envvar="RAY_API_SERVER_ADDRESS",
    help="http://HOST:8265 for a job; auto or HOST:PORT for a registry.",
)
@json_option
def stop(name: str, address: str, as_json: bool) -> None:
    """End a run that was submitted; or a weight registry that was made with detached=True.

    \b
    Example:
      raynas stop task-001 --address http://10.0.0.1:8265
    """
    stopped = raynas.stop(name, address=address)
    if as_json:
        click.echo(json.dumps({"name": name, "stopped": stopped}))
        return
    click.echo(f"{name} {'is stopped' if stopped else 'was not running'}")


@click.command()
@click.argument("run_folder", metavar="RUN")
@click.option("-o", "--output", type=click.Path(), help="The folder to make; runs/ and its name if left out.")
@click.option("--all", "everything", is_flag=True, help="With the supernet's weights and its checkpoints.")
@dashboard_option
@json_option
def download(run_folder: str, output: str | None, everything: bool, address: str, as_json: bool) -> None:
    """Fetch a run folder from a cluster.

    \b
    Example:
      raynas download /mnt/runs/task-001 --address http://10.0.0.1:8265
    """
    target = raynas.download(run_folder, address=address, target=output, everything=everything)
    click.echo(json.dumps({"run_folder": str(target)}) if as_json else f"{target}")


@click.command(hidden=True)
@click.argument("run_folder", metavar="RUN")
@click.option("--all", "everything", is_flag=True)
def pack(run_folder: str, everything: bool) -> None:
    """Print a run folder as lines that raynas download reads.

    \b
    Example:
      raynas pack /mnt/runs/task-001
    """
    for line in raynas.pack_run(run_folder, everything=everything):
        click.echo(line)


@click.command()
@click.argument("file", required=False)
@click.option("--storage", help="The folder of run folders, or its URI: whether every machine can write there.")
@click.option("--address", help="Of the cluster, auto or HOST:PORT; left out: RAY_ADDRESS, else a Ray that is started here.")
@json_option
def doctor(file: str | None, storage: str | None, address: str | None, as_json: bool) -> None:
    """Look for what is wrong with a cluster; FILE says how large the weights are. Exit code 1 where something is.

    \b
    Example:
      raynas doctor examples/digits.py --address auto --storage /mnt/runs
    """
    findings = raynas.doctor(address, file=file, storage=storage)
    if as_json:
        listed = [{"check": each.check, "where": each.where, "found": each.found, "advice": each.advice} for each in findings]
        click.echo(json.dumps(listed, indent=1))
    else:
        for each in findings:
            click.echo(f"{'ok  ' if each.passed else 'FAIL'}  {each.check:<13} {each.where}: {each.found}")
            if each.advice:
                click.echo(f"      {each.advice}")
    if not all(each.passed for each in findings):
        sys.exit(EXIT_PROBLEMS)


def follow(name: str, address: str) -> None:
    """Print what a job prints until it ends; exits with 1 if it fails. Ctrl-C leaves it running."""
    try:
        for text in raynas.logs(name, address=address, follow=True):
            click.echo(text, nl=False)
    except KeyboardInterrupt:
        click.echo(f"\n{name} goes on; raynas logs {name} --address {address} --follow", err=True)
        raise
    status = raynas.job_status(name, address=address)
    if status != "SUCCEEDED":
        click.echo(f"raynas: the job {name} has ended as {status}", err=True)
        sys.exit(EXIT_PROBLEMS)
