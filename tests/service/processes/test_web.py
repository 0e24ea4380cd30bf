"""How a web worker sets up its interpreter."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, sys
from service.processes import web
from service.processes.parts import WebPart
from service.settings import Settings

def look(*ignored):
    gc.collect()
    print(gc.get_freeze_count(), len(gc.get_objects()), sys.getswitchinterval())
    raise SystemExit

web.build_app = look
web.run_web(WebPart(slot=0, node="n", listen_fd=0), Settings())
"""


def test_what_a_worker_has_imported_is_never_searched_for_garbage() -> None:
    command = [sys.executable, "-c", SCRIPT]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    frozen, searched, switch_seconds = told.split()
    # All of torch and FastAPI, against what has been made since.
    assert int(frozen) > 100_000
    assert int(searched) < 10_000
    assert float(switch_seconds) < 0.001
