"""serve, health, and the parts of the process tree."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Annotated

import typer

from service.settings import (
    Settings,
    SettingsError,
    load_settings,
    put_settings,
    unknown_settings,
)

logger = logging.getLogger(__name__)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, or REFIT_HOST.", metavar="ADDRESS")
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", "-p", help="Port to listen on, or REFIT_PORT.", metavar="NUMBER"),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(help="Folder of models and jobs, or REFIT_DATA_DIR.", metavar="FOLDER"),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(help="Web processes that answer, or REFIT_WORKERS.", metavar="NUMBER"),
    ] = None,
    private: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start the service: web workers and the training supervisor.

    Settings are variables REFIT_… (see README); an option goes before its own.
    """
    # As text: what is wrong is told as for the variable.
    put_settings(host=host, port=port, data_dir=data_dir, workers=workers)
    settings = _settings_or_exit()
    # What is imported stays. To look for garbage in all of it, again and again as it grows, takes a
    # sixth of the start.
    gc.disable()
    from service.observability.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format)
    for sentence in unknown_settings():
        logger.warning(sentence)
    if private is not None:
        from service.processes.death import die_with

        die_with(os.getppid())
    raise typer.Exit(_serve(settings, private))


def _serve(settings: Settings, private: int | None) -> int:
    """Serve until told to stop; the exit code.

    A ``private`` service has its data folder alone, and writes its address to that descriptor.
    """
    from ml.errors import PluginError
    from service.errors import StoreUnavailableError
    from service.observability.layout import Shared
    from service.processes.folder import FolderTakenError
    from service.processes.launch import ForkLauncher, choose_launcher
    from service.processes.parent import Parent, run_parent
    from service.processes.parts import Part, SupervisorPart, WebPart
    from service.store.database import Database

    try:
        _import_architectures()
        if settings.device in ("cuda", "mps") and not _device_is_here(settings.device):
            raise OSError(f"REFIT_DEVICE is {settings.device}, but none is here")
        listener = _take_place(settings, alone=private is not None)
    except (PluginError, OSError, FolderTakenError) as error:
        typer.echo(f"cannot start: {error}", err=True)
        return 1
    except StoreUnavailableError as error:
        typer.echo(f"cannot start: {error.detail}", err=True)
        return 1
    host, port = listener.getsockname()[:2]
    node = f"{socket.gethostname()}:{port}"
    database = Database(settings.sqlalchemy_url)
    with database.write() as stores:
        stores.workers.forget_node(node)
    database.close()

    launcher = choose_launcher(settings, listener.fileno())
    if isinstance(launcher, ForkLauncher):
        # Imported once here and shared by every process forked from this one.
        import service.processes.web  # noqa: F401
    shared = Shared.make(settings.workers)
    parts: dict[str, Part] = {"supervisor": SupervisorPart()}
    for slot in range(settings.workers):
        fd = listener.fileno()
        parts[f"web worker {slot}"] = WebPart(
            slot=slot, node=node, listen_fd=fd, metrics_fd=shared.fd
        )
    if private is not None:
        os.write(private, f"http://{host}:{port}\n".encode())
        os.close(private)
    logger.info("Refit listens on http://%s:%d (docs: http://%s:%d/docs)", host, port, host, port)
    seconds = settings.shutdown_seconds, settings.drain_seconds
    # Nor do the parts that are forked from here look through it.
    gc.freeze()
    gc.enable()
    return run_parent(Parent(parts, launcher, shared), listener, *seconds)


def _take_place(settings: Settings, alone: bool) -> socket.socket:
    """The port, the data folder and the database, all of them or none.

    Raises:
        OSError: the port is taken, or the folder cannot be written.
        FolderTakenError: another service has the folder.
        StoreUnavailableError: the database cannot be had.
    """
    from service.durable import make_folder
    from service.processes.folder import hold_folder
    from service.processes.parent import listen
    from service.store.migrate import migrate

    listener = listen(settings.host, settings.port)
    try:
        make_folder(settings.artifacts_dir)
        url = "http://{}:{}".format(*listener.getsockname()[:2])
        # Never closed: the processes forked from this one hold it as long as they live.
        hold_folder(settings.data_dir.absolute(), alone, url)
        migrate(settings.sqlalchemy_url)
    except BaseException:
        listener.close()
        raise
    return listener


def _import_architectures() -> None:
    """Find out now, and once for all processes forked from this one, whether the architectures that
    installed packages bring can be used."""
    from ml.spec.model import ARCHITECTURES, BUILT_IN

    if len(ARCHITECTURES) > len(BUILT_IN):
        from ml.models.build import import_modules

        import_modules()


def _device_is_here(name: str) -> bool:
    """Asked in a process of its own: asking initialises the driver, and then no fork is safe."""
    question = f"from ml.device import pick_device; pick_device({name!r})"
    command = [sys.executable, "-c", question]
    asked = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    return asked.returncode == 0


def health() -> None:
    """Exit with 0 if the service on this machine is ready, else with 1; for health checks."""
    settings = _settings_or_exit()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health"
    # The proxy of the environment knows nothing of this machine's own port.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as response:
            typer.echo(response.read().decode())
    except urllib.error.HTTPError as error:
        typer.echo(error.read().decode(errors="replace"), err=True)
        raise typer.Exit(1) from error
    except (OSError, http.client.HTTPException) as error:
        typer.echo(json.dumps({"status": "unreachable", "url": url, "why": str(error)}), err=True)
        raise typer.Exit(1) from error


def part(description: str) -> None:
    """Be a part of the process tree; started by the parent where it cannot fork."""
    settings = _settings_or_exit()
    from service.observability.logs import configure_logs
    from service.processes.launch import parse_part, run_part

    configure_logs(settings.log_level, settings.log_format)
    sys.exit(run_part(parse_part(description), settings, os.getppid()))


def _settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        typer.echo(f"wrong settings:\n{error}", err=True)
        raise typer.Exit(2) from error
