"""Follow a page as its reader does: one Python prompt and one shell, in one folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.docs.pages import ROOT, assert_same
from tests.e2e.running import running

SECONDS = 300
"""Longest time one command may take: `refit export` needs 13 s of a core, and may share it."""

_PROMPT = """
import ast, code, contextlib, io, json, sys
answers, console, values = sys.stdout, code.InteractiveConsole(), [None]
sys.displayhook = values.append
for line in sys.stdin:
    said, block = io.StringIO(), json.loads(line)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        # Line by line, as a paste arrives; an empty one ends what is indented.
        if [console.push(line) for line in [*block.splitlines(), ""]][-1]:
            print("unfinished")
            console.resetbuffer()
        # As in a notebook: the value of the last line is shown.
        elif isinstance(ast.parse(block).body[-1], ast.Expr) and values[-1] is not None:
            print(repr(values[-1]))
    print(json.dumps(said.getvalue()), file=answers, flush=True)
"""
_SHELL = f"""
curl() {{ command curl -sS --max-time {SECONDS} "$@"; }}
python() {{ timeout {SECONDS} "{sys.executable}" "$@" < /dev/null; }}
refit() {{ python -m service "$@"; }}
"""
_END = "\x04"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


@dataclass(frozen=True)
class Step:
    """Something to type, at which prompt, and what the page shows as its answer."""

    language: str
    typed: str
    told: str


def blocks(page: str) -> list[Block]:
    """Every fenced block, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found]


def steps(page: str) -> list[Step]:
    """What a reader types, in order: blocks of Python with the `text` below, and `$ ` commands."""
    found = []
    listed = [*blocks(page), Block("", "")]
    for block, after in pairwise(listed):
        if block.language == "python":
            told = after.text.strip() if after.language == "text" else ""
            found.append(Step("python", block.text, told))
        elif block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                typed, _, told = part.partition("\n")
                found.append(Step("console", typed, told.strip()))
    return found


class Reader:
    """Types what a page says, in ``folder``, with the service at ``url``."""

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REFIT_")
        }
        environment |= {
            "REFIT_URL": url,
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "100",
        }
        prompt = [sys.executable, "-W", "error", "-c", _PROMPT]
        self._prompt = self._start(folder, environment, prompt)
        self._shell = self._start(folder, environment, ["bash"])
        self._ask(self._shell, _SHELL)

    def follow(self, step: Step) -> None:
        """Type a step; what it prints must be what the page says."""
        typed = step.typed.replace("http://localhost:8000", self._url)
        if step.language == "python":
            assert_text(step.told, self._paste(typed), step.typed)
            return
        seen = self._ask(self._shell, typed)
        if step.told.startswith("{"):
            assert_same(json.loads(step.told), json.loads(seen), step.typed)
        else:
            assert_text(_untabled(step.told), _untabled(seen), step.typed)

    def close(self) -> None:
        """End both prompts."""
        for process in (self._prompt, self._shell):
            process.kill()
            process.communicate()

    def _start(
        self, folder: Path, environment: dict[str, str], command: list[str]
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _paste(self, block: str) -> str:
        assert self._prompt.stdin is not None
        assert self._prompt.stdout is not None
        self._prompt.stdin.write(json.dumps(block) + "\n")
        self._prompt.stdin.flush()
        answer = self._prompt.stdout.readline()
        assert answer, f"the prompt ended at: {block}"
        return str(json.loads(answer))

    @staticmethod
    def _ask(shell: subprocess.Popen[str], command: str) -> str:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f"{command}\nprintf '{_END}%s\\n' $?\n")
        shell.stdin.flush()
        said = ""
        while _END not in said:
            line = shell.stdout.readline()
            assert line, f"the shell ended at: {command}"
            said += line
        seen, _, code = said.partition(_END)
        assert code == "0\n", f"{command}\nended with {code}{seen}"
        return seen


@contextmanager
def reading(folder: Path, url: str) -> Iterator[Reader]:
    """A reader, who is gone afterwards whatever happens."""
    reader = Reader(folder, url)
    try:
        yield reader
    finally:
        reader.close()


def follow(page: str, folder: Path) -> Path:
    """Type every step of a page, with a service of its own; where its reader then stands.

    Raises:
        AssertionError: a step prints something else than is shown.
    """
    repository = folder / "repository"
    repository.mkdir()
    (repository / "docs").symlink_to(ROOT / "docs")
    with running(folder / "data") as service, reading(repository, service.url) as reader:
        for step in steps(page):
            reader.follow(step)
    return repository


_DECIMAL = r"-?\d+\.\d+(?:e[-+]?\d+)?"
_WHOLE = r"\d+"


def assert_text(told: str, seen: str, where: str) -> None:
    """``told`` is what the page says: "…" stands for anything, numbers for their first digits."""
    tokens = re.split(rf"({_DECIMAL}|{_WHOLE}|…)", told)
    found = re.fullmatch("".join(map(_pattern, tokens)), seen.strip(), re.DOTALL)
    difference = f"{where}\nshould print\n{told}\nbut printed\n{seen}"
    assert found is not None, difference
    numbers = [token for token in tokens if re.fullmatch(f"{_DECIMAL}|{_WHOLE}", token)]
    for one, other in zip(numbers, found.groups(), strict=True):
        # Whole numbers are counted. Of others torch shows four digits, and another CPU may round
        # the last of them otherwise.
        right = one == other if one.isdigit() else abs(float(one) - float(other)) < 2e-4
        assert right, difference


def _untabled(text: str) -> str:
    """``text`` without what depends on the widest cell of a table."""
    lines = (re.sub(r"[ ─]+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _pattern(token: str) -> str:
    if token == "…":
        return ".*?"
    if token.isdigit():
        return f"({_WHOLE})"
    return f"({_DECIMAL})" if re.fullmatch(_DECIMAL, token) else re.escape(token)
