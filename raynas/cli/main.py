"""The command line: each command a thin call of public names."""

from __future__ import annotations

import sys
import traceback

import click

import raynas
from raynas.cli import job_commands, look_commands, run_commands

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130
COMMANDS = (
    run_commands.run,
    run_commands.supernet,
    run_commands.search,
    run_commands.retrain,
    run_commands.resume,
    look_commands.report,
    look_commands.space,
    look_commands.searchers,
    look_commands.completion,
    job_commands.submit,
    job_commands.logs,
    job_commands.stop,
    job_commands.download,
    job_commands.doctor,
    job_commands.pack,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(raynas.__version__, prog_name="raynas")
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
def cli(debug: bool) -> None:
    """Neural architecture search on Ray.

    FILE is a Python file that defines task = raynas.Task(...), and plan = raynas.Plan(...) where the defaults do not do.
    RUN is a run folder, or its URI.

    \b
    Example:
      raynas run examples/digits.py
    """


for _command in COMMANDS:
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the exit code is 0, 1 where ``doctor`` or a job found a problem, 2 for an error that raynas names,
    130 after Ctrl-C."""
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
