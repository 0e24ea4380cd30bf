"""The swift road through an NDJSON file and the patient one agree, to the word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml.datasets import ndjson
from ml.datasets.profile import ColumnType
from ml.datasets.records import MAX_LINE_BYTES
from ml.datasets.structs import StructReader
from ml.errors import BadFileError
from tests.ml.datasets.reading import quick, read, refusal

FIRST = (
    b'{"n": 0.5, "i": 1, "b": true, "t": "word", "d": "2024-01-31"}\n'
    b'{"n": 1, "i": 2, "b": false, "t": "", "d": "2024-01-31T10:00Z"}\n'
)
"""The sample: it tells the types of five columns."""


@pytest.fixture(scope="module", autouse=True)
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ndjson, "SAMPLE_ROWS", FIRST.count(b"\n"))
        patch.setattr(ndjson, "_BLOCK_BYTES", 100)
        yield


FIT = {
    "n": st.floats(allow_nan=False, width=32).map(repr)
    | st.sampled_from(["-0", "-0.0", "1e-400", "1E+2", "0.1" + "1" * 400, "1" + "0" * 30]),
    "i": st.integers(-(2**54), 2**54).map(repr) | st.sampled_from(["-0", "2.5", "1e17", "1e3"]),
    "b": st.sampled_from(["true", "false"]),
    "t": st.sampled_from(['"word"', '""', '"}"', r'"\n"', r'"\ud83d\ude00"', '"é"', '"  "']),
    "d": st.sampled_from(['"2024-02-29"', '""', '"2024-02-29T10:00:00.5+01:00"']),
}
ODD = st.sampled_from(
    [
        *["null", "NaN", "Infinity", "-Infinity", "1e39", "1e400", "1" + "0" * 400, "1" * 5_000],
        *["01", "1.", ".5", "+1", "1e", "0x1", "1_0", "", "tru", "[1]", "[[1]]", "{}", '{"n": 1}'],
        *[r'"\u0000"', r'"\\u0000"', r'"\ud800"', r'"\udc00\ud800"', '"\t"', '"\x00"', '"\udcff"'],
        *['"2024-02-30"', '"2024-2-1"', '"7"', "7", "true", '"a\nb"', '"a', "/* */ 1", "1 2"],
        *["9007199254740991", "9007199254740993", "-9007199254740993", "12345678901234567890123"],
    ]
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(list(FIT)), max_size=6))
    members = []
    for name in names:
        value = draw(FIT[name] if draw(st.integers(0, 9)) else ODD)
        key = draw(st.sampled_from([f'"{name}"'] * 20 + ['"new"', r'"\u006e"', "n", '"n\\u0000"']))
        members.append(key + draw(st.sampled_from([":", ": ", ":\t", ":\r"])) + value)
    if not draw(st.integers(0, 19)):
        members.append("")
    return "{" + draw(st.sampled_from([",", ", "])).join(members) + "}"


ENDS = st.sampled_from(
    ["\n"] * 20 + ["\r\n"] * 5 + [" \n", "\n\n", "\r\r\n", "\x0b\n", "", " ", ","]
)
LINES = objects() | st.sampled_from(
    ['{"n":', "1}", "[]", "null", "  ", "\ufeff{}", "\0", "{", "\u00a0", '{"n": 1}{"n": 2}']
)


def outcome(folder: Path, content: bytes) -> object:
    try:
        profile, rows = read(folder, content, kind="ndjson")
    except BadFileError as error:
        return (str(error), error.line, error.column)
    # By repr: 0.0 is equal to -0.0.
    return repr(profile), repr(rows)


@given(st.lists(st.tuples(st.one_of(*[objects()] * 9, LINES), ENDS), max_size=12))
@example([('{"n": 1} {"n": 2}', "\n"), ('{"n":\n3}', "\n")])
@example([('{"n": 1', "\n"), ('} {"n": 2}', "\n")])
@example([('{"i": 1e17}', "\n")])
@example([('{"n": 1, "n": "x"}', "\n"), ('{"n": "x", "n": 1}', "\n")])
@quick
def test_both_roads_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("roads")
    text = "".join(line + end for line, end in lines)
    content = FIRST + text.encode("utf-8", "surrogateescape")
    swift = outcome(folder, content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StructReader, "of", lambda *_: None)
        assert outcome(folder, content) == swift


TYPES: dict[str, ColumnType] = {
    "N": "number",
    "I": "integer",
    "B": "boolean",
    "T": "text",
    "D": "date",
}


def swiftly(block: bytes) -> list[tuple[object, ...]] | None:
    """The rows that the swift road makes of a block; None where it leaves them to the other."""
    reader = StructReader.of({name.lower(): name for name in TYPES}, TYPES)
    assert reader is not None
    frame = reader.frame(block)
    return None if frame is None else frame.rows()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_ordinary_objects_take_the_swift_road(end: bytes) -> None:
    block = end.join([FIRST.splitlines()[0], b"{}", b'{"d":"","n":1,"t":"\xc3\xa9"}'])
    gaps = (None, None, None, None, None)
    whole = (0.5, 1.0, True, "word", "2024-01-31")
    assert swiftly(block) == [whole, gaps, (1.0, None, None, "é", None)]


@pytest.mark.parametrize(
    "block",
    [
        b'{"n":1}{"n":2}\n',
        b'{"n":1} {"n":2}\n{"n":\n3}\n',
        b'{"n":1\n} {"n":2}\n',
        b'{"n":1}\n\n',
        b"\n",
        b'{"n":1}\r{"n":2}\n',
        b'{"x":1}\n',
        b'{"n":"1"}\n',
        b'{"n":true}\n',
        b'{"n":1e39}\n',
        b'{"b":1}\n',
        b'{"t":1}\n',
        b'{"t":"\\u0000"}\n',
        b'{"d":"2024-02-30"}\n',
        b'{"i":9007199254740993}\n',
        b"[1]\n",
        b'{"n":NaN}\n',
        b'{"t":"\xff"}\n',
    ],
)
def test_all_else_is_left_to_the_patient_one(block: bytes) -> None:
    assert swiftly(block) is None


def test_a_key_that_no_struct_can_have(tmp_path: Path) -> None:
    content = '{"a\\"b": 1}\n{"a\\"b": 2}\n{"a\\"b": 3}\n'
    assert StructReader.of({'a"b': "x"}, {"x": "number"}) is None
    assert read(tmp_path, content, kind="ndjson")[1] == [(1.0,), (2.0,), (3.0,)]


def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    long = b'{"t": "' + b"x" * MAX_LINE_BYTES + b'"}\n'
    error = refusal(tmp_path, FIRST + b'{"t": "x"}\n' + long, kind="ndjson")
    assert (error.line, str(error)) == (4, "line 4: longer than 16 MiB")
