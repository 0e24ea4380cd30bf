"""A training as bytes, from which it goes on elsewhere.

    magic      which format this is; another number when a state comes to mean something else
    sha256     of all that follows
    identity   its length in 8 bytes, then JSON: which training, by what; readable without torch
    state      `torch.save`: tensors and numbers

Whatever was cut off or changed is seen by the sha256 before torch looks at a byte of it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from ml.errors import CheckpointError
from ml.spec.training import TrainingSpec
from ml.training.environment import Environment
from ml.training.state import State

MAGIC = b"refit checkpoint 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Checkpoint:
    """Where a training was, and which."""

    identity: Mapping[str, str]
    state: State

    def require(self, wanted: Mapping[str, str]) -> None:
        """Check that it is of the training that ``wanted`` identifies.

        Raises:
            CheckpointError: it is not; the message says what differs.
        """
        for name in sorted({*self.identity, *wanted}):
            has, want = self.identity.get(name), wanted.get(name)
            if has != want:
                raise CheckpointError(f"it is of {name} {has}, this training of {want}")


def identity(spec: TrainingSpec, data_sha256: str, environment: Environment) -> dict[str, str]:
    """All that the bits of a training depend on, but for the parameters that it started from."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return {
        "spec": hashlib.sha256(text.encode()).hexdigest(),
        "data": data_sha256,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        **{name: str(value) for name, value in asdict(environment).items()},
    }


def encode(checkpoint: Checkpoint) -> bytes:
    """The bytes of ``checkpoint``."""
    head = json.dumps(dict(checkpoint.identity)).encode()
    buffer = io.BytesIO()
    start = len(MAGIC) + _DIGEST_BYTES
    buffer.write(bytes(start))
    buffer.write(len(head).to_bytes(_LENGTH_BYTES, "big"))
    buffer.write(head)
    torch.save(checkpoint.state, buffer)
    whole = buffer.getbuffer()
    whole[:start] = MAGIC + hashlib.sha256(whole[start:]).digest()
    whole.release()
    return buffer.getvalue()


def decode(content: bytes) -> Checkpoint:
    """The checkpoint that ``content`` holds; no code in it is run.

    Raises:
        CheckpointError: it is not what `encode` gave, to the last bit.
    """
    start = len(MAGIC) + _DIGEST_BYTES
    rest = memoryview(content)[start:]
    if content[: len(MAGIC)] != MAGIC:
        raise CheckpointError("it is none, or of another version of Refit")
    if content[len(MAGIC) : start] != hashlib.sha256(rest).digest():
        raise CheckpointError("its sha256 is wrong: it was cut off or damaged")
    try:
        end = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "big")
        of = json.loads(bytes(rest[_LENGTH_BYTES:end]))
        state = torch.load(io.BytesIO(rest[end:]), weights_only=True, map_location="cpu")
    except Exception as error:  # the unpickler raises half a dozen unrelated classes
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"it cannot be read: {reason}") from error
    return Checkpoint(of, state)
