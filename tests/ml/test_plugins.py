"""Architectures that installed packages bring: found, trained, kept, and refused in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest

from ml.artifact import decode
from ml.errors import ArtifactError, PluginError, UnknownArchitectureError
from ml.spec.model import ARCHITECTURES, BUILT_IN
from ml.spec.plugins import find_architectures
from tests.packages import install_example, lay_out, run_python

HEAD = """
from typing import ClassVar, Literal
from ml.spec.architecture import ArchitectureBase
"""
TIDE = (
    HEAD
    + """
class TideSpec(ArchitectureBase):
    module: ClassVar[str] = "tide:Tide"
    kind: Literal["tide"] = "tide"
    def parameter_count(self, features, targets):
        return 1
"""
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has installed the example."""
    return install_example(tmp_path_factory.mktemp("example"))


def seen_by(path: Path, code: str) -> Any:
    """What a fresh Python with that package prints as JSON."""
    done = run_python("-c", f"import json, sys\n{code}", path=path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_is_found_without_torch_and_has_the_defaults_of_real_rows(
    installed: Path,
) -> None:
    told = seen_by(
        installed,
        """
from ml.spec.training import TrainingSpec
from ml.spec.model import ARCHITECTURES
data = {"source": "points", "x": list(range(20)), "y": list(range(20))}
spec = TrainingSpec.model_validate({"data": data, "architecture": {"kind": "fourier"}})
again = TrainingSpec.model_validate_json(spec.model_dump_json())
print(json.dumps({
    "kinds": list(ARCHITECTURES), "torch": "torch" in sys.modules, "same": spec == again,
    "spec": spec.model_dump(mode="json", exclude={"data"}),
}))
""",
    )
    assert told["kinds"] == ["parameters", "linear", "mlp", "fourier"]
    assert not told["torch"]
    assert told["same"]
    spec = told["spec"]
    assert spec["architecture"] == {"kind": "fourier", "waves": 256, "length_scale": 0.5}
    assert (spec["optimizer"]["kind"], spec["loss"], spec["standardize"]) == ("adam", "mse", True)
    assert spec["early_stopping"] is not None


@pytest.mark.parametrize(
    "first", ["refit_fourier.spec", "refit_fourier.module", "ml.spec.model", "ml.training.fit"]
)
def test_the_package_may_be_imported_before_or_after(installed: Path, first: str) -> None:
    code = f"import {first}\nfrom ml.spec.model import ARCHITECTURES as a\nprint(json.dumps([*a]))"
    assert seen_by(installed, code) == [*ARCHITECTURES, "fourier"]


def test_the_command_line_trains_the_example_and_predicts_with_it(
    installed: Path, tmp_path: Path
) -> None:
    train = ("-m", "ml", "train", "--architecture", "fourier", "--optimizer", "adam")
    done = run_python(*train, "--standardize", "--output", tmp_path, path=installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Loaded into a new instance: every prediction is equal"
    predict = ("-m", "ml", "predict", tmp_path / "model.pth", "0.5")
    done = run_python(*predict, "--architecture", "fourier", path=installed)
    assert float(done.stdout) == pytest.approx(0.65, abs=0.01), done.stderr
    without = run_python(*train, "--output", tmp_path)
    assert without.returncode == 2
    assert "'fourier' is not one of 'parameters', 'linear', 'mlp'" in without.stderr


# The answers of a version are those of the trained module, bit for bit, wherever its numbers are.
KEEPS = """
import torch
from ml.artifact import decode, encode
from ml.predictor import Predictor
from ml.spec.training import TrainingSpec
from ml.training.fit import Fit
x = torch.rand(60, 2, generator=torch.Generator().manual_seed(3)) * 100
y = (x[:, 0] / 20).sin() * 5 + x[:, 1]
fit = Fit(TrainingSpec.model_validate({
    "data": {"source": "points", "x": x.tolist(), "y": y.tolist()},
    "architecture": ARCHITECTURE, "epochs": 300,
}), torch.device("cpu"))
for progress in fit:
    pass
fitted = fit.result()
bundle, cpu = fitted.bundle, torch.device("cpu")
files = encode(bundle)
loaded = decode(files)
trained = fit._model.eval()
with torch.inference_mode():
    wanted = bundle.scaling.unscale_y(trained(bundle.scaling.scale_x(x)))
raw = loaded.raw_state()
again = Fit(fit.spec, cpu, start_from=loaded)
started = again._model.state_dict()
print(json.dumps({
    "same": torch.equal(Predictor(loaded, cpu).predict(x), wanted),
    "same_files": encode(loaded) == files,
    "kind": loaded.architecture.kind,
    "units": loaded.units,
    "raw_is_state": all(torch.equal(raw[key], loaded.state[key]) for key in raw),
    "starts_where_it_ended": all(torch.equal(started[k], v) for k, v in loaded.state.items()),
    "dtypes": sorted({str(values.dtype) for values in loaded.state.values()}),
    "r2": fitted.metrics["test_r2"],
    "files": {name: content.hex() for name, content in files.items()},
}))
"""


def test_the_example_is_trained_and_kept(installed: Path) -> None:
    told = seen_by(installed, KEEPS.replace("ARCHITECTURE", '{"kind": "fourier"}'))
    assert told["same"]
    assert told["same_files"]
    assert (told["kind"], told["units"]) == ("fourier", "raw")
    assert not told["raw_is_state"], "the scaling is folded in"
    assert told["r2"] > 0.9


ODD = (
    HEAD
    + """
class OddSpec(ArchitectureBase):
    module: ClassVar[str] = "odd.net:Odd"
    kind: Literal["odd"] = "odd"
    def parameter_count(self, features, targets):
        return features * 16 + 16 + 32 + 16 * targets + targets
""",
    """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self, spec, features, targets):
        super().__init__()
        assert len(torch.arange(3).tolist()) == 3, "cannot be made on the meta device"
        self.first = nn.Linear(features, 16)
        self.norm = nn.BatchNorm1d(16)
        self.second = nn.Linear(16, targets)
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("small", torch.ones(3, dtype=torch.float16))
        self.register_buffer("table", torch.linspace(1, 2, 16), persistent=False)
        self.plain = torch.linspace(1, 2, 16)

    def forward(self, x_NF):
        hidden = self.norm(self.first(x_NF)) * self.table * self.plain
        bent = hidden.tanh() if float(hidden.detach().sum()) > 0 else hidden.sigmoid()
        return self.second(bent)
""",
)


def test_a_module_that_knows_nothing_of_refit_is_trained_and_kept(tmp_path: Path) -> None:
    sources = {"odd/__init__.py": "", "odd/spec.py": ODD[0], "odd/net.py": ODD[1]}
    folder = lay_out(tmp_path, "odd", "odd.spec:OddSpec", sources)
    told = seen_by(folder, KEEPS.replace("ARCHITECTURE", '{"kind": "odd"}'))
    assert told["same"]
    assert told["same_files"]
    assert (told["kind"], told["units"]) == ("odd", "standardized")
    assert told["raw_is_state"]
    assert told["starts_where_it_ended"]
    assert told["dtypes"] == ["torch.bool", "torch.float16", "torch.float32", "torch.int64"]
    files = {name: bytes.fromhex(content) for name, content in told["files"].items()}
    # Without the package, as in this very process.
    with pytest.raises(UnknownArchitectureError, match="'odd' is not installed here") as caught:
        decode(files)
    assert isinstance(caught.value, ArtifactError)
    assert "(there are parameters, linear, mlp)" in str(caught.value)


def test_the_command_line_saves_no_parameters_that_it_could_not_predict_with(
    tmp_path: Path,
) -> None:
    sources = {"odd/__init__.py": "", "odd/spec.py": ODD[0], "odd/net.py": ODD[1]}
    folder = lay_out(tmp_path, "odd", "odd.spec:OddSpec", sources)
    train = ("-m", "ml", "train", "--architecture", "odd", "--standardize")
    done = run_python(*train, "--output", tmp_path / "models", path=folder)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Error: model.pth takes raw x, and odd cannot fold a scaling: --no-standardize"
    )
    assert not (tmp_path / "models").exists()


def points_in(folder: Path) -> Iterator[EntryPoint]:
    for found in distributions(path=[str(folder)]):
        yield from found.entry_points


def test_without_packages_there_is_what_is_built_in() -> None:
    assert tuple(find_architectures(BUILT_IN, [])) == ("parameters", "linear", "mlp")
    assert tuple(find_architectures(BUILT_IN, []).values()) == BUILT_IN


def spec_text(*lines: str, kind: str = 'Literal["tide"] = "tide"') -> str:
    body = [f"kind: {kind}", 'module: ClassVar[str] = "tide:Tide"', *lines]
    return HEAD + "\nclass TideSpec(ArchitectureBase):\n" + "    " + "\n    ".join(body)


COUNT = "parameter_count = lambda self, features, targets: 1"
BROKEN = {
    "no such module": (None, "importing it raised ModuleNotFoundError: No module named"),
    "no such class": ("", "importing it raised AttributeError: module"),
    "an error": ("raise OSError('the tide\\nis out')", "importing it raised OSError: the tide"),
    "an error without words": ("raise ValueError", "importing it raised ValueError"),
    "a syntax error": ("def", "importing it raised SyntaxError"),
    "no class": ("TideSpec = 3", "no subclass of ml.spec.architecture.ArchitectureBase"),
    "another class": ("class TideSpec: pass", "no subclass of ml.spec.architecture"),
    "any string": (spec_text(COUNT, kind="str"), "TideSpec needs `kind: Literal[…]` of one"),
    "two kinds": (
        spec_text(COUNT, kind='Literal["tide", "ebb"] = "tide"'),
        "TideSpec needs `kind: Literal[…]` of one string",
    ),
    "another kind": (
        spec_text(COUNT, kind='Literal["ebb"] = "ebb"'),
        "the entry point is called 'tide', but its kind is 'ebb'",
    ),
    "no default": (
        spec_text(COUNT, kind='Literal["tide"]'),
        'its kind has no default: write `kind: Literal["tide"] = "tide"`',
    ),
    "no count": (spec_text(), "TideSpec does not define parameter_count"),
    "no module": (
        spec_text(COUNT).replace("tide:Tide", "tide.Tide"),
        'TideSpec needs `module: ClassVar[str] = "package.module:Class"`',
    ),
    "a tuple that JSON does not keep": (
        spec_text(COUNT, "hours: tuple[int, ...] = (6, 12)"),
        "its defaults cannot be read back from JSON: hours: Input should be a valid tuple",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_package_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    text, words = BROKEN[broken]
    # A name of its own: Python remembers modules by name.
    name = f"tide_{list(BROKEN).index(broken)}"
    sources = {} if text is None else {f"{name}.py": text}
    lay_out(tmp_path, "tide", f"{name}:TideSpec", sources, name="refit-tide")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError) as caught:
        find_architectures(BUILT_IN, points_in(tmp_path))
    message = str(caught.value)
    start = f"the architecture 'tide' ({name}:TideSpec), which refit-tide 2.5 brings,"
    assert message.startswith(f"{start} cannot be used: ")
    assert words in message
    assert "\n" not in message


def test_a_kind_that_is_no_plain_word_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = spec_text(COUNT, kind='Literal["Tide/2"] = "Tide/2"')
    lay_out(tmp_path, "Tide/2", "tide_of_two:TideSpec", {"tide_of_two.py": text})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="a kind is lower-case letters"):
        find_architectures(BUILT_IN, points_in(tmp_path))


def test_a_kind_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, "tide", "tide_a:TideSpec", {"tide_a.py": TIDE}, name="one")
    lay_out(tmp_path, "tide", "tide_b:TideSpec", {"tide_b.py": TIDE}, name="two")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"which two 2\.5 brings.*taken by one 2\.5"):
        find_architectures(BUILT_IN, points_in(tmp_path))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_kinds_that_are_built_in_are_taken(kind: str) -> None:
    point = EntryPoint(kind, "tests.ml.nets:NetSpec", "refit.architectures")
    with pytest.raises(PluginError, match=r"which no distribution brings.*taken by Refit itself"):
        find_architectures(BUILT_IN, [point])


@pytest.mark.parametrize(
    ("command", "code", "start"),
    [(("ml", "--help"), 1, "Error: "), (("service", "serve"), 1, "cannot start: ")],
)
def test_a_broken_package_is_told_in_one_line_at_the_start(
    tmp_path: Path, command: tuple[str, ...], code: int, start: str
) -> None:
    folder = lay_out(tmp_path, "tide", "tide:TideSpec", {"tide.py": "import moon"}, name="tides")
    data = tmp_path / "data"
    done = run_python("-m", *command, path=folder, REFIT_DATA_DIR=data, REFIT_PORT=0)
    assert done.returncode == code
    assert done.stderr.strip() == (
        f"{start}the architecture 'tide' (tide:TideSpec), which tides 2.5 brings, cannot be used: "
        "importing it raised ModuleNotFoundError: No module named 'moon'"
    )
    assert not data.exists()


def test_the_service_does_not_start_with_a_module_that_cannot_be_imported(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, "tide", "tide:TideSpec", {"tide.py": TIDE})
    done = run_python("-m", "service", "serve", path=folder, REFIT_PORT=0, REFIT_DATA_DIR=tmp_path)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    start = "cannot start: the module tide:Tide of TideSpec cannot be used: importing it raised"
    assert told.startswith(f"{start} AttributeError: ")
