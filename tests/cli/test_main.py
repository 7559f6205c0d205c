from tests.cli.command import Command


def test_every_command_has_help_with_an_example() -> None:
    from click.testing import CliRunner

    from raynas.cli.main import cli

    assert len(cli.commands) >= 15
    for command in cli.commands:
        result = CliRunner().invoke(cli, [command, "--help"])
        assert result.exit_code == 0
        assert f"raynas {command}" in result.output.split("Example:")[1]


def test_debug_shows_the_stack_trace(here: Command) -> None:
    result = here("--debug", "resume", "nowhere")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
