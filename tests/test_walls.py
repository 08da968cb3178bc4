"""The walls between the parts, which keep worker processes light and stages apart."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.shared.store.fingerprint import PROJECT

FILES = sorted([*(PROJECT / "tasks").rglob("*.py"), *(PROJECT / "flows").rglob("*.py")])


def room_of(path: Path) -> str:
    """The folder of `tasks/` that a file lies in, however deep; "flows" for the rest."""
    top, room, *_ = path.relative_to(PROJECT).parts
    return room if top == "tasks" else "flows"


STAGES = sorted(path.parent.name for path in (PROJECT / "tasks").glob("*/task.py"))
NOT_PURE = {"task.py", "worker.py", "contract.py", "settings.py", "__init__.py"}
PURE = [path for path in FILES if room_of(path) in STAGES and path.name not in NOT_PURE]


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


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


def importers(package: str) -> set[str]:
    return {name_of(path) for path in FILES if any(m.split(".")[0] == package for m in imports(path))}


def test_only_the_shared_run_and_the_flows_import_prefect():
    assert importers("prefect") <= {
        "tasks/shared/engine/run.py",
        "tasks/shared/ui/publish.py",
        *(name_of(p) for p in FILES if room_of(p) == "flows"),
    }


def test_only_contracts_and_the_shared_checks_import_great_expectations():
    allowed = {"tasks/shared/checks/runner.py", *(f"tasks/{stage}/contract.py" for stage in STAGES)}
    assert importers("great_expectations") <= allowed


def test_inits_are_empty():
    assert [name_of(path) for path in FILES if path.name == "__init__.py" and path.read_text()] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_stage_imports_no_other_stages_task_or_contract(path: Path):
    own = f"tasks.{room_of(path)}."
    foreign = {
        module
        for module in imports(path)
        if module.startswith("tasks.") and module.split(".")[-1] in {"task", "contract"} and not module.startswith(own)
    }
    assert room_of(path) == "flows" or foreign == set()


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
    files = (path for path in FILES if path.name not in {"__init__.py", "__main__.py"})
    modules = [name_of(path).removesuffix(".py").replace("/", ".") for path in files]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    here, home = tmp_path / "here", tmp_path / "home"  # libraries keep caches in the home
    here.mkdir()
    home.mkdir()
    environment = {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", code, *modules], cwd=here, check=True, env=environment, timeout=120)
    assert list(here.iterdir()) == []
