"""A real Postgres server of its own, from the binaries that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.waiting import until

REQUIRED = "TEST_POSTGRES"
"""The environment variable that makes missing binaries a failure: `TEST_POSTGRES=required`."""

DEBIAN = "/usr/lib/postgresql/*/bin"

USERS = ("postgres", "nobody")
"""Whom the server runs as where the tests run as root: Postgres refuses to."""


def find_binaries() -> Path | None:
    """The folder of `postgres` and `initdb`: on the PATH, or where Debian has them."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/").glob(DEBIAN.lstrip("/")), reverse=True)
    return next((f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()), None)


def require_binaries() -> Path:
    """As `find_binaries`; without any the test is skipped, or fails where CI demands them."""
    found = find_binaries()
    if found is None:
        words = f"no Postgres here: neither on the PATH nor in {DEBIAN}"
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{words}, and {REQUIRED}=required")
        pytest.skip(words)
    return found


class PostgresServer:
    """A server that speaks through a Unix socket in a folder of its own.

    ``durable`` makes it fsync, for tests that kill it; without, it is several times quicker.
    """

    def __init__(self, binaries: Path, durable: bool = False) -> None:
        self._binaries = binaries
        self._user = next(u for u in USERS if _exists(u)) if os.geteuid() == 0 else None
        # Short, whatever the folder of the test: a socket's path has at most 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="refit-pg-"))
        self._data = self._folder / "data"
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._folder.chmod(0o755)
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._run("initdb", "--auth=trust", "--username=refit", "--encoding=UTF8", "--no-sync")
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": f"'{self._folder}'",
            "max_connections": "300",
            "shared_buffers": "'32MB'",
            "timezone": "'Pacific/Auckland'",  # nothing may depend on it
        }
        if not durable:
            settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data],
                cwd=self._folder,
                user=self._user,
                group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                stdout=log,
                stderr=log,
            )

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"Postgres ended:\n{self._log.read_text()}"
            try:
                psycopg.connect(self._address("postgres")).close()
            except psycopg.OperationalError:
                return False
            return True

        until(answers, "Postgres to answer")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGQUIT at once as in a crash, SIGINT in order, with an end to all sessions."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def freeze(self) -> None:
        """Let every process of it stand still; the kernel goes on taking what is sent to it."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        # The server itself first: it starts no more of them then.
        self._process.send_signal(number)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split():
            # A connection that has just ended takes its process along.
            with suppress(ProcessLookupError):
                os.kill(int(pid), number)

    def remove(self) -> None:
        """End it and delete all that it wrote."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create(self, template: str = "template1") -> str:
        """A new database, a copy of ``template``; its name."""
        self._made += 1
        name = f"test{self._made}"
        parts = (sql.Identifier(name), sql.Identifier(template))
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*parts))
        return name

    def drop(self, name: str) -> None:
        """Delete a database, whoever still speaks to it."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: sql.Composed | sql.SQL) -> None:
        """Execute one statement outside of any transaction."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://refit@/{name}?host={self._folder}"

    def _address(self, name: str) -> str:
        return f"host={self._folder} user=refit dbname={name}"

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / name, "-D", self._data, *arguments],
            cwd=self._folder,
            user=self._user,
            group=None if self._user is None else pwd.getpwnam(self._user).pw_gid,
            extra_groups=None if self._user is None else [],
            check=True,
            capture_output=True,
        )


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
