"""Loads what was written and predicts, in a process of its own: ``python -m ml.exchange.checking``.

``x`` comes as an .npy file on standard input and ``y`` goes out as one; both float64. The way of
loading is that of other people: ONNX without torch, `torch.export` without anything of Refit.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np

import ml
from ml.errors import ExchangeError
from ml.exchange.names import ARTIFACT, FILES, ONNX, PT2, PTH

SECONDS = 300


def predict_elsewhere(name: str, folder: Path, x_NF: np.ndarray) -> np.ndarray:
    """What the file of that name answers in a fresh process, ``y_NT``.

    Raises:
        ExchangeError: it could not be loaded, or it raised.
    """
    question = io.BytesIO()
    np.save(question, x_NF, allow_pickle=False)
    # From where this package is, so that the same one is found.
    root = Path(ml.__file__).parent.parent
    command = [sys.executable, "-W", "ignore", "-m", "ml.exchange.checking", name]
    try:
        done = subprocess.run(  # noqa: S603
            [*command, str(folder.absolute())],
            input=question.getvalue(),
            capture_output=True,
            cwd=root,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ExchangeError(f"it did not answer within {SECONDS} seconds") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise ExchangeError(f"it cannot be loaded back: {said[-1]}")
    y_NT: np.ndarray = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return y_NT


def main(name: str, folder: Path) -> None:
    """Answer for one file."""
    x_NF = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    y_NT = _PREDICT[name](folder, x_NF)
    answer = io.BytesIO()
    np.save(answer, y_NT.astype(np.float64), allow_pickle=False)
    sys.stdout.buffer.write(answer.getvalue())


def _by_artifact(folder: Path, x_NF: np.ndarray) -> np.ndarray:
    import torch

    from ml.artifact import decode
    from ml.predictor import Predictor

    bundle = decode({name: (folder / name).read_bytes() for name in FILES[ARTIFACT]})
    return Predictor(bundle, torch.device("cpu")).predict_array(x_NF)


def _by_state_dict(folder: Path, x_NF: np.ndarray) -> np.ndarray:
    import torch

    from ml.artifact import decode, load_state_dict
    from ml.models.build import build_model

    bundle = decode({name: (folder / name).read_bytes() for name in FILES[ARTIFACT]})
    module = build_model(bundle.architecture, len(bundle.column_names), len(bundle.target_names))
    load_state_dict(module, folder / PTH)
    scaling = bundle.scaling if bundle.units == "standardized" else None
    x = torch.from_numpy(x_NF)
    with torch.inference_mode():
        y = module.eval()(x.float() if scaling is None else scaling.scale_x(x))
        return (y if scaling is None else scaling.unscale_y(y)).numpy()


def _by_export(folder: Path, x_NF: np.ndarray) -> np.ndarray:
    import torch

    module = torch.export.load(folder / PT2).module()
    y_NT: np.ndarray = module(torch.from_numpy(x_NF)).numpy()
    return y_NT


def _by_onnx(folder: Path, x_NF: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
    (y_NT,) = session.run(["y"], {"x": x_NF})
    assert isinstance(y_NT, np.ndarray)
    return y_NT


_PREDICT = {ARTIFACT: _by_artifact, PTH: _by_state_dict, PT2: _by_export, ONNX: _by_onnx}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
