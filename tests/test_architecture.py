"""Imports go one way, preprocessing ← evglif ← deploy, and what runs on a device stays small."""

import ast
import subprocess
import sys

import pytest

from tests.helpers import ROOT

ROOMS = {
    "preprocessing": {
        "counting starting files scratch terminal later nearest own_code calling": "",
        "workers": "own_code",
        "outlet": "terminal",
        "options": "calling nearest own_code",
        "progress": "outlet terminal",
        "commands": "calling files outlet terminal workers",
        "compiled drawing": "scratch terminal",
        "kernels": "compiled",
        "limits": "",
        "plain": "terminal",
        "blocks": "",
        "apart": "blocks limits",
        "trees": "apart limits",
        "events": "kernels limits",
        "readers": "apart events kernels limits",
        "writers": "events files kernels readers",
        "frames": "events kernels limits",
        "cache": "files plain terminal",
        "download": "files limits progress terminal",
        "arguments": "events frames options",
        "datasets.base": "cache download events files frames limits readers terminal",
        "datasets.splits": "cache datasets.base",
        "datasets.recordings": "cache datasets.base datasets.splits download events readers",
        "datasets.stills": "arguments cache datasets.base datasets.recordings datasets.splits download events frames "
        "limits",
        "datasets.simulated": "cache datasets.base datasets.splits datasets.stills events files frames kernels "
        "progress readers workers",
        "datasets": "datasets.base datasets.recordings datasets.simulated datasets.stills",
        "building": "apart cache datasets datasets.base datasets.splits datasets.stills events files frames limits "
        "progress readers terminal workers",
        "inspection": "cache drawing events frames progress terminal",
        "build": "arguments building calling commands datasets download options own_code",
        "inspect": "arguments cache commands drawing events frames inspection options own_code plain progress readers "
        "terminal",
        "convert": "arguments commands events files options own_code progress readers terminal writers",
        "": "cache events frames readers starting",
    },
    "evglif": {
        "surrogate normalisation names settings": "",
        "augment": "settings",
        "results tensor_archive": "preprocessing.plain",
        "tensor_files": "tensor_archive preprocessing.files preprocessing.plain",
        "recurrence": "surrogate preprocessing.compiled preprocessing.counting",
        "neurons": "recurrence surrogate preprocessing.nearest preprocessing.own_code",
        "layers": "neurons",
        "models": "layers names neurons preprocessing.arguments preprocessing.commands preprocessing.later "
        "preprocessing.nearest preprocessing.options preprocessing.own_code preprocessing.plain preprocessing.terminal",
        "threads": "models",
        "validation": "preprocessing.cache",
        "provenance": "validation preprocessing.cache preprocessing.plain preprocessing.progress",
        "checkpoint": "models neurons provenance tensor_files preprocessing.own_code preprocessing.plain",
        "zoo": "",
        "pretrained": "checkpoint models names provenance results tensor_files zoo preprocessing.cache "
        "preprocessing.plain preprocessing.terminal",
        "zoo.__main__": "pretrained zoo preprocessing.commands preprocessing.options",
        "nir": "checkpoint models neurons preprocessing.files preprocessing.later preprocessing.limits "
        "preprocessing.plain preprocessing.terminal preprocessing.trees",
        "nir.__main__": "nir checkpoint preprocessing.arguments preprocessing.commands preprocessing.files "
        "preprocessing.options preprocessing.terminal preprocessing.calling",
        "differences": "checkpoint preprocessing.events preprocessing.frames",
        "data": "checkpoint differences models settings preprocessing.cache",
        "evaluation": "data models neurons provenance recurrence preprocessing.plain preprocessing.terminal",
        "plots": "evaluation preprocessing.drawing preprocessing.later",
        "evaluation.report": "checkpoint evaluation models plots preprocessing.cache preprocessing.drawing "
        "preprocessing.plain preprocessing.terminal",
        "evaluation.session": "checkpoint data evaluation evaluation.report models pretrained provenance settings "
        "threads preprocessing.cache preprocessing.progress preprocessing.terminal",
        "evaluate": "differences evaluation.session names preprocessing.cache preprocessing.commands "
        "preprocessing.later preprocessing.options preprocessing.own_code",
        "yaml_files": "preprocessing.plain",
        "recipe": "data models settings yaml_files preprocessing.cache preprocessing.nearest preprocessing.plain",
        "recipe_parser": "recipe preprocessing.options",
        "choosing": "preprocessing.cache",
        "training": "augment checkpoint data evaluation evaluation.session models names neurons plots pretrained "
        "provenance recipe results settings tensor_files threads validation preprocessing.apart preprocessing.cache "
        "preprocessing.calling preprocessing.drawing preprocessing.files preprocessing.outlet preprocessing.own_code "
        "preprocessing.plain preprocessing.terminal preprocessing.workers",
        "reporting": "checkpoint evaluation models plots results training preprocessing.cache preprocessing.calling "
        "preprocessing.drawing preprocessing.files preprocessing.own_code preprocessing.plain preprocessing.terminal",
        "training.session": "checkpoint data evaluation models plots pretrained provenance recipe reporting settings "
        "threads training validation preprocessing.cache preprocessing.drawing preprocessing.terminal",
        "report": "data evaluation.session reporting threads training preprocessing.cache preprocessing.commands "
        "preprocessing.options preprocessing.own_code preprocessing.terminal",
        "plots.__main__": "checkpoint data evaluation plots preprocessing.arguments preprocessing.cache "
        "preprocessing.options preprocessing.own_code preprocessing.commands preprocessing.terminal",
        "studies": "training.session checkpoint data evaluation evaluation.report evaluation.session neurons plots "
        "recipe results settings tensor_files threads training yaml_files preprocessing.cache preprocessing.drawing "
        "preprocessing.files preprocessing.plain preprocessing.terminal preprocessing.workers preprocessing.progress "
        "preprocessing.calling preprocessing.own_code",
        "train": "studies training.session choosing models names pretrained recipe recipe_parser settings training "
        "preprocessing.cache preprocessing.calling preprocessing.commands preprocessing.later preprocessing.options "
        "preprocessing.own_code preprocessing.terminal",
        "place": "preprocessing.cache preprocessing.readers",
        "runs": "studies preprocessing.commands preprocessing.options",
        "compare": "differences studies preprocessing.cache preprocessing.commands preprocessing.options "
        "preprocessing.own_code",
        "sweep": "settings studies preprocessing.commands preprocessing.options preprocessing.own_code",
        "": "checkpoint models neurons pretrained preprocessing.later preprocessing.starting",
        "__main__": "evglif place preprocessing.calling preprocessing.commands preprocessing.nearest "
        "preprocessing.terminal",
    },
    "deploy": {
        "running": "preprocessing.events preprocessing.frames preprocessing.readers preprocessing.terminal",
        "events": "running preprocessing.compiled preprocessing.counting",
        "runtime": "events running preprocessing.events preprocessing.frames preprocessing.readers",
        "infer": "running runtime preprocessing.arguments preprocessing.commands preprocessing.events "
        "preprocessing.options preprocessing.own_code preprocessing.readers preprocessing.plain preprocessing.terminal",
        "exporting": "running evglif.* preprocessing.cache preprocessing.progress",
        "exporting.onnx": "exporting running evglif.* preprocessing.cache",
        "exporting.nir": "exporting running evglif.*",
        "exporting.events": "events exporting running evglif.*",
        "exporting.formats": "events exporting exporting.events exporting.nir exporting.onnx running evglif.*",
        "exporting.export": "exporting exporting.formats running evglif.* preprocessing.cache preprocessing.files "
        "preprocessing.plain preprocessing.terminal",
        "measuring": "events exporting exporting.formats running evglif.* preprocessing.cache preprocessing.own_code "
        "preprocessing.progress preprocessing.terminal",
        "export": "exporting exporting.export exporting.formats running evglif.* preprocessing.calling "
        "preprocessing.commands preprocessing.later preprocessing.options preprocessing.own_code "
        "preprocessing.terminal",
        "bench": "events measuring running evglif.names preprocessing.arguments preprocessing.commands "
        "preprocessing.files preprocessing.options preprocessing.own_code preprocessing.plain preprocessing.terminal",
        "chips": "exporting exporting.nir evglif.* preprocessing.cache preprocessing.files preprocessing.plain "
        "preprocessing.progress preprocessing.terminal",
        "profile": "chips measuring running evglif.* preprocessing.arguments preprocessing.cache "
        "preprocessing.commands preprocessing.files preprocessing.later preprocessing.options preprocessing.own_code "
        "preprocessing.plain preprocessing.terminal",
        "publish": "measuring evglif.* preprocessing.arguments preprocessing.cache preprocessing.commands "
        "preprocessing.later preprocessing.options preprocessing.own_code preprocessing.terminal preprocessing.calling",
        "": "preprocessing.starting",
    },
}
"""Package → room, module or, as "", the package's own front → the rooms that it may import.

A line names only rooms of lines before it, or of the packages before."""

OUTSIDE = {
    "preprocessing": {"torch", "lightning_fabric", "snntorch"},
    "evglif": {"onnx", "onnxruntime", "tonic"},
    "deploy.events": {"torch", "onnx", "onnxruntime", "lightning_fabric"},
    "deploy.running": {"torch", "onnx", "lightning_fabric"},
    "deploy.runtime": {"torch", "onnx", "lightning_fabric"},
    "deploy.infer": {"torch", "onnx", "lightning_fabric"},
}
"""Libraries that a package or room never names."""


def named(package, room):
    """A room's full name, from what a line of the table calls it."""
    return room if room.split(".")[0] in ROOMS else f"{package}.{room}".rstrip(".")


ALLOWED = {
    named(package, room): {named(package, other) for other in may.split()}
    for package, rooms in ROOMS.items()
    for line, may in rooms.items()
    for room in line.split() or [""]
}


def module_of(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for package in ROOMS for file in sorted((ROOT / package).rglob("*.py"))}


def room_of(module):
    """The innermost room of the table that a module lies in; a module beside a package's rooms is one of its own."""
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    room = next(name for name in names if name in ALLOWED)
    return module if room in ROOMS and module != room else room


def imported(file):
    """Full names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            whole = (f"{node.module}.{name.name}" for name in node.names)
            yield from (name if name in MODULES else node.module for name in whole)


def may_import(room, other):
    return room == other or other in ALLOWED[room] or f"{other.split('.')[0]}.*" in ALLOWED[room]


def test_the_table_of_rooms_goes_one_way():
    seen = set()
    for room, others in ALLOWED.items():
        own = {other for other in others if other.split(".")[0] == room.split(".")[0]}
        assert own <= seen, f"{room} names {own - seen}, of later lines"
        seen.add(room)
    packages = list(ROOMS)
    for room, others in ALLOWED.items():
        first = packages.index(room.split(".")[0])
        assert all(packages.index(other.split(".")[0]) <= first for other in others), room


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_room_may(module):
    room = room_of(module)
    assert room in ALLOWED, f"{module} lies in no room; name it in the table"
    ours = {name for name in imported(MODULES[module]) if name.split(".")[0] in ROOMS}
    wrong = sorted(name for name in ours if not may_import(room, room_of(name)))
    assert not wrong, f"{room} may import {sorted(ALLOWED[room])}; {module} imports {wrong}"


@pytest.mark.parametrize("room", OUTSIDE)
def test_a_room_names_no_library_that_is_not_for_it(room):
    files = [file for module, file in MODULES.items() if f"{module}.".startswith(f"{room}.")]
    assert files
    wrong = {str(file): OUTSIDE[room] & {name.split(".")[0] for name in imported(file)} for file in files}
    assert {file: names for file, names in wrong.items() if names} == {}


def test_every_package_says_what_it_holds():
    fronts = [file for file in MODULES.values() if file.name == "__init__.py"]
    silent = [str(file) for file in fronts if not ast.get_docstring(ast.parse(file.read_text()))]
    assert silent == []


def test_onnxruntime_is_imported_in_one_place():
    """Wherever else it were imported first, it would write and ask before anybody could tell it not to."""
    files = [file for folder in (*ROOMS, "scripts", "tests") for file in (ROOT / folder).rglob("*.py")]
    named = {str(file.relative_to(ROOT)) for file in files if "onnxruntime" in imported(file)}
    assert named == {"deploy/running/quiet.py"}


def test_scripts_and_tests_import_by_full_names():
    """A bare name would be looked for in whatever folder the program was started in."""
    files = [file for folder in ("scripts", "tests") for file in (ROOT / folder).rglob("*.py")]
    bare = {file.stem for file in files}
    wrong = {f"{file}: {name}" for file in files for name in imported(file) if name.split(".")[0] in bare}
    assert wrong == set()


def loaded_by(code, *heavy):
    """Which of the heavy modules a fresh interpreter has loaded after running ``code``."""
    report = f"import sys; {code}; print(*[name for name in {heavy!r} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True, cwd=ROOT)
    return finished.stdout.split()


def test_the_runtime_loads_no_torch():
    assert loaded_by("import deploy.runtime, deploy.infer", "torch", "evglif", "lightning_fabric", "h5py") == []


def test_evglif_loads_what_it_always_needs():
    assert loaded_by("import evglif", "lightning_fabric", "matplotlib", "numba", "jsonargparse", "h5py") == []


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
