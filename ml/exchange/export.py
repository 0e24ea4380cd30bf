"""A folder with a model for others to load: each file is loaded back and predicts the same."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ml.artifact import Bundle, artifact_id, encode, state_dict_bytes
from ml.errors import ExchangeError, OverflowedError
from ml.exchange.card import write_card
from ml.exchange.checking import predict_elsewhere
from ml.exchange.graph import trace, write_onnx, write_pt2
from ml.exchange.names import (
    ARTIFACT,
    CARD,
    CURVE_CSV,
    CURVE_JSON,
    FILES,
    LOADED_BY,
    ONNX,
    PT2,
    PTH,
    REPORT,
    VERSION,
)
from ml.exchange.onefile import KEY, describe
from ml.exchange.sample import draw, tolerance
from ml.predictor import Predictor

PARALLEL_CHECKS = 2
"""Each is a process that imports torch: 300 MB and a second of one core."""


@dataclass(frozen=True)
class Check:
    """How a file that was loaded back predicts, against Refit itself."""

    loaded_by: str
    rows: int
    same_bits: bool
    largest_difference: list[float]
    """Of each target, in its units."""
    tolerance: list[float]


@dataclass
class Report:
    """What was written, and what was not and why; kept as `export.json`."""

    artifact: str
    """sha256 by which the service knows it."""
    checks: dict[str, Check] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Why a file is not there, in a sentence."""
    wrong: list[str] = field(default_factory=list)
    """Those of them that were written and predicted something else."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


def export(
    bundle: Bundle,
    version: Mapping[str, Any],
    curve: Sequence[Mapping[str, float | None]],
    folder: Path,
) -> Report:
    """Write all that can be written of a version into ``folder``, which is made here.

    ``version`` is what the service tells of it, ``curve`` its points, if there are any. All of the
    folder is there in the end, or nothing.

    Raises:
        ExchangeError: the folder is there already, or the bundle is not the artifact of the
            version.
        OSError: it cannot be written.
    """
    if folder.exists():
        raise ExchangeError(f"{folder}: is there already; name a folder that is not")
    report = Report(artifact_id(encode(bundle)))
    told = version.get("artifact", {}).get("sha256", report.artifact)
    if told != report.artifact:
        raise ExchangeError(f"what came is not the artifact {told[:12]}… of that version")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_models(bundle, unfinished, report)
        _check_models(bundle, unfinished, report)
        _write_record(version, curve, unfinished, report)
        (unfinished / CARD).write_text(write_card(bundle, version, sorted(report.checks)))
        for path in sorted(unfinished.iterdir()):
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            report.files[path.name] = {"bytes": len(content), "sha256": sha256}
        (unfinished / REPORT).write_text(_json(asdict(report)))
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


def _write_models(bundle: Bundle, folder: Path, report: Report) -> None:
    for name, content in encode(bundle, {KEY: describe(bundle)}).items():
        (folder / name).write_bytes(content)
    (folder / PTH).write_bytes(state_dict_bytes(bundle.raw_state()))
    try:
        program = trace(bundle)
        write_pt2(program, bundle, folder / PT2)
    except ExchangeError as error:
        report.left_out |= {PT2: str(error), ONNX: str(error)}
        return
    try:
        write_onnx(program, bundle, folder / ONNX)
    except ExchangeError as error:
        report.left_out[ONNX] = str(error)


def _check_models(bundle: Bundle, folder: Path, report: Report) -> None:
    """Load each back and compare; a file that predicts something else is not left there."""
    x_NF = draw(bundle)
    try:
        y_NT = Predictor(bundle, torch.device("cpu")).predict(x_NF).double()
    except OverflowedError as error:
        message = "for the rows it was trained on, its predictions are beyond float32"
        raise ExchangeError(message) from error

    def check(name: str) -> Check:
        found = torch.from_numpy(predict_elsewhere(name, folder, x_NF.numpy()))
        if found.shape != y_NT.shape:
            raise ExchangeError(f"it gives {tuple(found.shape)} for {tuple(y_NT.shape)}")
        allowed_T = _allowed(bundle, name, x_NF, y_NT)
        difference_T = (found - y_NT).abs().amax(dim=0)
        result = Check(
            loaded_by=LOADED_BY[name],
            rows=len(x_NF),
            same_bits=torch.equal(found, y_NT),
            largest_difference=difference_T.tolist(),
            tolerance=allowed_T.tolist(),
        )
        # Not `>`: NaN is no prediction either.
        if not bool((difference_T <= allowed_T).all()):
            figures = f"{max(result.largest_difference):.3g} off"
            raise ExchangeError(f"it predicts something else: {figures}")
        return result

    written = [name for name in FILES if (folder / name).exists()]
    with ThreadPoolExecutor(PARALLEL_CHECKS) as threads:
        started = {name: threads.submit(check, name) for name in written}
    for name, checked in started.items():
        try:
            report.checks[name] = checked.result()
        except ExchangeError as error:
            report.left_out[name] = str(error)
            report.wrong.append(name)
            for file in FILES[name]:
                (folder / file).unlink()


def _allowed(bundle: Bundle, name: str, x_NF: torch.Tensor, y_NT: torch.Tensor) -> torch.Tensor:
    if name == ARTIFACT:
        # The same code on the same numbers.
        return torch.zeros(len(bundle.target_names), dtype=torch.float64)
    folded = name == PTH and bundle.units == "raw"
    return tolerance(bundle, x_NF, y_NT, folded)


def _write_record(
    version: Mapping[str, Any],
    curve: Sequence[Mapping[str, float | None]],
    folder: Path,
    report: Report,
) -> None:
    (folder / VERSION).write_text(_json(dict(version)))
    if not curve:
        reason = "the version has no learning curve, or its job is deleted"
        report.left_out |= {CURVE_JSON: reason, CURVE_CSV: reason}
        return
    # A service tells the loss of a part that there is not as null.
    points = [{name: v for name, v in point.items() if v is not None} for point in curve]
    (folder / CURVE_JSON).write_text(_json({"points": points}))
    text = io.StringIO()
    columns = list(dict.fromkeys(name for point in points for name in point))
    rows = csv.DictWriter(text, columns, lineterminator="\n")
    rows.writeheader()
    rows.writerows(points)
    (folder / CURVE_CSV).write_text(text.getvalue())


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
