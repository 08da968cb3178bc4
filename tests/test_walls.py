"""The walls between the rooms: which folder may import which, and what stays light and pure."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tasks.shared.store.fingerprint import PROJECT

ORDER = (
    *(
        "shared",
        "extraction",
        "cleaning",
        "splitting",
        "vocabulary",
        "tokenization",
        "linear",
        "training",
        "stacking",
        "evaluation",
    ),
    *("prediction", "promotion", "drift", "site", "flows"),
)
"""A room imports only from rooms to its left, and from itself."""
MOST_MODULES = 15


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def room_of(path: Path) -> str:
    """The folder of `tasks/` that a file lies in, however deep; "flows" for what lies outside of `tasks/`."""
    top, room, *_ = path.relative_to(PROJECT).parts
    return room if top == "tasks" else "flows"


FILES = sorted([*(PROJECT / "tasks").rglob("*.py"), *(PROJECT / "flows").rglob("*.py")])
MODULES = [path for path in FILES if path.name != "__init__.py"]
BY_MODULE = {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in FILES}
STAGES = sorted(path.parent.name for path in (PROJECT / "tasks").glob("*/task.py"))
NOT_PURE = {"task.py", "worker.py", "contract.py", "settings.py", "__init__.py"}
PURE = [path for path in FILES if room_of(path) in STAGES and path.name not in NOT_PURE]


def imports(path: Path) -> set[str]:
    """Every module that a file imports when it runs (type checkers' imports aside)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported_files(path: Path) -> set[Path]:
    """The project's files that a file imports; packages' empty `__init__` do not count."""
    return {BY_MODULE[name] for name in imports(path) if name in BY_MODULE and BY_MODULE[name].name != "__init__.py"}


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def importers(package: str) -> set[str]:
    return {name_of(path) for path in FILES if any(m.split(".")[0] == package for m in imports(path))}


def test_no_circle_between_files():
    assert circle({name_of(path): map(name_of, imported_files(path)) for path in FILES}) == []


def test_no_circle_between_folders():
    graph = defaultdict(set)
    for path in FILES:
        graph[name_of(path.parent)] |= {name_of(p.parent) for p in imported_files(path)} - {name_of(path.parent)}
    assert circle(graph) == []


def test_every_room_has_its_place_in_the_order():
    assert {room_of(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_room_imports_a_later_one(path: Path):
    later = ORDER[ORDER.index(room_of(path)) + 1 :]
    assert {name_of(p) for p in imported_files(path) if room_of(p) in later} == set()


def test_no_folder_is_crowded():
    modules = defaultdict(list)
    for path in MODULES:
        modules[name_of(path.parent)].append(path.name)
    assert {folder: len(names) for folder, names in modules.items() if len(names) > MOST_MODULES} == {}


def test_flows_holds_flows_alone():
    files = [path for path in (PROJECT / "flows").glob("*.py") if path.name != "__init__.py"]
    assert [name_of(path) for path in files if "\n@flow(" not in path.read_text()] == []


def test_only_the_engine_the_ui_and_the_flows_import_prefect():
    assert importers("prefect") <= {
        "tasks/shared/engine/run.py",
        "tasks/shared/ui/publish.py",
        *(name_of(p) for p in FILES if room_of(p) == "flows"),
    }


def test_only_contracts_and_the_shared_checks_import_great_expectations():
    allowed = {"tasks/shared/checks/runner.py", *(f"tasks/{stage}/contract.py" for stage in STAGES)}
    assert importers("great_expectations") <= allowed


def test_inits_are_empty():
    """But for the one that must precede the first import of pyarrow, and the one that imports it."""
    written = [name_of(path) for path in FILES if path.name == "__init__.py" and path.read_text()]
    assert written == ["flows/__init__.py", "tasks/__init__.py"]


@pytest.mark.parametrize("module", ["tasks.shared.parquet", "flows.crossvalidate", "flows.cli.inspection"])
def test_arrow_gives_memory_back(module: str) -> None:
    code = f"import {module}, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARROW")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == "system"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_stage_imports_no_other_stages_task_or_contract(path: Path):
    foreign = {p for p in imported_files(path) if p.name in {"task.py", "contract.py"} and room_of(p) != room_of(path)}
    assert room_of(path) == "flows" or {name_of(p) for p in foreign} == set()


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_pure_code_knows_neither_settings_nor_stages(path: Path):
    assert {
        m for m in imports(path) if m.split(".")[0] == "pydantic" or m.split(".")[-1] in {"settings", "stage"}
    } == set()


@pytest.mark.parametrize("stage", STAGES)
def test_loading_a_stage_is_cheap(stage: str):
    heavy = {"prefect", "great_expectations", "torch", "sklearn", "matplotlib", "pandas", "nltk", "tokenizers"}
    code = f"import sys, tasks.{stage}.task; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_made_at_import(tmp_path: Path):
    modules = [name for name in BY_MODULE if not name.endswith("__main__")]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    here, home = tmp_path / "here", tmp_path / "home"  # libraries keep caches in the home
    here.mkdir()
    home.mkdir()
    environment = {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code, *modules], cwd=here, check=True, env=environment, timeout=120)
    assert list(here.iterdir()) == []
