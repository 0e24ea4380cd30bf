"""Bodies of POST /train that cannot be meant: a 422 that points at the place, nothing queued."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.settings import Settings
from tests.service.api.bodies import NO_JSON, NO_NUMBER, NO_OBJECT
from tests.service.api.driving import Client, check_problem, pointers, speaking_to
from tests.service.making import Place

SECRET = "do-not-repeat-me"


def queued(client: Client) -> int:
    return len(client.get("/jobs").json()["jobs"])


@pytest.mark.parametrize("body", NO_JSON)
def test_what_is_no_json_is_refused_as_a_whole(steady_client: Client, body: bytes) -> None:
    answer = steady_client.post("/train", body)
    assert pointers(answer) == [""]
    assert len(answer.text) < 1000
    assert queued(steady_client) == 0


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused_as_a_whole(steady_client: Client, body: bytes) -> None:
    assert pointers(steady_client.post("/train", body)) == [""]
    assert queued(steady_client) == 0


POINTS = '{"data": {"source": "points", "x": [1, 2, 3], "y": [1, 2, 3], %s}}'

PLACES_OF_NUMBERS = [
    ('{"data": {"weight": %s}}', "/data/weight"),
    ('{"data": {"source": "line", "step": %s}}', "/data/step"),
    ('{"data": {"source": "points", "x": [1, %s], "y": [1, 2]}}', "/data/x/1"),
    ('{"data": {"source": "points", "x": [[1, 2], [3, %s]], "y": [1, 2]}}', "/data/x/1/1"),
    ('{"data": {"source": "points", "x": [1, 2], "y": [%s, 2]}}', "/data/y/0"),
    ('{"optimizer": {"lr": %s}}', "/optimizer/lr"),
    ('{"optimizer": {"kind": "adam", "weight_decay": %s}}', "/optimizer/weight_decay"),
    ('{"split": {"train": %s}}', "/split/train"),
    ('{"architecture": {"kind": "mlp", "dropout": %s}}', "/architecture/dropout"),
    ('{"early_stopping": {"min_delta": %s}}', "/early_stopping/min_delta"),
]


@pytest.mark.parametrize("value", NO_NUMBER)
@pytest.mark.parametrize(("template", "pointer"), PLACES_OF_NUMBERS)
def test_what_is_no_number_of_float32_is_pointed_at(
    steady_client: Client, template: str, pointer: str, value: str
) -> None:
    answer = steady_client.post("/train", template % value)
    assert pointers(answer) == [pointer]
    assert SECRET not in answer.text
    assert len(answer.text) < 1000
    assert queued(steady_client) == 0


PLACES_OF_WHOLE_NUMBERS = [
    ('{"epochs": %s}', "/epochs"),
    ('{"batch_size": %s}', "/batch_size"),
    ('{"evaluate_every": %s}', "/evaluate_every"),
    ('{"seed": %s}', "/seed"),
    ('{"start_from": %s}', "/start_from"),
    ('{"architecture": {"kind": "mlp", "hidden": [3, %s]}}', "/architecture/hidden/1"),
    ('{"early_stopping": {"patience": %s}}', "/early_stopping/patience"),
]


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "1e400", "1.5", '"1"', f'"{SECRET}"', "true", "{}", "[]", "-1"],
)
@pytest.mark.parametrize(("template", "pointer"), PLACES_OF_WHOLE_NUMBERS)
def test_what_is_no_whole_number_is_pointed_at(
    steady_client: Client, template: str, pointer: str, value: str
) -> None:
    answer = steady_client.post("/train", template % value)
    assert set(pointers(answer)) == {pointer}
    assert SECRET not in answer.text
    assert queued(steady_client) == 0


@pytest.mark.parametrize("digits", [19, 309, 400, 4300])
@pytest.mark.parametrize(("template", "pointer"), PLACES_OF_WHOLE_NUMBERS)
def test_whole_numbers_beyond_all_measure_never_make_it_stumble(
    empty_client: Client, template: str, pointer: str, digits: int
) -> None:
    answer = empty_client.post("/train", template % ("9" * digits))
    if pointer in ("/evaluate_every", "/early_stopping/patience"):
        # A figure above the epochs asks for the first and last point, or for no stop at all.
        assert answer.status_code == 202
    else:
        assert any(pointer.startswith(told) for told in pointers(answer))
        assert len(answer.text) < 1000


BAD: list[tuple[str, list[str]]] = [
    # unknown fields, and fields of another member of a union
    (f'{{"{SECRET}": 1}}', [f"/{SECRET}"]),
    ('{"Epochs": 10}', ["/Epochs"]),
    ('{"data": {"source": "line", "slope": 1}}', ["/data/slope"]),
    ('{"data": {"source": "line", "x": [1]}}', ["/data/x"]),
    ('{"architecture": {"kind": "linear", "hidden": [3]}}', ["/architecture/hidden"]),
    ('{"optimizer": {"kind": "adam", "momentum": 0.9}}', ["/optimizer/momentum"]),
    ('{"a/b": 1, "c~d": 1}', ["/a~1b", "/c~0d"]),
    ('{"": 1}', ["/"]),
    # unknown members of unions
    (f'{{"data": {{"source": "{SECRET}"}}}}', ["/data"]),
    ('{"data": {"source": null}}', ["/data"]),
    ('{"data": {"source": 1}}', ["/data"]),
    ('{"data": {"source": ["line"]}}', ["/data"]),
    (f'{{"architecture": {{"kind": "{SECRET}"}}}}', ["/architecture"]),
    (f'{{"optimizer": {{"kind": "{SECRET}"}}}}', ["/optimizer"]),
    (f'{{"loss": "{SECRET}"}}', ["/loss"]),
    (f'{{"promote": "{SECRET}"}}', ["/promote"]),
    ('{"architecture": {"kind": "mlp", "activation": "softmax"}}', ["/architecture/activation"]),
    # wrong types
    ('{"data": []}', ["/data"]),
    ('{"data": null}', ["/data"]),
    (f'{{"data": "{SECRET}"}}', ["/data"]),
    ('{"split": 0.8}', ["/split"]),
    ('{"architecture": "linear"}', ["/architecture"]),
    ('{"optimizer": "adam"}', ["/optimizer"]),
    ('{"early_stopping": true}', ["/early_stopping"]),
    ('{"standardize": 1}', ["/standardize"]),
    ('{"standardize": "true"}', ["/standardize"]),
    ('{"split": {"shuffle": 0}}', ["/split/shuffle"]),
    ('{"loss": null}', ["/loss"]),
    ('{"loss": 1}', ["/loss"]),
    ('{"epochs": null}', ["/epochs"]),
    # bounds
    ('{"epochs": 0}', ["/epochs"]),
    ('{"epochs": 1000001}', ["/epochs"]),
    ('{"seed": -1}', ["/seed"]),
    ('{"seed": 9223372036854775808}', ["/seed"]),
    ('{"optimizer": {"lr": 0}}', ["/optimizer/lr"]),
    ('{"split": {"train": 0}}', ["/split/train"]),
    ('{"split": {"train": 1.1}}', ["/split/train"]),
    ('{"split": {"train": 0.8, "validation": 0.3}}', ["/split/validation"]),
    ('{"split": {"train": 0.001}}', ["/split/train"]),
    ('{"data": {"step": 0}}', ["/data/step"]),
    ('{"data": {"step": 1e-30}}', ["/data/step"]),
    ('{"data": {"start": 1, "end": 1}}', ["/data/end"]),
    ('{"data": {"weight": 3e38, "end": 100}}', ["/data/weight"]),
    ('{"data": {"noise": -1}}', ["/data/noise"]),
    ('{"data": {"step": 1e-6}}', ["/data"]),
    ('{"architecture": {"kind": "mlp", "hidden": []}}', ["/architecture/hidden"]),
    ('{"architecture": {"kind": "mlp", "dropout": 1}}', ["/architecture/dropout"]),
    ('{"early_stopping": {"patience": 0}}', ["/early_stopping/patience"]),
    ('{"early_stopping": {}, "split": {"train": 1}}', ["/early_stopping"]),
    ('{"optimizer": {"kind": "lbfgs"}, "batch_size": 5}', ["/batch_size"]),
    ('{"start_from": 0}', ["/start_from", "/start_from"]),
    ('{"start_from": "yesterday"}', ["/start_from", "/start_from"]),
    ('{"start_from": "active"}', ["/start_from"]),
    ('{"start_from": 7}', ["/start_from"]),
    ('{"start_from": 2147483648}', ["/start_from", "/start_from"]),
    ('{"start_from": 9223372036854775808}', ["/start_from", "/start_from"]),
    # points
    ('{"data": {"source": "points"}}', ["/data/x", "/data/y"]),
    ('{"data": {"source": "points", "x": [], "y": []}}', ["/data/x", "/data/y"]),
    ('{"data": {"source": "points", "x": [[]], "y": [1]}}', ["/data/x/0"]),
    ('{"data": {"source": "points", "x": [[1, 2], [3]], "y": [1, 2]}}', ["/data/x/1"]),
    ('{"data": {"source": "points", "x": [[1], 2], "y": [1, 2]}}', ["/data/x/1"]),
    ('{"data": {"source": "points", "x": [1, [2]], "y": [1, 2]}}', ["/data/x/1"]),
    ('{"data": {"source": "points", "x": [[[1]]], "y": [1]}}', ["/data/x/0/0"]),
    ('{"data": {"source": "points", "x": 1, "y": 1}}', ["/data/x", "/data/y"]),
    ('{"data": {"source": "points", "x": {"a": 1}, "y": [1]}}', ["/data/x"]),
    ('{"data": {"source": "points", "x": [1, 2, 3], "y": [1, 2]}}', ["/data/y"]),
    (POINTS % '"feature_names": ["a", "b"]', ["/data/feature_names"]),
    (POINTS % '"target_names": []', ["/data/target_names"]),
    (POINTS % '"feature_names": [""]', ["/data/feature_names/0"]),
    (POINTS % '"feature_names": [7]', ["/data/feature_names/0"]),
    (
        '{"data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [1, 2],'
        ' "feature_names": ["a", "a"]}}',
        ["/data/feature_names"],
    ),
    (
        '{"data": {"source": "points", "x": [[1, 2], [3, 4]], "y": [1, 2]},'
        ' "architecture": {"kind": "parameters"}}',
        ["/architecture/kind"],
    ),
    # several at once
    ('{"epochs": 0, "seed": "x", "loss": 1}', ["/loss", "/epochs", "/seed"]),
]


@pytest.mark.parametrize(("body", "wanted"), BAD)
def test_what_cannot_be_meant_is_pointed_at_and_nothing_is_queued(
    steady_client: Client, body: str, wanted: list[str]
) -> None:
    answer = steady_client.post("/models/nobody/train", body)
    assert pointers(answer) == wanted
    # The names of unknown fields are told; no value is.
    assert SECRET not in answer.text or any(SECRET in pointer for pointer in wanted)
    assert queued(steady_client) == 0


def test_the_first_faults_of_many_are_told_and_the_rest_counted(steady_client: Client) -> None:
    body = {f"field{i}": 1 for i in range(50)}
    problem = check_problem(steady_client.post("/train", body), 422, "invalid_request")
    assert len(problem["errors"]) == 20
    assert "(and 49 more)" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (POINTS % '"feature_names": [1, 1, 1]', "/data/feature_names/0"),
        (POINTS % '"target_names": [1, 1, 1]', "/data/target_names/0"),
        ('{"architecture": {"kind": "mlp", "hidden": [0, 0, 0]}}', "/architecture/hidden/0"),
    ],
)
def test_the_first_wrong_element_ends_the_check_of_a_list(
    steady_client: Client, body: str, wanted: str
) -> None:
    assert pointers(steady_client.post("/train", body)) == [wanted]


def test_a_long_name_is_cut(steady_client: Client) -> None:
    answer = steady_client.post("/train", {"n" * 100_000: 1})
    assert pointers(answer) == ["/" + "n" * 100]
    assert len(answer.text) < 1000


def test_a_name_is_told_in_ascii_whatever_it_holds(steady_client: Client) -> None:
    answer = steady_client.post("/train", '{"größe\\u0000\\u2028": 1}')
    assert pointers(answer) == ["/größe\x00\u2028"]
    assert answer.content.isascii()


@pytest.mark.parametrize("body", ["", "{}", ' {"epochs": 1000}\n', '{"epochs": 5, "epochs": 1000}'])
def test_bodies_that_can_be_meant_are_queued(empty_client: Client, body: str) -> None:
    # Of a name that comes twice, the last value counts, as almost everywhere.
    answer = empty_client.post("/train", body)
    assert answer.status_code == 202
    assert answer.json()["progress"]["epochs"] == 1000


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/csv", "application/x-www-form-urlencoded", "application/jsonx", "", "*/*"],
)
def test_another_media_type_is_refused(steady_client: Client, kind: str) -> None:
    answer = steady_client.post("/train", "{}", headers={"Content-Type": kind})
    body = check_problem(answer, 415, "unsupported_media_type")
    assert "application/json" in body["detail"]


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;x=y"]
)
def test_json_is_json_however_it_is_written(empty_client: Client, kind: str) -> None:
    answer = empty_client.post("/train", "{}", headers={"Content-Type": kind})
    assert answer.status_code == 202


def test_a_body_without_a_media_type_is_taken_as_json(empty_client: Client) -> None:
    assert empty_client.request("POST", "/train", content=b'{"epochs": 3}').status_code == 202


# ---- size ----


@pytest.fixture
def narrow(place: Place, settings: Settings) -> Iterator[Client]:
    with speaking_to(settings.model_copy(update={"max_body_bytes": 100})) as client:
        yield client


def test_a_body_at_the_bound_is_read_and_one_byte_more_is_refused(narrow: Client) -> None:
    body = b'{"epochs": 3}'.ljust(100)
    assert narrow.post("/train", body).status_code == 202
    problem = check_problem(narrow.post("/train", body + b" "), 413, "too_large")
    assert "101 bytes, at most 100" in problem["detail"]


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_long(narrow: Client) -> None:
    body = b'{"epochs": 3}'.ljust(100)
    assert narrow.post_chunks("/train", [body[:50], body[50:]]).status_code == 202
    endless = narrow.post_chunks("/train", [b"x" * 60, b"x" * 60, b"x" * 10**6])
    problem = check_problem(endless, 413, "too_large")
    assert "more than 100 bytes" in problem["detail"]


@pytest.mark.parametrize("told", ["99999999999999999999", "9" * 5000])
def test_a_length_beyond_all_measure_is_too_large(narrow: Client, told: str) -> None:
    answer = narrow.post("/train", "{}", headers={"Content-Length": told})
    check_problem(answer, 413, "too_large")
    assert len(answer.text) < 1000


@pytest.mark.parametrize("told", ["-1", "ten", "\xb2", "1, 1", ""])
def test_a_length_that_is_none_does_not_matter(narrow: Client, told: str) -> None:
    headers = {"Content-Length": told.encode("latin-1")}
    assert narrow.post("/train", "{}", headers=headers).status_code == 202
    assert narrow.post("/train", "x" * 101, headers=headers).status_code == 413
