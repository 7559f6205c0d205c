"""Calls of ``ray`` and ``raynas`` in a piece of shell, read by their own parsers and not run."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click
from ray.scripts.scripts import cli as ray_cli

from raynas.cli.main import cli as raynas_cli

PROGRAMS: dict[str, click.Command] = {"ray": ray_cli, "raynas": raynas_cli}


def simple_commands(script: str) -> Iterator[list[str]]:
    """Words of each simple command, without redirections and what may come before a command."""
    script = script.replace("\\\n", " ").replace('"$@"', "")
    for name, words_of_array in re.findall(r"^(\w+)=\((.*)\)$", script, flags=re.MULTILINE):
        script = script.replace(f'"${{{name}[@]}}"', words_of_array)
    script = re.sub(r"\$\(\([^)]*\)\)|\$\{[^}]*\}|\$\w+", "1", script)
    lexer = shlex.shlex(script.replace("\n", "\n;\n"), posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|()"):
            yield from _without_prefix(words)
            words = []
        elif set(word) <= set("<>&"):
            words = words[:-1] if words and words[-1] in ("1", "2") else words
            redirected = True
            continue
        elif not redirected:
            words.append(word)
        redirected = False


def _without_prefix(words: list[str]) -> Iterator[list[str]]:
    """The command behind keywords, assignments and ``srun``; behind ``--`` of ``ray job submit`` there is another one."""
    while words and (words[0] in ("if", "then", "else", "do", "exec", "srun", "!") or re.match(r"-|\w+=", words[0])):
        words = words[1:]
    if words:
        yield words
    if "--" in words:
        yield from _without_prefix(words[words.index("--") + 1 :])


def parse(words: list[str], *, lenient: bool) -> tuple[str, dict[str, Any]]:
    """Lets click read a command line, without running it; ``lenient`` allows that arguments are left out, as in prose."""
    name, command, rest = words[0], PROGRAMS[words[0]], words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0]) if rest else None
        if found is None:
            raise click.UsageError(f"{name} has no command {' '.join(rest[:1])!r}")
        name, command, rest = f"{name} {rest[0]}", found, rest[1:]
    try:
        context = command.make_context(name, rest)
    except click.MissingParameter:
        if not lenient:
            raise
        return name, {}
    return name, context.params
