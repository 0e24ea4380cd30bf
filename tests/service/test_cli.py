"""python -m service, as a person and as a health check of a container."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.processes.parent import listen


def run(
    *words: str, program: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`python -m service …`, or a program in its place."""
    how = ["-m", "service", *words] if program is None else ["-c", program]
    here = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, *how],
        env={**here, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A port at which everybody gets that answer."""
    with listen("127.0.0.1", 0) as listener:
        asked: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(65536))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        assert all(request.startswith(b"GET /health HTTP/1.1\r\n") for request in asked)


def http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


READY = http("200 OK", '{"ready": true}')
NOT_READY = http("503 Service Unavailable", '{"ready": false}')


def test_a_ready_service_is_healthy() -> None:
    with answering(READY) as port:
        ended = run("health", REFIT_PORT=port)
    assert (ended.returncode, ended.stdout) == (0, '{"ready": true}\n')


def test_a_service_that_is_not_ready_is_not_healthy() -> None:
    with answering(NOT_READY) as port:
        ended = run("health", REFIT_PORT=port)
    assert (ended.returncode, ended.stderr) == (1, '{"ready": false}\n')


@pytest.mark.parametrize("answer", [b"", b"\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_who_speaks_no_http_is_not_healthy(answer: bytes) -> None:
    with answering(answer) as port:
        ended = run("health", REFIT_PORT=port)
    assert ended.returncode == 1
    assert "unreachable" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_where_nobody_listens_is_told() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
    ended = run("health", REFIT_PORT=port)
    assert ended.returncode == 1
    assert f"http://127.0.0.1:{port}/health" in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_the_host_that_is_listened_on_is_asked(host: str) -> None:
    with answering(READY) as port:
        assert run("health", REFIT_PORT=port, REFIT_HOST=host).returncode == 0


def test_a_proxy_is_not_asked_about_this_machine() -> None:
    nobody = "http://127.0.0.1:1"
    with answering(READY) as port:
        ended = run("health", REFIT_PORT=port, http_proxy=nobody, HTTP_PROXY=nobody)
    assert ended.returncode == 0, ended.stderr


def test_a_health_check_imports_nothing_heavy() -> None:
    program = """
import sys
from service.cli import main
sys.argv = ["service", "health"]
try:
    main()
except SystemExit as ended:
    print("code", ended.code)
heavy = {"torch", "numpy", "fastapi", "uvicorn", "sqlalchemy", "matplotlib", "httpx", "alembic"}
print("heavy", sorted(heavy & sys.modules.keys()))
"""
    with answering(READY) as port:
        started = time.monotonic()
        ended = run(program=program, REFIT_PORT=port)
        seconds = time.monotonic() - started
    assert ended.stdout.splitlines()[1:] == ["code 0", "heavy []"], ended.stderr
    # 0.3 s on an idle machine; torch alone takes 2.
    assert seconds < 5


@pytest.mark.parametrize("word", ["serve", "health"])
def test_wrong_settings_end_with_code_2_and_are_named(word: str) -> None:
    ended = run(word, REFIT_PORT="eighty", REFIT_WORKERS="0")
    assert ended.returncode == 2
    assert "REFIT_PORT = 'eighty'" in ended.stderr
    assert "REFIT_WORKERS = '0'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_option_goes_before_its_variable_and_is_checked_alike(tmp_path: Path) -> None:
    ended = run("serve", "--port", "eighty", "--workers=0", REFIT_PORT="8000")
    assert ended.returncode == 2
    assert "REFIT_PORT = 'eighty'" in ended.stderr
    assert "REFIT_WORKERS = '0'" in ended.stderr
    with listen("127.0.0.1", 0) as listener:
        port, taken = str(listener.getsockname()[1]), tmp_path / "data"
        place = ("--host", "127.0.0.1", "-p", port, "--data-dir", str(taken))
        ended = run("serve", *place, REFIT_PORT="0", REFIT_DATA_DIR="/proc/none")
    assert f"cannot listen on 127.0.0.1, port {port}" in ended.stderr


def test_a_port_that_is_taken_ends_the_start_in_words(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        ended = run("serve", REFIT_PORT=port, REFIT_DATA_DIR=str(tmp_path / "data"))
    assert ended.returncode == 1
    assert "cannot start: " in ended.stderr
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"REFIT_DATABASE_URL": "nonsense"}, "REFIT_DATABASE_URL"),
        ({"REFIT_DATABASE_URL": "mysql://host/refit"}, "REFIT_DATABASE_URL"),
        ({"REFIT_DATABASE_URL": "sqlite:////nowhere/at/all/refit.db"}, "unable to open"),
        ({"REFIT_DATA_DIR": "/dev/null/data"}, "/dev/null"),
        ({"REFIT_DEVICE": "mps"}, "REFIT_DEVICE is mps"),
    ],
)
def test_what_keeps_it_from_starting_is_told_in_words(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    where = {"REFIT_PORT": "0", "REFIT_DATA_DIR": str(tmp_path / "data")}
    ended = run("serve", **{**where, **environment})
    assert ended.returncode == 1
    assert "cannot start: " in ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_word_the_commands_are_listed() -> None:
    ended = run()
    assert ended.returncode == 2
    listed = ended.stdout + ended.stderr
    assert "serve" in listed
    assert "health" in listed
    # Started by the parent alone.
    assert "description" not in listed.lower().split("commands")[-1]
