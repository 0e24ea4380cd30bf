"""Checkpoints as bytes: given back to the last bit, and recognised where one is damaged."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ml.errors import CheckpointError
from ml.training.checkpoint import MAGIC, Checkpoint, decode, encode
from ml.training.fit import Fit
from ml.training.state import size_of
from tests.ml.making import CPU, quick, spec

IDENTITY = {"spec": "a" * 64, "torch": "2.13"}
SMALL = encode(Checkpoint(IDENTITY, {"weight": torch.arange(3.0), "epoch": 7}))


def signed(rest: bytes) -> bytes:
    """A file whose sha256 is right, whatever it holds."""
    return MAGIC + hashlib.sha256(rest).digest() + rest


def test_a_checkpoint_is_given_back_as_it_was() -> None:
    tensors = [torch.rand(2, 3, dtype=torch.float64), torch.tensor(True), torch.zeros(0)]
    state = {
        "tensors": tensors,
        "numbers": (0.1, -0.0, float("inf"), 2**60, None, False, "words"),
        "by number": {0: {"step": torch.tensor(3.0)}},
    }
    back = decode(encode(Checkpoint(IDENTITY, state)))
    assert back.identity == IDENTITY
    assert repr(back.state) == repr(state)
    for got, wanted in zip(back.state["tensors"], tensors, strict=True):
        assert torch.equal(got, wanted)


def test_it_is_cut_off_at_any_length_and_recognised() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(CheckpointError):
            decode(SMALL[:length])


def test_any_byte_of_it_is_changed_and_recognised() -> None:
    for place in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[place] ^= 0x10
        with pytest.raises(CheckpointError):
            decode(bytes(damaged))


@quick
@given(st.binary(max_size=300))
def test_other_bytes_are_refused_even_where_their_digest_is_right(rest: bytes) -> None:
    for content in (rest, signed(rest), SMALL + rest if rest else b""):
        with pytest.raises(CheckpointError):
            decode(content)


class RunsCode:
    """Pickled, it makes whoever loads it call something."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("code of a checkpoint was run",)


def test_no_code_of_a_checkpoint_is_run() -> None:
    saved = io.BytesIO()
    torch.save({"loop": RunsCode()}, saved)
    for state in (saved.getvalue(), pickle.dumps(RunsCode())):
        with pytest.raises(CheckpointError, match="cannot be read"):
            decode(signed((2).to_bytes(8, "big") + b"{}" + state))


def test_the_size_that_is_foretold_is_about_right() -> None:
    asked = spec(
        architecture={"kind": "mlp", "hidden": [200, 200]},
        optimizer={"kind": "adam"},
        early_stopping={"patience": 1000},
        epochs=3,
    )
    fit = Fit(asked, CPU)
    for _ in fit:
        pass
    checkpoint = fit.checkpoint()
    assert size_of(checkpoint.state) == pytest.approx(fit.checkpoint_bytes(), rel=0.05)
    # Parameters, the best ones, and two of Adam's for each.
    assert len(encode(checkpoint)) == pytest.approx(4 * 4 * 40_801, rel=0.05)
