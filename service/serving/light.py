"""What is answered on the event loop, as handing it to a thread would take longer."""

from __future__ import annotations

from service.serving.pool import Served
from service.serving.work import HEAVY_SECONDS

INLINE_BYTES = 16 * 1024
"""A larger body of JSON is parsed and answered in a thread, so that it does not hold up the event
loop; for a smaller one the hand-over costs more than the work."""

INLINE_TENSOR_BYTES = 512 * 1024
INLINE_PRODUCTS = 2_000_000
"""Bytes and multiplications up to which tensors are answered without a thread: together they hold
up the event loop for half a millisecond, as `INLINE_BYTES` of JSON do."""


def is_light(served: Served, json_bytes: int, tensor_bytes: int) -> bool:
    """Whether so much JSON, and so many bytes of tensors behind it, are light for a version."""
    predictor = served.predictor
    if predictor.probe_seconds > HEAVY_SECONDS:
        return False
    if json_bytes + tensor_bytes <= INLINE_BYTES:
        return True
    if predictor.bundle.categories or json_bytes > INLINE_BYTES:
        return False
    products = tensor_bytes // (4 * predictor.features) * served.parameters
    return tensor_bytes <= INLINE_TENSOR_BYTES and products <= INLINE_PRODUCTS
