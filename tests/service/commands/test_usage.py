"""The words of the command line, without a service."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main

import service.client
from service.cli import app
from service.commands.options import DEFAULT_URL
from service.commands.reach import Code
from service.settings import Settings
from tests.service.commands.conftest import ROOT, Refit

HEAVY = {"torch", "numpy", "fastapi", "starlette", "uvicorn", "sqlalchemy", "polars", "matplotlib"}
PAGE = (ROOT / "docs" / "cli.md").read_text()
COMMANDS = [
    *("serve", "train", "predict", "params", "jobs", "versions", "activate", "rollback"),
    *("import", "export", "bench", "health"),
]


def test_everybody_means_the_same_service_unless_told_otherwise() -> None:
    default = Settings.model_fields
    served = f"http://{default['host'].default}:{default['port'].default}"
    assert DEFAULT_URL == service.client.DEFAULT_URL == served


def test_every_command_is_listed_and_has_help(nobody: Refit) -> None:
    listed = nobody.run("--help").stdout
    for name in COMMANDS:
        assert re.search(rf"\b{name}\b", listed)
    assert nobody.run("-h").stdout == listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_words(nobody: Refit, name: str) -> None:
    told = nobody.run(name, "--help", environment={"COLUMNS": "200"}).stdout
    group: Any = typer.main.get_command(app)
    for parameter in group.commands[name].params:
        if not getattr(parameter, "hidden", False):
            assert parameter.help
            assert parameter.help.split(".")[0] in told


def test_every_command_stands_on_the_page() -> None:
    told = {
        command.name or getattr(command.callback, "__name__", "")
        for command in app.registered_commands
    }
    assert told - {"part"} == set(COMMANDS)
    for name in COMMANDS:
        assert f"refit {name}" in PAGE


def test_the_exit_codes_stand_on_the_page() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == set(Code)


def test_the_version_is_that_of_the_package(nobody: Refit) -> None:
    assert nobody.run("--version").stdout == f"refit {version('refit')}\n"


def test_without_a_word_the_commands_are_listed(nobody: Refit) -> None:
    done = nobody.run(code=2)
    assert "rollback" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("train", "--epoch", "3"),
        ("train", "--epochs", "0"),
        ("train", "--loss", "l3"),
        ("train", "--target", "a"),
        ("train", "nowhere.csv"),
        ("train", "nowhere.csv", "--target", "a"),
        ("train", "--spec", "[1]"),
        ("train", "--spec", "{"),
        ("train", "--spec", "@nowhere.json"),
        ("predict",),
        ("predict", "many"),
        ("predict", "1", "--rows", "{}"),
        ("predict", "--rows", "{"),
        ("predict", "--rows", "1"),
        ("predict", "--file", "nowhere.csv"),
        ("predict", "nan"),
        ("jobs", "--cancel"),
        ("jobs", "--follow"),
        ("jobs", "0" * 32, "--follow", "--cancel"),
        ("jobs", "--state", "tired"),
        ("jobs", "a", "b"),
        ("activate",),
        ("activate", "0"),
        ("activate", "two"),
        ("params", "--url", "127.0.0.1:8000"),
        ("bench", "--connections", "0"),
    ],
)
def test_wrong_words_are_told_in_one_line_with_code_2(
    nobody: Refit, words: tuple[str, ...]
) -> None:
    assert nobody.error(*words, code=2)


@pytest.mark.parametrize(
    "words",
    [
        ("train",),
        ("predict", "1"),
        ("params",),
        ("jobs",),
        ("versions",),
        ("rollback",),
        ("bench",),
    ],
)
def test_where_nobody_answers_it_is_told_with_code_3(nobody: Refit, words: tuple[str, ...]) -> None:
    told = nobody.error(*words, code=3)
    assert "http://127.0.0.1:9: the service cannot be reached" in told


def test_a_folder_that_is_not_there_is_not_made_but_for_a_training(
    nobody: Refit, tmp_path: Path
) -> None:
    folder = tmp_path / "nothing"
    assert "there is no folder" in nobody.error("params", "--data-dir", folder, code=3)
    assert not folder.exists()


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], ["params"]])
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    program = f"""
import sys
from service.cli import main
sys.argv = ["refit", *{words}]
try:
    main()
except SystemExit:
    pass
heavy = {HEAVY}
light = "params" in sys.argv or not {{"httpx", "anyio"}} & sys.modules.keys()
print("heavy", sorted(heavy & sys.modules.keys()), light)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"REFIT_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "heavy [] True", done.stderr


def test_completion_is_offered_for_the_shells(nobody: Refit) -> None:
    # Typer looks for the shell among the parents of the process, where tests may have none.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    starts = {"bash": "_refit", "zsh": "#compdef refit", "fish": "complete --command refit"}
    for shell, start in starts.items():
        told = nobody.run("--show-completion", shell, environment=named).stdout
        assert told.startswith(start)
        assert "_REFIT_COMPLETE" in told
