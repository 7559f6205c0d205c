"""Commands that show something: ``report``, ``space``, ``searchers``, ``completion``."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class

import raynas
from raynas.cli.display import TerminalDisplay, result_rows
from raynas.cli.options import json_option


@click.command()
@click.argument("run_folder", metavar="RUN")
@json_option
def report(run_folder: str, as_json: bool) -> None:
    """Write a run's report.html anew and print its figures.

    \b
    Example:
      raynas report runs/digits-001
    """
    folder = raynas.RunFolder.open(run_folder)
    folder.keep(raynas.write_report(folder.path))
    page, figures = f"{folder.shown}/report.html", folder.read_result()
    if as_json:
        click.echo(json.dumps(figures | {"report": page}, indent=1, ensure_ascii=False))
        return
    for name, value in result_rows(figures):
        click.echo(f"{name:<32}{value}")
    click.echo(f"{'report':<32}{page}")


@click.command()
@click.argument("file", metavar="FILE[:NAME]")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the space as JSON.")
@click.option("--input-shape", help="Of one batch, 1,3,32,32 for example; shows what comes out of each choice.")
@json_option
def space(file: str, output: str | None, input_shape: str | None, as_json: bool) -> None:
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
    elif sample is not None and not as_json:
        shapes = raynas.output_shapes(model, sample)
    if as_json:
        click.echo(found.to_json())
    else:
        with TerminalDisplay() as display:
            display.space(found, shapes)
    if output is not None:
        found.save(output)


@click.command()
@json_option
def searchers(as_json: bool) -> None:
    """List the searchers that are installed.

    \b
    Example:
      raynas searchers
    """
    names = list(raynas.searchers())
    click.echo(json.dumps(names) if as_json else "\n".join(names))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete raynas's commands and options.

    \b
    Example:
      eval "$(raynas completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "raynas", "_RAYNAS_COMPLETE").source())


def read_shape(text: str) -> tuple[int, ...]:
    """``1,3,32,32`` as numbers."""
    sizes = text.split(",")
    if not all(size.strip().isdigit() for size in sizes):
        raise click.BadParameter(f"{text!r} is no shape; expected numbers such as 1,3,32,32", param_hint="--input-shape")
    return tuple(map(int, sizes))
