"""The strict base of every spec, numbers that fit float32, and errors that know their position."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

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


SLICE = 4096
"""Elements that are validated at a time: of rows of 40 numbers, a hundredth of a second."""

_KNOWN_ERRORS = frozenset(get_args(ErrorType))


def _in_slices(values: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    if not isinstance(values, list) or len(values) <= SLICE:
        return validate(values)
    done: list[Any] = []
    kind: type = list
    for start in range(0, len(values), SLICE):
        try:
            part = validate(values[start : start + SLICE])
        except ValidationError as error:
            faults = [
                _further_down(each, start)
                for each in error.errors(include_url=False)
                # With `fail_fast`, a slice whose first element is wrong is said to be empty too.
                if start == 0 or each["loc"]
            ]
            raise ValidationError.from_exception_data(error.title, faults) from None
        kind = type(part)
        done += part
    return kind(done)


def _further_down(error: ErrorDetails, start: int) -> InitErrorDetails:
    """An error about a list, when that list begins at ``start`` of another."""
    kind, place = error["type"], error["loc"]
    if place:
        first, *inner = place
        assert isinstance(first, int)
        place = (first + start, *inner)
    if kind not in _KNOWN_ERRORS:
        own = PydanticCustomError(kind, "{message}", {"message": error["msg"]})
        return InitErrorDetails(type=own, loc=place, input=error["input"])
    if "ctx" not in error:
        return InitErrorDetails(type=kind, loc=place, input=error["input"])
    return InitErrorDetails(type=kind, loc=place, input=error["input"], ctx=error["ctx"])


InSlices = WrapValidator(_in_slices)
"""For a list with `fail_fast` that may hold millions: pydantic keeps Python's lock from its first
element to its last, and so from the event loop of who serves; between slices others may have it."""


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
