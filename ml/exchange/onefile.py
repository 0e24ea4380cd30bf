"""An artifact as one safetensors file, which says all of itself in its header.

    __metadata__: {"refit": "<JSON of an ImportSpec>"}    architecture, names, scaling, range
    tensors                                               the state_dict under its own keys

What a service gives out and takes in: packed and unpacked it is the same artifact, bit by bit. A
file without that entry is a bare state_dict.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load

from ml.artifact import WEIGHTS, Bundle, encode
from ml.errors import ExchangeError
from ml.manifest import range_to_lists, scaling_to_lists
from ml.models.architecture import StateDict

KEY = "refit"

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class OneFile:
    """What a file holds. ``described`` is the JSON of an `ImportSpec`, not yet looked into; None
    where the file says nothing of itself."""

    state: StateDict
    described: str | None


def pack(bundle: Bundle) -> bytes:
    """The file of a bundle; the same bundle gives the same bytes."""
    return encode(bundle, {KEY: describe(bundle)})[WEIGHTS]


def describe(bundle: Bundle) -> str:
    """What the tensors of a bundle do not say, as the JSON of an `ImportSpec`."""
    scaling, range_ = scaling_to_lists(bundle.scaling), range_to_lists(bundle.range)
    told: dict[str, Any] = {
        "architecture": bundle.architecture.model_dump(mode="json"),
        "feature_names": list(bundle.feature_names),
        "target_names": list(bundle.target_names),
        "categories": {name: list(words) for name, words in bundle.categories.items()},
        "booleans": list(bundle.booleans),
        "scaling": None if scaling is None else scaling.model_dump(),
        "range": None if range_ is None else range_.model_dump(),
    }
    return json.dumps(told, sort_keys=True, allow_nan=False)


def unpack(content: bytes) -> OneFile:
    """What a file holds; nothing of it is run, or believed.

    Raises:
        ExchangeError: it is no safetensors file.
    """
    try:
        state = safetensors_load(content)
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        # KeyError: a type of number that torch does not know.
        raise ExchangeError("expected a safetensors file") from error
    # Now that the library has read it, the header is known to be there and to be JSON.
    (length,) = _LENGTH.unpack_from(content)
    header = json.loads(content[_LENGTH.size : _LENGTH.size + length])
    return OneFile(state, header.get("__metadata__", {}).get(KEY))
