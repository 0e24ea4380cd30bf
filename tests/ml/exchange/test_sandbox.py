"""Files of unknown origin are read without running anything in them, or refused in a sentence."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save as safetensors_save
from torch import nn

import ml.exchange.sandbox
from ml.errors import ExchangeError
from ml.exchange.onefile import pack
from ml.exchange.sandbox import Foreign, read_foreign
from ml.exchange.unpickling import answer
from ml.spec.model import LinearSpec
from tests.ml.exchange.files import LINE, bomb, malicious_files, saved
from tests.ml.making import bundle, scaling
from tests.waiting import until


def read(tmp_path: Path, content: bytes, **bounds: Any) -> Foreign:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    return read_foreign(path, **bounds)


def reason(tmp_path: Path, content: bytes, **bounds: Any) -> str:
    """Why a file is refused: one line, that begins with its name."""
    with pytest.raises(ExchangeError) as caught:
        read(tmp_path, content, **bounds)
    told = str(caught.value)
    assert "\n" not in told
    name = f"{tmp_path / 'model.pth'}: "
    assert told.startswith(name)
    return told.removeprefix(name)


def reason_within(content: bytes) -> str:
    """The same without a process of its own: quicker, where a process is not the point."""
    with pytest.raises(ExchangeError) as caught:
        answer(content)
    return str(caught.value)


# ---- what is read ----


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_tutorial_s_file_comes_through_bit_by_bit(tmp_path: Path, form: str) -> None:
    state = {"weights": torch.tensor([1 / 3]), "bias": torch.tensor([1e-40])}
    safe = form == "safetensors"
    content = safetensors_save(state) if safe else saved(state, legacy=form == "legacy")
    found = read(tmp_path, content)
    assert found.described is None
    assert found.notes == ()
    assert {key: v.tobytes() for key, v in found.state.items()} == {
        key: v.numpy().tobytes() for key, v in state.items()
    }


def test_the_order_of_the_file_is_kept(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    found = read(tmp_path, saved(net.state_dict()))
    assert list(found.state) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert found.state["0.weight"].shape == (3, 2)


def test_a_file_of_ours_brings_its_description(tmp_path: Path) -> None:
    content = pack(bundle(LinearSpec(), 2, 1, scaling(2, 1)))
    assert '"x_std_F"' in str(read(tmp_path, content).described)


def test_a_checkpoint_is_taken_for_the_state_dict_in_it() -> None:
    net = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(net.parameters()).state_dict()
    for name in ("state_dict", "model_state_dict", "model"):
        checkpoint = {"epoch": 3, name: net.state_dict(), "optimizer": optimizer}
        assert answer(saved(checkpoint))[0]["order"] == ["weight", "bias"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_become_float32_and_are_told(tmp_path: Path, dtype: torch.dtype) -> None:
    found = read(tmp_path, saved({"weights": torch.tensor([0.5], dtype=dtype)}))
    assert found.state["weights"].dtype == np.float32
    assert found.state["weights"].tolist() == [0.5]
    name = str(dtype).removeprefix("torch.")
    assert found.notes == (f"weights was {name} and is float32 now",)


def test_counts_stay_whole_numbers() -> None:
    line, _ = answer(saved(nn.BatchNorm1d(2).state_dict()))
    assert line["notes"] == []


# ---- what is never run ----


def test_the_malicious_files_would_run_their_command(tmp_path: Path) -> None:
    """Else the next test would show nothing."""
    for name, content in malicious_files(tmp_path / "marker").items():
        if name.startswith("bare"):
            pickle.loads(content)
            assert (tmp_path / "marker").exists(), name
            (tmp_path / "marker").unlink()
        else:
            file = tmp_path / "evil.pth"
            file.write_bytes(content)
            torch.load(file, weights_only=False)
            assert (tmp_path / "marker").exists(), name
            (tmp_path / "marker").unlink()


def test_no_malicious_file_runs_anything_and_each_is_named_as_what_it_is(tmp_path: Path) -> None:
    """Here, without the walls of the process: reading alone must be safe."""
    for name, content in malicious_files(tmp_path / "marker").items():
        told = reason_within(content)
        assert "torch.save(model.state_dict(), path)" in told, name
        assert "system" in told or name.startswith("bare"), name
        assert not (tmp_path / "marker").exists(), name


def test_a_malicious_file_is_refused_by_the_process_too(tmp_path: Path) -> None:
    told = reason(tmp_path, malicious_files(tmp_path / "marker")["in a state_dict"])
    assert told.startswith("it asks for posix.system, and nothing in a file is ever run")
    assert not (tmp_path / "marker").exists()


CODE = """
import pickle, sys
sys.path.insert(0, sys.argv[1])
from ml.exchange.confinement import confine
assert confine(2**29, 60)
pickle.loads(bytes.fromhex(sys.argv[2]))
print("still here")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")
def test_even_code_that_runs_in_the_confined_process_reaches_nothing(tmp_path: Path) -> None:
    """The second wall, tried by itself: here the pickle is really executed."""
    evil = malicious_files(tmp_path / "marker")["bare pickle"].hex()
    root = Path(ml.__file__).parent.parent
    command = [sys.executable, "-I", "-c", CODE, str(root), evil]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "still here\n", done.stderr
    assert not (tmp_path / "marker").exists()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no file that torch.save or safetensors wrote"),
        (b"PK\x03\x04" + b"\0" * 200, "or only a part of one"),
        (saved(LINE)[:-60], "or only a part of one"),
        (saved(LINE, legacy=True)[:-2], "no file that torch.save or safetensors wrote"),
        (safetensors_save(LINE)[:-1], "expected a safetensors file"),
        (b"weights,bias\n0.7,0.3\n", "it is damaged, or holds more than tensors"),
        (saved(nn.Linear(1, 1)), "it asks for torch.nn.modules.linear.Linear"),
        (saved([torch.ones(1)]), "a dict of tensors by name, got list"),
        (saved({}), "got an empty dict"),
        (saved({1: torch.ones(1)}), "a dict of tensors by name"),
        (saved({"weights": 0.7}), "a dict of tensors by name"),
        (saved({"weights": torch.tensor([torch.nan])}), "weights: holds a number that is not fin"),
        (saved({"w": torch.tensor([1e300], dtype=torch.float64)}), "not finite in float32"),
        (saved({"w": torch.ones(1, dtype=torch.complex64)}), "expected real numbers, got complex"),
        (saved({"w": torch.tensor([True])}), "expected real numbers, got bool"),
        (saved({"w": torch.eye(2).to_sparse()}), "w: expected a dense tensor"),
        (saved({"w": torch.ones(1).expand(10**9)}), "w: fewer bytes than its shape needs"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_the_reason(content: bytes, words: str) -> None:
    assert words in reason_within(content)


def test_a_torchscript_program_is_refused_as_one(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    with pytest.warns(DeprecationWarning, match="torch.jit"):
        program = torch.jit.trace(Twice(), torch.ones(1))  # type: ignore[no-untyped-call]
    program.save(tmp_path / "program.pt")
    told = reason_within((tmp_path / "program.pt").read_bytes())
    assert told.startswith("it is a TorchScript program")


def test_a_bomb_is_stopped_by_the_bound_on_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml.exchange.sandbox, "MEMORY_BYTES", 2**26)
    content = bomb(50_000_000)
    assert len(content) < 2**20
    assert reason(tmp_path, content) == "it takes more memory than is allowed"


def test_a_file_above_the_bound_is_not_even_read(tmp_path: Path) -> None:
    told = reason(tmp_path, b"x" * 1001, max_bytes=1000)
    assert told == "it has 1,001 bytes, at most 1,000 are taken"


def test_tensors_above_the_bound_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml.exchange.sandbox, "_MAX_LINE", 1000)
    content = bomb(100_000)
    assert reason(tmp_path, content, max_bytes=len(content)) == "its tensors are too large"


def test_what_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "import sys, time; time.sleep(600)"
    monkeypatch.setattr(ml.exchange.sandbox, "_PROGRAM", endless)
    assert reason(tmp_path, b"x", seconds=0.2).startswith("reading it took more than 0.2 seconds")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_process_that_dies_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    dying = f"import os; os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr(ml.exchange.sandbox, "_PROGRAM", dying)
    assert reason(tmp_path, b"x").startswith("reading it ")


@pytest.mark.parametrize(
    "said", ["", "nonsense", "[]", "{}", '{"order": ["a"], "described": null, "notes": []}']
)
def test_an_answer_that_was_tampered_with_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(ml.exchange.sandbox, "_PROGRAM", f"print({said!r})")
    assert reason(tmp_path, b"x") == "reading it broke off"


def test_the_process_sees_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFIT_DATABASE_URL", "postgresql://user:secret@host/refit")
    tell = (
        "import json, os; print(json.dumps({'error': ' '.join(sorted(os.environ)) + os.getcwd()}))"
    )
    monkeypatch.setattr(ml.exchange.sandbox, "_PROGRAM", tell)
    told = reason(tmp_path, b"x")
    assert "REFIT" not in told
    assert "HOME" not in told
    assert told.endswith("/")


def test_files_that_are_not_there_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="there is no such file"):
        read_foreign(tmp_path / "nowhere.pth")
    with pytest.raises(ExchangeError, match="there is no such file"):
        read_foreign(tmp_path)


def test_the_process_is_gone_when_the_reader_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml.exchange.sandbox, "_PROGRAM", "import time; time.sleep(600)")

    def is_reader(process: psutil.Process) -> bool:
        # Children of other tests may be there, and end while they are looked at.
        with suppress(psutil.Error):
            return any("time.sleep(600)" in word for word in process.cmdline())
        return False

    def children() -> list[psutil.Process]:
        return [process for process in psutil.Process().children() if is_reader(process)]

    def interrupt() -> None:
        main_thread = threading.main_thread().ident
        assert main_thread is not None

        def is_waiting() -> bool:
            # The process is seen while Popen still makes it, before there is a name to kill it by.
            timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
            frame = sys._current_frames()[main_thread]
            return bool(timers) and frame.f_code.co_name == "_ask" and bool(children())

        until(is_waiting, "the process", 30)
        # It waits for the answer, and must be woken there: a signal that came just before is seen
        # when the waiting is over.
        while not done.is_set():
            signal.pthread_kill(main_thread, signal.SIGINT)
            done.wait(10)

    done = threading.Event()
    waker = threading.Thread(target=interrupt)
    waker.start()
    with pytest.raises(KeyboardInterrupt):
        read(tmp_path, b"x")
    done.set()
    waker.join()
    assert children() == []
