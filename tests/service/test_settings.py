"""What the environment may say: defaults, and words for what cannot be meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, SettingsError, load_settings, unknown_settings

DEFAULTS = {
    "host": "127.0.0.1",
    "port": 8000,
    "workers": 2,
    "data_dir": Path("data"),
    "database_url": None,
    "device": "auto",
    "bootstrap": True,
    "start_method": "auto",
    "log_level": "info",
    "log_format": "text",
    "access_log": False,
    "max_body_bytes": 16 * 1024 * 1024,
    "max_rows": 200_000,
    "max_dataset_bytes": 4 * 1024**3,
    "max_dataset_rows": 100_000_000,
    "max_dataset_columns": 2_000,
    "max_datasets": 1_000,
    "max_uploads": 2,
    "max_import_bytes": 67_108_864,
    "max_predict_rows": 200_000,
    "max_predictions": 128,
    "predict_seconds": 30,
    "max_epochs": 1_000_000,
    "max_steps": 20_000_000,
    "max_work": 10**13,
    "max_hidden_units": 16_384,
    "max_parameters": 10_000_000,
    "max_curve_points": 10_000,
    "max_queued_jobs": 100,
    "max_connections": 10_000,
    "client_timeout": 10,
    "keep_alive_seconds": 75,
    "drain_seconds": 1,
    "max_wait_seconds": 60,
    "max_event_streams": 100,
    "max_loaded_versions": 16,
    "max_attempts": 3,
    "checkpoint_seconds": 5,
    "retry_seconds": 1,
    "train_concurrency": 1,
    "lease_seconds": 10,
    "stall_seconds": 600,
    "keep_versions": 0,
    "keep_jobs_days": 0,
    "train_memory_bytes": 1024**3,
    "train_threads": 1,
    "predict_threads": 1,
    "poll_seconds": 0.05,
    "shutdown_seconds": 8,
}


def test_without_an_environment_every_setting_has_its_default() -> None:
    assert load_settings().model_dump() == DEFAULTS


def test_every_setting_has_a_sentence() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("PORT", "0", 0),
        ("PORT", "65535", 65535),
        ("WORKERS", "16", 16),
        ("DATA_DIR", "/var/lib/refit", Path("/var/lib/refit")),
        ("DATABASE_URL", "postgresql+psycopg://host/refit", "postgresql+psycopg://host/refit"),
        ("DEVICE", "cpu", "cpu"),
        ("BOOTSTRAP", "false", False),
        ("BOOTSTRAP", "0", False),
        ("MAX_WAIT_SECONDS", "0.5", 0.5),
        ("LEASE_SECONDS", "1", 1),
    ],
)
def test_a_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"REFIT_{name}", text)
    assert getattr(load_settings(), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("PORT", "eighty", "valid integer"),
        ("PORT", "-1", "greater than or equal to 0"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("PORT", "8000.5", "valid integer"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("WORKERS", "257", "less than or equal to 256"),
        ("DEVICE", "gpu", "'auto', 'cpu', 'cuda' or 'mps'"),
        ("BOOTSTRAP", "perhaps", "valid boolean"),
        ("START_METHOD", "thread", "'auto', 'fork' or 'spawn'"),
        ("LOG_FORMAT", "xml", "'text' or 'json'"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("MAX_ROWS", "-5", "greater than or equal to 1"),
        ("MAX_WAIT_SECONDS", "0", "greater than 0"),
        ("LEASE_SECONDS", "0.5", "greater than or equal to 1"),
        ("POLL_SECONDS", "11", "less than or equal to 10"),
        ("POLL_SECONDS", "nan", "less than or equal to 10"),
        ("LEASE_SECONDS", "inf", "less than or equal to 86400"),
        ("SHUTDOWN_SECONDS", "0", "greater than or equal to 0.5"),
        ("CLIENT_TIMEOUT", "0", "greater than or equal to 0.5"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("PREDICT_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_wanted(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, wanted: str
) -> None:
    monkeypatch.setenv(f"REFIT_{name}", text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"REFIT_{name} = {text!r}: ")
    assert wanted in line


def test_every_number_has_a_bound() -> None:
    for name, default in DEFAULTS.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            with pytest.raises(ValidationError):
                Settings.model_validate({name: -1})


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "WORKERS", "DEVICE"):
        monkeypatch.setenv(f"REFIT_{name}", "wrong")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    names = [line.split(" = ")[0] for line in str(caught.value).splitlines()]
    assert sorted(names) == ["REFIT_DEVICE", "REFIT_PORT", "REFIT_WORKERS"]


def test_a_port_that_kubernetes_set_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    # For a service called refit, every pod has REFIT_PORT=tcp://…
    monkeypatch.setenv("REFIT_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        load_settings()


def test_unknown_names_are_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unknown_settings() == []
    monkeypatch.setenv("REFIT_WORKER", "3")
    monkeypatch.setenv("REFIT_DATADIR", "/data")
    monkeypatch.setenv("REFIT_QQQQQQ", "1")
    monkeypatch.setenv("REFIT_PORT", "8000")
    monkeypatch.setenv("OTHER_WORKER", "3")
    assert unknown_settings() == [
        "REFIT_DATADIR is no setting and is ignored; did you mean REFIT_DATA_DIR?",
        "REFIT_QQQQQQ is no setting and is ignored",
        "REFIT_WORKER is no setting and is ignored; did you mean REFIT_WORKERS?",
    ]


def test_rows_and_artifacts_lie_in_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=Path("here"))
    assert settings.artifacts_dir == tmp_path / "here" / "artifacts"
    assert settings.datasets_dir == tmp_path / "here" / "datasets"
    assert settings.sqlalchemy_url == f"sqlite:///{tmp_path}/here/refit.db"
    elsewhere = Settings(data_dir=Path("here"), database_url="postgresql+psycopg://host/refit")
    assert elsewhere.sqlalchemy_url == "postgresql+psycopg://host/refit"


def test_settings_do_not_change_once_they_are_read() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, "port", 1)  # noqa: B010
