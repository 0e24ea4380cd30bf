"""Trainings on a real service, from whatever a person has in hand; and what follows them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from service.client import (
    AsyncClient,
    BadFileError,
    Client,
    DatasetNotFoundError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobCancelledError,
    JobFinishedError,
    NotFoundError,
    NothingToRollBackError,
    TooLargeError,
    VersionActiveError,
    VersionNotFoundError,
)
from service.remote import training
from tests.e2e.running import RunningService

pytestmark = pytest.mark.e2e

FLATS = Path(__file__).parents[3] / "docs" / "data" / "flats.csv"
X, Y = [1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 7.0, 9.0]


def slope(client: Client, model: str) -> Any:
    return client.params(model).weight


def test_nothing_given_is_the_tutorials_line(client: Client) -> None:
    job = client.train(model="line", epochs=20).wait(60)
    assert job.latest.spec["data"]["source"] == "line"
    assert job.latest.spec["loss"] == "l1"
    assert client.params("line").truth is not None


@pytest.mark.parametrize("kind", [list, tuple, np.array, pl.Series])
def test_points_are_lists_arrays_or_series(client: Client, kind: Any) -> None:
    model = f"points-{kind.__name__}"
    client.train(model=model, x=kind(X), y=kind(Y)).wait(60)
    assert slope(client, model) == pytest.approx(2, abs=1e-4)


def test_points_may_be_rows_with_names(client: Client) -> None:
    x = pl.DataFrame({"a": X, "b": [1.0, 0.0, 1.0, 1.0]})
    client.train(model="named", x=x, y=pl.Series("c", Y)).wait(60)
    params = client.params("named")
    assert (params.feature_names, params.target_names) == (["a", "b"], ["c"])


def test_a_small_frame_of_numbers_goes_as_points(client: Client) -> None:
    frame = pl.DataFrame({"a": X, "b": Y})
    job = client.train(frame, model="small", target="b").wait(60)
    assert job.latest.spec["data"]["source"] == "points"
    assert client.params("small").feature_names == ["a"]
    assert client.predict(pl.DataFrame({"a": [10.0]}), model="small").y[0] == pytest.approx(21)


def test_a_frame_of_pandas_trains(client: Client) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"code": ["007", "008"] * 4, "a": X * 2, "b": Y * 2})
    client.train(frame[["a", "b"]], model="pandas", target="b").wait(60)
    assert slope(client, "pandas") == pytest.approx(2, abs=1e-4)
    job = client.train(frame, model="pandas-text", target="b", categories=["code"]).wait(60)
    assert job.latest.spec["data"]["source"] == "dataset"
    assert client.params("pandas-text").categories == {"code": ["007", "008"]}


def test_a_frame_with_text_or_gaps_or_many_cells_goes_as_a_dataset(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"code": ["007", "008"] * 4, "a": X * 2, "b": Y * 2})
    job = client.train(frame, model="text", target="b", categories=["code"]).wait(60)
    # Text stays text, though it looks like numbers.
    assert client.params("text").categories == {"code": ["007", "008"]}
    assert job.latest.spec["data"]["features"] == ["code", "a"]
    gaps = pl.DataFrame({"a": [*X, None], "b": [*Y, 1.0]})
    with pytest.raises(InvalidRequestError, match="missing"):
        client.train(gaps, model="gaps", target="b")
    assert client.train(gaps, model="gaps", target="b", missing="drop").wait(60).warnings
    monkeypatch.setattr(training, "SMALL_CELLS", 7)
    many = client.train(pl.DataFrame({"a": X, "b": Y}), model="many", target="b").wait(60)
    assert many.latest.spec["data"]["source"] == "dataset"


def test_a_frame_keeps_every_digit_on_its_way(client: Client) -> None:
    values = [0.1 + 0.2, 1e-300, 1 / 3, 123456789.12345679]
    dataset = client.upload(pl.DataFrame({"a": values}), name="digits")
    (column,) = dataset.columns
    assert (column.min, column.max) == (min(values), max(values))


def test_a_file_is_sent_and_trained_on(client: Client) -> None:
    options: Any = {"target": "rent", "categories": ["district"], "missing": "drop"}
    first = client.train(FLATS, model="rent", **options).wait(60)
    assert first.metrics["test_mae"] == pytest.approx(31.603, rel=1e-3)
    dataset = client.dataset(first.latest.spec["data"]["dataset"])
    assert (dataset.name, dataset.rows) == ("flats.csv", 240)
    for again in (str(FLATS), dataset.id, dataset):
        job = client.train(again, model="rent", promote="never", **options)
        assert job.latest.spec["data"]["dataset"] == dataset.id
    with FLATS.open("rb") as file:
        job = client.train(file, model="rent", promote="never", **options)
    assert job.latest.spec["data"]["dataset"] == dataset.id
    job.wait(60)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (None, {"x": X}, "x= and y= go together"),
        (None, {"target": "b"}, "target cannot stand beside x and y"),
        (FLATS, {}, "say target="),
        (FLATS, {"target": "rent", "x": X}, "x cannot stand beside data"),
        ({"source": "line"}, {"target": "y"}, "target cannot stand beside a spec"),
        (7, {"target": "y"}, "cannot train on int"),
    ],
)
def test_what_does_not_go_together_is_refused_here(
    client: Client, data: Any, options: Any, words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        client.train(data, model="never", **options)


def test_columns_that_are_not_there_are_refused_here_or_there(client: Client) -> None:
    frame = pl.DataFrame({"a": X, "b": Y})
    with pytest.raises(ValueError, match="no column 'c'; it has a, b"):
        client.train(frame, model="never", target="c")
    with pytest.raises(InvalidRequestError):
        client.train(FLATS, model="never", target="c")
    with pytest.raises(FileNotFoundError):
        client.train("nowhere.csv", model="never", target="c")
    with pytest.raises(ValueError, match="say format="):
        client.upload(__file__)
    with pytest.raises(TypeError, match="mode 'rb'"), FLATS.open() as file:
        client.upload(file)


def test_unknown_fields_are_refused_by_the_service_by_name(client: Client) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.train(epoch=3)  # type: ignore[call-arg]
    assert caught.value.errors[0].pointer == "/epoch"


def test_a_kind_may_be_said_in_one_word(client: Client) -> None:
    job = client.train(model="word", x=X * 5, y=Y * 5, architecture="mlp", optimizer="adamw")
    assert job.latest.spec["architecture"]["kind"] == "mlp"
    assert job.latest.spec["optimizer"]["kind"] == "adamw"
    job.cancel()


def test_a_key_makes_it_the_same_job(client: Client) -> None:
    first = client.train(model="key", epochs=3, idempotency_key="nightly-7")
    assert client.train(model="key", epochs=3, idempotency_key="nightly-7").id == first.id
    with pytest.raises(IdempotencyKeyReusedError):
        client.train(model="key", epochs=4, idempotency_key="nightly-7")
    assert client.train(model="key", epochs=3).id != first.id


def test_whoever_has_waited_is_answered_by_the_new_version(client: Client) -> None:
    for turn in range(1, 6):
        job = client.train(model="turns", epochs=turn, promote="always").wait(60)
        assert job.version == turn
        answers = {client.predict(1.0, model="turns").version for _ in range(20)}
        assert answers == {turn}


def test_points_are_seen_while_waiting(client: Client) -> None:
    seen: list[Any] = []
    job = client.train(model="seen", epochs=100, evaluate_every=20).wait(60, on_point=seen.append)
    assert [point.epoch for point in seen] == [0, 20, 40, 60, 80, 99]
    assert job.curve() == seen


def test_a_job_is_cancelled_while_it_is_followed(client: Client) -> None:
    job = client.train(model="long", epochs=1_000_000, evaluate_every=1000)
    events = job.events()
    while type(next(events)).__name__ != "PointEvent":
        pass
    job.cancel()
    *_, end = events
    assert end.state == "cancelled"  # type: ignore[union-attr]
    with pytest.raises(JobCancelledError):
        job.wait(60)
    assert client.job(job.id).refresh().ended
    with pytest.raises(JobFinishedError):
        client.train(model="long", epochs=1).wait(60).cancel()


def test_versions_are_listed_activated_rolled_back_and_deleted(client: Client) -> None:
    for epochs in (1, 2, 3):
        client.train(model="moves", epochs=epochs, promote="always").wait(60)
    assert [version.version for version in client.versions("moves")] == [3, 2, 1]
    assert client.version(2, "moves").spec["epochs"] == 2
    moved = client.activate(1, "moves", wait=30)
    assert (moved.version, moved.acknowledged, moved.failures) == (1, moved.workers, [])
    assert client.predict(1.0, model="moves").version == 1
    assert client.rollback("moves", wait=30).version == 3
    with pytest.raises(VersionActiveError):
        client.delete_version(3, "moves")
    client.delete_version(2, "moves")
    with pytest.raises(VersionNotFoundError):
        client.version(2, "moves")
    assert "moves" in [model.model for model in client.models()]
    assert (client.model("moves").active_version, client.model("moves").versions) == (3, 2)
    client.train(model="once", epochs=1).wait(60)
    with pytest.raises(NothingToRollBackError):
        client.rollback("once")


def test_lists_go_on_beyond_a_page(client: Client) -> None:
    model = "pages"
    keys = [f"page-{turn}" for turn in range(101)]
    for key in keys:
        client.train(model=model, epochs=10**6, idempotency_key=key).cancel()
    jobs = list(client.jobs(model=model))
    assert len(jobs) == 101
    assert len({job.id for job in jobs}) == 101
    assert {job.state for job in client.jobs(model=model, state="cancelled")} <= {"cancelled"}


def test_weights_are_written_whole_and_load(client: Client, tmp_path: Path) -> None:
    client.train(model="weights", epochs=5).wait(60)
    bias = client.params("weights").bias
    tensors = load_file(client.download_state_dict(tmp_path / "w.safetensors", "weights"))
    assert tensors["linear_layer.bias"].item() == pytest.approx(bias)
    path = client.download_state_dict(tmp_path / "w.pth", "weights", 1)
    assert torch.load(path, weights_only=True)["linear_layer.bias"].item() == pytest.approx(bias)
    assert {file.name for file in tmp_path.iterdir()} == {"w.safetensors", "w.pth"}
    with pytest.raises(ValueError, match=r"\.safetensors"):
        client.download_state_dict(tmp_path / "w.onnx", "weights")
    with pytest.raises(VersionNotFoundError):
        client.download_state_dict(tmp_path / "other.pth", "weights", 9)
    assert not (tmp_path / "other.pth").exists()


def test_datasets_are_sent_listed_and_deleted(client: Client, tmp_path: Path) -> None:
    tabs = tmp_path / "tabs.tsv"
    tabs.write_bytes(b"a\tb\n1\t0,5\n2\t1,5\n")
    dataset = client.upload(tabs, decimal="comma", text=["a"])
    assert dataset.sha256 == hashlib.sha256(tabs.read_bytes()).hexdigest()
    assert [column.type for column in dataset.columns] == ["text", "number"]
    assert dataset.name == "tabs.tsv"
    assert dataset.id in [known.id for known in client.datasets()]
    client.delete_dataset(dataset.id)
    with pytest.raises(DatasetNotFoundError):
        client.dataset(dataset.id)
    lines = tmp_path / "rows.jsonl"
    lines.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    assert client.upload(lines, name="lines").format == "ndjson"
    commas = pl.DataFrame({'a, "b"': ["1", "2"]})
    assert client.upload(commas).columns[0].type == "text"


def test_a_bad_row_is_told_with_its_place(client: Client, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(FLATS.read_text().replace("101.7", "large", 1))
    with pytest.raises(BadFileError) as caught:
        client.upload(bad)
    assert (caught.value.errors[0].line, caught.value.errors[0].column) == (2, "size_m2")


def test_a_body_that_is_too_large_is_told(client: Client) -> None:
    with pytest.raises(TooLargeError):
        client.predict(np.zeros((200_000, 30), "float32"))


def test_there_is_nothing_at_a_wrong_address(real: RunningService) -> None:
    with Client(f"{real.url}/refit") as client, pytest.raises(NotFoundError):
        client.params()


def test_the_client_that_does_not_block_does_the_same(real: RunningService, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncClient(real.url) as client:
            options: Any = {"target": "rent", "missing": "drop"}
            job = await client.train(FLATS, model="async", **options)
            seen: list[Any] = []
            await job.wait(60, on_point=seen.append)
            assert await job.curve() == seen
            assert (await job.refresh()).state == "succeeded"
            assert [event.id async for event in job.events()][:3] == [1, 2, 3]
            told = await asyncio.gather(*(client.predict(0.5) for _ in range(20)))
            assert {one.version for one in told} == {1}
            assert [model.model async for model in client.models()]
            path = await client.download_state_dict(tmp_path / "w.pth", "async")
            assert path.stat().st_size > 0
            moved = await client.activate(1, "async", wait=10)
            assert moved.version == 1

    asyncio.run(story())
