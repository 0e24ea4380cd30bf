"""docs/architectures.md tells the truth: its package is laid out, checked and trained."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import ml.models.architecture
from ml.models.architecture import RegressionModel
from ml.models.linear import LinearRegressionModelV2
from ml.spec.architecture import ArchitectureBase
from ml.spec.plugins import GROUP
from tests.packages import EXAMPLE, ROOT, lay_out, run_python

PAGE = (ROOT / "docs" / "architectures.md").read_text()
SPEC, MODULE, CHECK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PYPROJECT,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_package_of_the_page_is_trained(tmp_path: Path) -> None:
    ((kind, value),) = tomllib.loads(PYPROJECT)["project"]["entry-points"][GROUP].items()
    sources = {
        "refit_polynomial/__init__.py": "",
        "refit_polynomial/spec.py": SPEC,
        "refit_polynomial/module.py": MODULE,
        "page_test.py": CHECK,
    }
    folder = lay_out(tmp_path, kind, value, sources)
    code = """
from page_test import test_it_is_an_architecture
from ml.spec.training import TrainingSpec
from ml.training.fit import fit
test_it_is_an_architecture()
x = [row / 10 for row in range(-20, 21)]
data = {"source": "points", "x": x, "y": [3 * v**3 - v for v in x]}
asked = {"data": data, "architecture": {"kind": "polynomial"}, "optimizer": {"kind": "lbfgs"}}
fitted = fit(TrainingSpec.model_validate(asked))
print(fitted.metrics["test_r2"] > 0.98, fitted.bundle.units)
"""
    done = run_python("-c", code, path=folder)
    assert done.stdout.split() == ["True", "standardized"], done.stderr


def test_every_name_of_the_tables_is_there() -> None:
    names = [
        name
        for line in PAGE.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"\w+", line.split("`")[1])[:1]
    ]
    of_spec, of_class = names[:4], names[4:]
    assert of_spec == ["linear", "hidden_units", "needs_two_rows", "refusal"]
    assert all(hasattr(ArchitectureBase, name) for name in of_spec)
    assert of_class == ["same_calls_at_every_step", "in_raw_units", "line", "shape"]
    assert all(hasattr(LinearRegressionModelV2, name) for name in of_class)
    assert all(name in inspect.getsource(RegressionModel) for name in of_class)
    assert {"fold_input", "fold_output"} <= vars(ml.models.architecture).keys()


def test_the_example_names_itself_alike_everywhere() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["name"] == EXAMPLE.name
    (value,) = project["entry-points"][GROUP].values()
    assert value in (EXAMPLE / "README.md").read_text()
    assert (EXAMPLE / value.partition(":")[0].replace(".", "/")).with_suffix(".py").is_file()
