"""Bodies that are no JSON, or none that can be meant, whatever the route."""

from __future__ import annotations

import pytest

NO_JSON = [
    pytest.param(b"{", id="truncated object"),
    pytest.param(b'{"x": [1, 2', id="truncated list"),
    pytest.param(b'{"x": "abc', id="truncated string"),
    pytest.param(b'{"x": 1} {"x": 2}', id="two values"),
    pytest.param(b'{"x": 1},', id="trailing comma"),
    pytest.param(b"{'x': 1}", id="single quotes"),
    pytest.param(b"{x: 1}", id="bare name"),
    pytest.param(b'{"x": 01}', id="leading zero"),
    pytest.param(b'{"x": +1}', id="plus sign"),
    pytest.param(b'{"x": .5}', id="no digit before the point"),
    pytest.param(b'{"x": 0x10}', id="hexadecimal"),
    pytest.param(b'{"x": nan}', id="lower case nan"),
    pytest.param(b'{"x": undefined}', id="undefined"),
    pytest.param(b'{"x": 1} // comment', id="comment"),
    pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
    pytest.param('{"x": 1}'.encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"x": "\xff"}', id="invalid UTF-8"),
    pytest.param(b'{"x": "\xed\xa0\x80"}', id="UTF-8 of a surrogate"),
    pytest.param(b'{"x": "\\ud800"}', id="lone surrogate in a value"),
    pytest.param(b'{"\\ud800": 1}', id="lone surrogate in a name"),
    pytest.param(b'{"x": "\\x"}', id="unknown escape"),
    pytest.param(b'{"x": "a\nb"}', id="newline in a string"),
    pytest.param(b"\x00", id="null byte"),
    pytest.param(b"\x1f\x8b\x08\x00\x00\x00\x00\x00", id="gzip"),
    pytest.param(b"   ", id="blanks"),
    pytest.param(b"[" * 100_000, id="deep lists"),
    pytest.param(b'{"x":' * 100_000, id="deep objects"),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep lists that are closed"),
    pytest.param(b'{"x": ' + b"9" * 5000 + b"}", id="more digits than Python reads"),
    pytest.param(b"x=1&y=2", id="a form"),
    pytest.param(b"<x>1</x>", id="XML"),
]

NO_OBJECT = [
    pytest.param(b"[]", id="list"),
    pytest.param(b'[{"x": 1}]', id="list of an object"),
    pytest.param(b"1", id="number"),
    pytest.param(b"1e400", id="number beyond float64"),
    pytest.param(b"NaN", id="NaN"),
    pytest.param(b"-Infinity", id="-Infinity"),
    pytest.param(b'"x"', id="string"),
    pytest.param(b"null", id="null"),
    pytest.param(b"true", id="true"),
]

NO_NUMBER = [
    pytest.param("NaN", id="NaN"),
    pytest.param("Infinity", id="Infinity"),
    pytest.param("-Infinity", id="-Infinity"),
    pytest.param("1e400", id="1e400"),
    pytest.param("-1e400", id="-1e400"),
    pytest.param("1e39", id="1e39"),
    pytest.param("-1e39", id="-1e39"),
    pytest.param("1" + "0" * 39, id="10^39 in digits"),
    pytest.param("1" + "0" * 400, id="10^400 in digits"),
    pytest.param('"1"', id="string"),
    pytest.param('""', id="empty string"),
    pytest.param('"do-not-repeat-me"', id="secret"),
    pytest.param("true", id="true"),
    pytest.param("false", id="false"),
    pytest.param("null", id="null"),
    pytest.param("{}", id="object"),
]
"""Values in the place of a number; `null` is none either."""
