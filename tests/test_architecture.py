"""Imports go one way, preprocessing ← evglif ← deploy, and what runs on a device stays small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "preprocessing": {"torch", "lightning", "snntorch", "evglif", "deploy"},
    "evglif": {"deploy", "onnx", "onnxruntime", "tonic"},
}
ON_DEVICE = (
    "__init__", "infer", "metadata", "order", "protobuf", "runtime", "session", "slices", "sources", "stream",
)  # fmt: skip


def imported(path):
    """Top-level names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(package):
    files = list((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    wrong = {str(file.relative_to(ROOT)): FORBIDDEN[package] & set(imported(file)) for file in files}
    assert {file: names for file, names in wrong.items() if names} == {}


@pytest.mark.parametrize("module", ON_DEVICE)
def test_what_runs_on_a_device_names_neither_torch_nor_evglif(module):
    assert not {"torch", "evglif", "onnx", "lightning"} & set(imported(ROOT / "deploy" / f"{module}.py"))


def loaded_by(code, *heavy):
    """Which of the heavy modules a fresh interpreter has loaded after running ``code``."""
    report = f"import sys; {code}; print(*[name for name in {heavy!r} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True, cwd=ROOT)
    return finished.stdout.split()


def test_the_runtime_loads_no_torch():
    assert loaded_by("import deploy.runtime, deploy.infer", "torch", "evglif", "lightning", "h5py") == []


def test_evglif_loads_neither_lightning_nor_matplotlib_nor_numba():
    assert loaded_by("import evglif", "lightning", "matplotlib", "numba", "jsonargparse") == []


def test_preprocessing_loads_neither_numba_nor_h5py():
    assert loaded_by("import preprocessing", "numba", "h5py", "sklearn") == []


def test_evglif_trains_without_numba_and_tonic(cache_path, tmp_path):
    code = (
        "import sys; sys.modules.update(numba=None, tonic=None)\n"
        "from evglif.recipe import Recipe\nfrom evglif.train import train\n"
        "model = {'name': '7b-widenet', 'width': 2}\n"
        f"train(Recipe(model=model, epochs=1, precision='fp32'), {str(cache_path)!r}, {str(tmp_path / 'run')!r})"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    assert "test accuracy" in finished.stdout


def test_nothing_else_stands_at_the_top_level():
    listed = subprocess.run(["git", "ls-files"], check=False, capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.partition("/")[0] for line in listed.stdout.splitlines() if not line.startswith(".")}
    expected = {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "constraints.txt"}
    assert top <= expected | {"evglif", "preprocessing", "deploy", "tests", "scripts"}
