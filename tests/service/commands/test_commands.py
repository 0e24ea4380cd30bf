"""The commands against a real service, for people and for scripts."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from service.client import Client
from tests.service.commands.conftest import Refit

pytestmark = pytest.mark.e2e

COMPLETION = {
    "_REFIT_COMPLETE": "complete_bash",
    "COMP_WORDS": "refit params --model compl",
    "COMP_CWORD": "3",
}
RENT = ("--target", "rent", "--categories", "district", "--missing", "drop")


def test_a_csv_becomes_a_model_that_the_last_line_asks(refit: Refit, flats: Path) -> None:
    done = refit.run("train", flats, *RENT, "--model", "rent", "--follow")
    told = done.stdout
    assert re.search(r"test +0\.012\d+ +31\.6\d+ +40\.3\d+ +0\.98\d+ +100\.5\d+", told)
    assert "warning: 3 of 240 rows have a missing cell and were left out" in told
    assert "version 1 of rent is active: first version" in told
    assert "240 rows, 6 columns, dataset a20c0c32f1438137d2c0435a34abfd8e" in done.stderr
    assert "epoch 0 of 50: train 0.39" in done.stderr
    (example,) = re.findall(r"^try: refit (.*)$", told, re.MULTILINE)
    words = shlex.split(example)
    assert json.loads(words[-1])["rooms"] == 3
    assert 1000 < float(refit.run(*words).stdout) < 1400


def test_the_line_is_trained_where_no_file_is_given(refit: Refit) -> None:
    done = refit.run("train", "-m", "line", "-e", 50, "-f")
    assert "try: refit predict --model line 0.5" in done.stdout
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("epoch")] == [
        *map(str, range(0, 50, 5)),
        "49",
    ]


def test_without_follow_the_id_is_printed_and_leads_to_the_job(refit: Refit) -> None:
    job_id = refit.run("train", "-m", "later", "-e", 20).stdout.strip()
    assert re.fullmatch("[0-9a-f]{32}", job_id)
    followed = refit.run("jobs", job_id, "--follow")
    assert "succeeded" in followed.stdout
    assert "epoch 19 of 20" in followed.stderr
    assert refit.json("jobs", job_id)["version"] == 1
    assert [job["id"] for job in refit.json("jobs", "--model", "later")] == [job_id]
    assert job_id in refit.run("jobs", "--state", "succeeded", "-n", 100).stdout


def test_every_option_of_a_training_arrives(refit: Refit, tmp_path: Path) -> None:
    file = tmp_path / "a;b.csv"
    file.write_text("x y;code;z\n" + "".join(f"{n},5;00{n % 3};{n}\n" for n in range(30)))
    more = tmp_path / "more.json"
    more.write_text('{"early_stopping": null, "batch_size": 7, "epochs": 99}')
    job = refit.json(
        *("train", file, "--target", "z", "--features", '"x y",code', "--categories", "code"),
        *("--text", "code"),
        *("--delimiter", "semicolon", "--decimal", "comma", "--model", "options", "--seed", 7),
        *("--architecture", "mlp", "--loss", "huber", "--optimizer", "adamw", "--epochs", 3),
        *("--promote", "never", "--missing", "refuse", "--spec", f"@{more}"),
    )
    spec = job["spec"]
    assert spec["data"]["features"] == ["x y", "code"]
    assert (spec["data"]["target"], spec["data"]["categories"]) == ("z", ["code"])
    assert spec["architecture"]["kind"] == "mlp"
    assert (spec["loss"], spec["optimizer"]["kind"]) == ("huber", "adamw")
    assert (spec["epochs"], spec["seed"], spec["promote"]) == (3, 7, "never")
    assert (spec["early_stopping"], spec["batch_size"]) == (None, 7)


def test_a_version_that_is_not_active_is_tried_by_its_number(refit: Refit) -> None:
    refit.run("train", "-m", "tried", "-e", 5, "-f")
    told = refit.run("train", "-m", "tried", "-e", 5, "-f", "--promote", "never").stdout
    assert "version 2 of tried is not active: promote is never" in told
    assert "try: refit predict --model tried --version 2 0.5" in told


def test_a_training_that_fails_ends_with_code_1(refit: Refit) -> None:
    spec = '{"optimizer": {"kind": "sgd", "lr": 1e30}, "loss": "mse"}'
    done = refit.run("train", "-m", "fails", "-f", "--spec", spec, code=1)
    assert "failed (diverged): " in done.stderr
    done = refit.run("train", "-m", "fails", "-f", "--spec", spec, "--json", code=1)
    assert json.loads(done.stdout)["error"]["code"] == "diverged"


def test_what_the_service_refuses_is_one_line(refit: Refit, flats: Path) -> None:
    told = refit.error("train", flats, "--target", "rent", code=1)
    assert "3 of the 240 cells of column floor are missing" in told
    assert told.endswith("(invalid_request)")
    flats.write_text("a,b\n1\n")
    assert "(bad_file)" in refit.error("train", flats, "--target", "a", code=1)
    assert "(model_not_found)" in refit.error("params", "-m", "nobody", code=1)
    assert "(job_not_found)" in refit.error("jobs", "0" * 32, code=1)
    assert "(version_not_found)" in refit.error("activate", 99, code=1)
    assert "(nothing_to_roll_back)" in refit.error("rollback", code=1)


def test_predictions_are_a_line_each(refit: Refit, tmp_path: Path) -> None:
    done = refit.run("predict", "0.5", "-0.6", "60", "--explain", "--version", 1)
    lines = done.stdout.splitlines()
    assert lines[0] == "0.650914"
    assert [line.endswith("outside what was seen") for line in lines] == [False, True, True]
    assert done.stderr == "by version 1 of default\n"
    assert refit.run("predict", "--rows", '{"x": 0.5}').stdout == "0.650914\n"
    assert refit.run("predict", "--rows", '[{"x": 0.5}, {"x": 0.5}]').stdout == "0.650914\n" * 2
    file = tmp_path / "rows.csv"
    with file.open("w", newline="") as rows:
        csv.writer(rows).writerows([["x"], [0.5], [0.5]])
    assert refit.run("predict", "--file", file).stdout == "0.650914\n" * 2
    answer = refit.json("predict", "--file", file, "--explain")
    assert answer["y"] == pytest.approx([0.650914] * 2, rel=1e-5)
    assert (answer["version"], answer["extrapolating"]) == (1, [False, False])
    assert list(refit.json("predict", "0.5")) == ["y", "model", "version"]


def test_several_targets_stand_in_one_line_and_their_weights_apart(refit: Refit) -> None:
    with Client(refit.url) as client:
        x = [[float(n), float(n % 3)] for n in range(20)]
        client.train(model="pair", x=x, y=[[2 * a + 5 * b + 7, 3 * b - a] for a, b in x]).wait(60)
    first, second = refit.run(
        "predict", "-m", "pair", "--rows", '{"x1": 3, "x2": 1}'
    ).stdout.split()
    assert (float(first), float(second)) == pytest.approx((18, 0), abs=1e-3)
    shown = dict(
        re.findall(r"^ (\w[^\d]*\d.*?) {2,}(\S+)", refit.run("params", "-m", "pair").stdout, re.M)
    )
    assert {name: round(float(value), 3) for name, value in shown.items()} == {
        "weight y1 by x1": 2,
        "weight y1 by x2": 5,
        "weight y2 by x1": -1,
        "weight y2 by x2": 3,
        "bias y1": 7,
        "bias y2": 0,
    }


def test_parameters_stand_beside_the_truth_and_the_optimum(refit: Refit) -> None:
    shown = refit.run("params").stdout
    assert re.search(r"weight x +0\.6968\d+ +0\.7 +0\.7 *\n", shown)
    assert re.search(r"bias +0\.3025\d+ +0\.3 +0\.3 *\n", shown)
    assert refit.json("params")["truth"] == {"weight": 0.7, "bias": 0.3}
    refit.run("train", "-m", "network", "-a", "mlp", "-e", 2, "-f")
    assert re.search(r"weight +64 × 1 *\n", refit.run("params", "-m", "network").stdout)


def test_versions_are_listed_activated_and_rolled_back(refit: Refit) -> None:
    for epochs in (1, 2):
        refit.run("train", "-m", "moves", "-e", epochs, "-f", "--promote", "always")
    assert [(one["version"], one["active"]) for one in refit.json("versions", "-m", "moves")] == [
        (2, True),
        (1, False),
    ]
    assert re.search(r"^ *2 +\* +linear", refit.run("versions", "-m", "moves").stdout, re.M)
    moved = refit.run("activate", 1, "-m", "moves", "--wait").stdout
    assert moved == "version 1 of moves is active; 2 of 2 workers serve it\n"
    assert refit.json("rollback", "-m", "moves", "--wait")["version"] == 2


def test_a_job_is_cancelled(refit: Refit) -> None:
    job_id = refit.run("train", "-m", "long", "-e", 1_000_000).stdout.strip()
    assert job_id in refit.run("jobs", job_id, "--cancel").stdout
    followed = refit.run("jobs", job_id, "--follow", code=1)
    assert f"job {job_id} is cancelled" in followed.stderr
    assert "(job_finished)" in refit.error(
        "jobs", refit.json("jobs", "-m", "default")[0]["id"], "--cancel", code=1
    )


def test_bench_tells_what_it_measured(refit: Refit) -> None:
    done = refit.run("bench", "--seconds", 0.5, "--connections", 3, "--rows", 2)
    assert "requests per second" in done.stdout
    assert "share its processors" in done.stderr
    told = refit.json("bench", "-s", 0.5, "-c", 2)
    assert told["requests"] > 0
    assert (told["connections"], told["refused"], told["broken"]) == (2, 0, 0)
    assert 0 < told["p50_ms"] <= told["p90_ms"] <= told["p99_ms"] <= told["max_ms"]
    assert told["requests_per_second"] == pytest.approx(told["requests"] / told["seconds"])
    assert "(model_not_found)" in refit.error("bench", "-m", "nobody", code=1)


def test_names_of_models_are_completed_by_asking_the_service(refit: Refit) -> None:
    refit.run("train", "-m", "completed", "-e", 1, "-f")
    assert refit.run(environment=COMPLETION).stdout.split() == ["completed"]


def test_where_nobody_answers_nothing_is_completed(nobody: Refit) -> None:
    assert nobody.run(environment=COMPLETION).stdout.split() == []
