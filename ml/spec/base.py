"""The strict base of every spec, numbers that fit float32, and errors that know their position."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

FLOAT32_MAX = 3.4028234663852886e38
"""The largest finite float32, (2 - 2**-23) * 2**127 (IEEE 754-2019, table 3.5)."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
"""A finite number that float32 can hold; integers are numbers, booleans and strings are not."""

Name = Annotated[str, Field(strict=True, min_length=1, max_length=128)]


MAX_FIELDS = 64
"""More than any object here has. Naming a million unknown fields one by one takes pydantic ten
seconds, in which nobody else is served; so they are counted first."""


def check_field_count(value: Any, most: int = MAX_FIELDS) -> Any:
    """``value`` itself, unless it is an object with more fields than anybody could mean."""
    if isinstance(value, dict) and len(value) > most:
        fail_at((), "too_many_fields", f"{len(value):,} fields sent, at most {most} can be meant")
    return value


class Spec(BaseModel):
    """Frozen, strict (no ``"1"`` for 1), and unknown fields are refused by name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _count_fields(cls, value: Any) -> Any:
        return check_field_count(value)


def fail_at(position: tuple[str | int, ...], code: str, message: str) -> NoReturn:
    """Raise a validation error that points at ``position`` below the field being validated.

    Raises:
        ValidationError: always; an enclosing model puts its own location in front.
    """
    error = PydanticCustomError(code, "{message}", {"message": message})
    raise ValidationError.from_exception_data(
        "spec", [InitErrorDetails(type=error, loc=position, input=None)]
    )
