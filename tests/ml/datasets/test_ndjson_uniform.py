"""The swiftest road through an NDJSON file takes what the patient one takes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml.datasets import ndjson
from ml.datasets.profile import ColumnType
from ml.datasets.records import MAX_LINE_BYTES
from ml.datasets.structs import StructReader
from ml.datasets.uniform import MOST_KEYS, UniformReader
from ml.errors import BadFileError
from tests.ml.datasets.reading import quick, read

FIRST = b'{"n": 0.5, "i": 1, "b": true}\n{"n": 1, "i": 2, "b": false}\n'
"""The sample: it tells the types of three columns."""

TYPES: dict[str, ColumnType] = {"n": "number", "i": "integer", "b": "boolean"}


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson, "SAMPLE_ROWS", FIRST.count(b"\n"))
        patch.setattr(ndjson, "_BLOCK_BYTES", 40)
        yield


def uniformly(
    block: bytes, types: dict[str, ColumnType] = TYPES
) -> list[tuple[object, ...]] | None:
    """The rows that the swiftest road makes of a block; None where it leaves them to the others."""
    reader = UniformReader.of({name: name for name in types}, types)
    assert reader is not None
    frame = reader.frame(block)
    return None if frame is None else frame.rows()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("blank", [b"", b" "])
def test_objects_of_numbers_take_it(end: bytes, blank: bytes) -> None:
    lines = [
        b'{"n":-0.25,"i":1,"b":true}',
        b'{"n":1e-3,"i":-9007199254740991,"b":false}',
        b'{"n":null,"i":2.0,"b":null}',
    ]
    block = end.join(lines).replace(b":", b":" + blank).replace(b",", b"," + blank)
    wanted = [(-0.25, 1.0, True), (0.001, -9007199254740991.0, False), (None, 2.0, None)]
    assert uniformly(block) == wanted
    assert uniformly(block + end) == wanted


NUMBERS = ["01", "-01", "1.", ".5", "-.5", "+1", "1e", "1e+", "0x1", "1_0", "--1", "1.5.2", "1e5.5"]
NUMBERS += ["NaN", "nan", "inf", "Infinity", "-Infinity", "1e39", "1e400", "1" * 400, "-0", "- 1"]
OTHERS = ["", "true", '"1"', "[1]", "{}", "Null", "nul", "null1", "1 ", "1\t", "\t1", "  1", "1,2"]


@pytest.mark.parametrize("value", NUMBERS + OTHERS)
def test_other_values_are_left_to_others(value: str) -> None:
    good = b'{"n":1,"i":1,"b":true}\n'
    assert uniformly(good + b'{"n":%s,"i":1,"b":true}\n' % value.encode()) is None
    assert uniformly(good + b'{"n":1,"i":%s,"b":true}\n' % value.encode()) is None


@pytest.mark.parametrize("value", ["1", "0", "True", '"true"', "tru", "truefalse"])
def test_other_booleans_are_left_to_others(value: str) -> None:
    assert uniformly(b'{"n":1,"i":1,"b":%s}\n' % value.encode()) is None


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\n",
        b"{}\n",
        b'{"n":1,"i":1}\n',
        b'{"i":1,"n":1,"b":true}\n',
        b'{"n":1,"i":1,"b":true,"n":2}\n',
        b'{"n":1,"i":1,"b":true,"x":2}\n',
        b'{"n":1,"n":1,"i":1,"b":true}\n',
        b'{"n":1,"i":1,"b":true,}\n',
        b'{"n":1,,"i":1,"b":true}\n',
        b'{"n":1}"i":1,"b":true}\n',
        b'{"n":1,"i":1,"b":true\n',
        b'{"n":1,"i":1,"b":true}}\n',
        b'{"n":1,"i":1,"b":true},\n',
        b'{"n":1,"i":1,"b":true} \n',
        b'{"n":1,"i":1,"b":true}\r\r\n',
        b'{"n":1,"i":1,"b":true}\n\n',
        b'\xef\xbb\xbf{"n":1,"i":1,"b":true}\n',
        b'{"n":1,"i":1,"b":true}{"n":1,"i":1,"b":true}\n',
        b'{"n":1,\n"i":1,"b":true}\n',
        b'{"\\u006e":1,"i":1,"b":true}\n',
        b'{"n":1,"i":9007199254740993,"b":true}\n',
        b'{"n":1,"i":1e17,"b":true}\n',
        b'{"n":1,"i":1,"b":true}\n\xff\n',
        b'{"n":1,"i":1,"b":true}\n\0\n',
    ],
)
def test_other_lines_are_left_to_others(block: bytes) -> None:
    assert uniformly(block) is None


def test_files_with_other_columns_never_take_it() -> None:
    for types in ({"t": "text"}, {"n": "number", "d": "date"}):
        assert UniformReader.of({name: name for name in types}, types) is None  # type: ignore[arg-type]
    for key in ('a"b', "a\\b", "a:b", "a,b", "a{", "a}", "a\tb", ""):
        assert UniformReader.of({key: "x"}, {"x": "number"}) is None
    many = {f"x{i}": f"x{i}" for i in range(MOST_KEYS + 1)}
    assert UniformReader.of(many, dict.fromkeys(many, "number")) is None


@pytest.mark.parametrize("key", ["a.b", "a b", "(a|b)*", "^a$", "é", "true", "&-~#", "'", "/"])
def test_keys_are_taken_to_the_letter(key: str) -> None:
    reader = UniformReader({key: "x", "b": "b"}, {"x": "number", "b": "boolean"})
    line = f'{{"{key}":2,"b":false}}\n'
    frame = reader.frame(line.encode() * 2)
    assert frame is not None
    assert frame.rows(named=True) == [{"x": 2.0, "b": False}] * 2
    assert reader.frame(line.replace(key, key + "x").encode()) is None


def test_a_line_that_is_too_long_is_left_to_others() -> None:
    long = b'{"n":0.' + b"1" * MAX_LINE_BYTES + b',"i":1,"b":true}\n'
    assert uniformly(long) is None


number = st.floats(-3e38, 3e38, allow_nan=False).map(repr) | st.from_regex(
    r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)
whole = st.integers(-(2**54), 2**54).map(str) | st.sampled_from(["2.5", "-0", "1e3"])
odd = st.sampled_from(NUMBERS + OTHERS)
seldom = st.integers(0, 30).map(lambda drawn: drawn == 0)


@st.composite
def lines(draw: st.DrawFn) -> str:
    colon, comma = draw(st.sampled_from([(":", ","), (": ", ", ")]))
    values = {"n": number, "i": whole, "b": st.sampled_from(["true", "false"])}
    members = []
    for key, fit in values.items():
        value = draw(odd if draw(seldom) else fit | st.just("null"))
        members.append(f'"{key}"{colon}{value}')
    if draw(seldom):
        members = draw(st.permutations(members))[draw(st.integers(0, 1)) :]
    end = draw(st.sampled_from(["\n"] * 30 + ["\r\n", "\n\n", "", " \n", ",\n", "}\n", "\r"]))
    return "{" + comma.join(members) + "}" + end


def outcome(folder: Path, content: bytes) -> object:
    try:
        profile, rows = read(folder, content, kind="ndjson")
    except BadFileError as error:
        return (str(error), error.line, error.column)
    # Sums of other blocks differ in their last digit.
    figures = [
        replace(c, mean=c.mean and float(f"{c.mean:.10g}"), std=c.std and float(f"{c.std:.6g}"))
        for c in profile.columns
    ]
    # By repr: 0.0 is equal to -0.0.
    return repr(figures), repr(rows)


@given(st.lists(lines(), max_size=10))
@example(['{"n":-0,"i":-0,"b":null}\n'])
@example(['{"n":1,"i":1e17,"b":true}\n', '{"n":1,"i":2.5,"b":true}\n'])
@quick
def test_all_roads_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, written: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("roads")
    content = FIRST + "".join(written).encode()
    swiftest = outcome(folder, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UniformReader, "of", lambda *_: None)
        assert outcome(folder, content) == swiftest
        patch.setattr(StructReader, "of", lambda *_: None)
        assert outcome(folder, content) == swiftest
