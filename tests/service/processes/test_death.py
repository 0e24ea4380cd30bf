"""Nothing outlives its parent."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.service.processes.test_parent import lives
from tests.waiting import until

PROGRAM = """
import os, sys, time
from service.processes.death import die_with

sys.platform = sys.argv[1]
parent = os.getpid()
pid = os.fork()
if pid == 0:
    die_with(parent)
    print(os.getpid(), flush=True)
while True:
    time.sleep(1)
"""


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_child_ends_when_its_parent_is_killed(platform: str) -> None:
    command = [sys.executable, "-c", PROGRAM, platform]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert lives(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        until(lambda: not lives(child), "the child to end", 5)


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    program = "from service.processes.death import die_with; die_with(1); print('lives')"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
