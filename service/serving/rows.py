"""The rows of a request, as its model takes them: JSON or CSV, numbers and categories."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ml.artifact import Bundle
from ml.data.encoding import encode
from ml.spec.base import FLOAT32_MAX
from service.errors import Fault, InvalidRequestError, UnseenCategoryError
from service.schemas.predict import PredictRequest

MAX_NAMED_WORDS = 20
"""Values of a category that an error names."""


@dataclass(frozen=True)
class Rows:
    """Rows to predict, float64 or float32, and where in the body they stand."""

    x_NF: torch.Tensor
    pointer: str
    """JSON pointer of the rows."""
    rows_have_pointers: bool = True
    """Whether row i stands at pointer/i."""

    def fault(self, row: int | None, detail: str) -> Fault:
        if row is None or not self.rows_have_pointers:
            return Fault(self.pointer, detail)
        return Fault(f"{self.pointer}/{row}", detail)


def rows_of(request: PredictRequest, bundle: Bundle) -> Rows:
    """The rows of a JSON body.

    Raises:
        InvalidRequestError: rows of different lengths, names that are not the model's, text where
            a number belongs or the other way round.
        UnseenCategoryError: a value of a category that the training rows did not have.
    """
    if request.rows is not None:
        return _named_rows(request.rows, bundle)
    x = request.x
    if bundle.categories:
        names = ", ".join(bundle.categories)
        detail = f"this model takes text ({names}): send `rows`, one object by feature name each"
        raise InvalidRequestError(detail, [Fault("/x", detail)])
    features = len(bundle.feature_names)
    if isinstance(x, float):
        return Rows(torch.tensor([[x]], dtype=torch.float64), "/x", rows_have_pointers=False)
    assert x is not None
    if isinstance(x[0], list):
        for index, row in enumerate(x):
            assert isinstance(row, list)
            if len(row) != features:
                detail = f"expected {features} features, got {len(row)} in row {index}"
                raise InvalidRequestError(detail, [Fault(f"/x/{index}", detail)])
    elif features != 1:
        detail = f"expected rows of {features} features such as [[…]], got a flat list of numbers"
        raise InvalidRequestError(detail, [Fault("/x", detail)])
    # Through numpy: several times as fast as torch.tensor of a nested list.
    return Rows(torch.from_numpy(np.array(x, dtype=np.float64).reshape(len(x), -1)), "/x")


def _named_rows(rows: list[dict[str, float | bool | str]], bundle: Bundle) -> Rows:
    names = bundle.feature_names
    wanted = set(names)
    for index, row in enumerate(rows):
        if row.keys() != wanted:
            missing, unknown = sorted(wanted - row.keys()), len(row.keys() - wanted)
            detail = f"row {index}: expected the features {', '.join(names)}"
            detail += f"; missing {', '.join(missing)}" if missing else ""
            detail += f"; {unknown} unknown" if unknown else ""
            raise InvalidRequestError(detail, [Fault(f"/rows/{index}", detail)])
        for name, cell in row.items():
            if type(cell) is not float:
                _check_kind(index, name, cell, bundle)
            elif name in bundle.categories:
                raise _wrong_kind(index, name, "text", "a number")

    def place(index: int, name: str) -> tuple[str, str]:
        return f"row {index}", _pointer(index, name)

    return Rows(encoded([[row[name] for name in names] for row in rows], bundle, place), "/rows")


def _check_kind(index: int, name: str, cell: float | bool | str, bundle: Bundle) -> None:
    """Whether a cell that is no number may stand in its column."""
    is_boolean = name in bundle.booleans
    if isinstance(cell, bool) and not is_boolean:
        wanted = "text" if name in bundle.categories else "a number"
        raise _wrong_kind(index, name, wanted, "a boolean")
    if isinstance(cell, str) and name not in bundle.categories:
        raise _wrong_kind(index, name, "true or false" if is_boolean else "a number", "text")


def _wrong_kind(index: int, name: str, wanted: str, got: str) -> InvalidRequestError:
    detail = f"row {index}: feature {name} takes {wanted}, got {got}"
    return InvalidRequestError(detail, [Fault(_pointer(index, name), detail)])


def _pointer(row: int, name: str) -> str:
    return f"/rows/{row}/" + name.replace("~", "~0").replace("/", "~1")


def rows_of_csv(body: bytes, bundle: Bundle, max_rows: int) -> Rows:
    """The rows of a `text/csv` body whose header holds the feature names, in any order.

    Raises:
        InvalidRequestError: names the line and the column, or says that there are too many rows.
        UnseenCategoryError: a value of a category that the training rows did not have.
    """
    names = bundle.feature_names
    cells: list[list[float | bool | str]] = []
    numbers: list[int] = []
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if sorted(header) != sorted(names):
            raise _refusal(f"line 1: expected the header {', '.join(names)}")
        above = lines.line_num
        for line in lines:
            # Where it begins: text in quotation marks may go on for several lines.
            number, above = above + 1, lines.line_num
            if not line:
                continue
            if len(cells) == max_rows:
                raise too_many_rows(f"more than {max_rows:,}", max_rows, "")
            if len(line) != len(names):
                raise _refusal(f"line {number}: expected {len(names)} values, got {len(line)}")
            by_name = dict(zip(header, line, strict=True))
            numbers.append(number)
            cells.append([_cell(by_name[name], name, number, bundle) for name in names])
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refusal(f"the body is no CSV in UTF-8: {error}") from error
    if not cells:
        raise _refusal("expected at least one line below the header")

    def place(index: int, name: str) -> tuple[str, str]:
        return f"line {numbers[index]}", ""

    return Rows(encoded(cells, bundle, place), "", rows_have_pointers=False)


def too_many_rows(count: str, max_rows: int, pointer: str) -> InvalidRequestError:
    """The error of a request with more rows than one may have."""
    detail = f"{count} rows sent, at most {max_rows:,} allowed"
    return InvalidRequestError(detail, [Fault(pointer, detail)])


def _refusal(detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, [Fault("", detail)])


def _cell(text: str, column: str, line: int, bundle: Bundle) -> float | bool | str:
    if column in bundle.categories:
        return text
    if column in bundle.booleans and text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # float() takes "nan", "1_0" and digits of other scripts; a CSV of numbers holds none of them.
    if not abs(value) <= FLOAT32_MAX or "_" in text or not text.isascii():
        wanted = "true, false or a number" if column in bundle.booleans else "a number"
        raise _refusal(f"line {line}, column {column}: expected {wanted} within float32")
    return value


def encoded(
    cells: list[list[float | bool | str]],
    bundle: Bundle,
    place: Callable[[int, str], tuple[str, str]],
) -> torch.Tensor:
    """``x_NF`` of rows of cells in the order of the features; ``place`` tells in words and as a
    JSON pointer where the cell of a row and a feature stands.

    Raises:
        UnseenCategoryError: a value of a category that the training rows did not have.
    """
    names, categories = bundle.feature_names, bundle.categories
    if not categories:
        return torch.tensor(cells, dtype=torch.float64)
    numbers, codes = [], []
    for column, name in enumerate(names):
        of_column = [row[column] for row in cells]
        words = categories.get(name)
        if words is None:
            numbers.append(of_column)
            continue
        known = {word: code for code, word in enumerate(words)}
        for index, cell in enumerate(of_column):
            if cell not in known:
                where, pointer = place(index, name)
                detail = f"{where}: feature {name} holds a value that no training row had; "
                detail += f"known are {_named(words)}"
                raise UnseenCategoryError(detail, [Fault(pointer, detail)])
        codes.append([known[str(cell)] for cell in of_column])
    rows = len(cells)
    numbers_NC = np.array(numbers, dtype=np.float64).reshape(len(numbers), rows).T
    codes_NK = np.array(codes, dtype=np.int64).T
    return torch.from_numpy(encode(numbers_NC, codes_NK, names, categories))


def _named(words: Sequence[str]) -> str:
    more = len(words) - MAX_NAMED_WORDS
    return ", ".join(words[:MAX_NAMED_WORDS]) + (f" and {more} more" if more > 0 else "")
