"""What makes an artifact new, and what does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.shared.store.fingerprint import PROJECT, Recipe, code_digests, differences


def digests(project: Path, module: str) -> dict[str, str]:
    """The digests as a fresh process sees them in a copy of the project."""
    code = f"import json; from tasks.shared.store.fingerprint import *; print(json.dumps(code_digests({module!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT / "tasks", tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_code_of_a_stage_is_all_that_it_reaches():
    found = code_digests("tasks.tokenization.task")
    assert "tasks.vocabulary.tokenizer" in found
    assert "tasks.shared.parquet" in found
    assert "tasks.tokenization.contract" not in found
    assert not any(name.startswith("tasks.cleaning") for name in found)


def test_editing_a_helper_counts(project: Path):
    before = digests(project, "tasks.cleaning.task")
    edit(
        project / "tasks/cleaning/normalize.py",
        'unicodedata.normalize("NFC", text)',
        'unicodedata.normalize("NFD", text)',
    )
    after = digests(project, "tasks.cleaning.task")
    assert {name for name in before if before[name] != after[name]} == {"tasks.cleaning.normalize"}


def test_comments_docstrings_and_layout_do_not_count(project: Path):
    before = digests(project, "tasks.cleaning.task")
    path = project / "tasks/cleaning/normalize.py"
    path.write_text(
        '"""Another docstring."""\n# and a comment\n' + path.read_text().split('"""', 2)[2].lstrip() + "\n\n"
    )
    assert digests(project, "tasks.cleaning.task") == before


MODULE = """
import logging

from tasks.shared.errors import CorpusError
from tasks.shared.progress import logger

log = logger("cleaning")


def shorten(text: str) -> str:
    log.info("cleaning: %d characters", len(text))
    logging.getLogger("corpusflow").warning(f"cleaning: {text}")
    logger("cleaning").debug("cleaning: here")
    if not text:
        raise CorpusError(f"{text}: empty")
    if text == "x":
        raise ValueError("x: not a text")
    return text[:80]
"""


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("%d characters", "%d characters read", False),
        ("cleaning: {text}", "cleaned {text}", False),
        ("cleaning: here", "cleaning: there", False),
        ("{text}: empty", "{text}: has no characters", False),
        ("x: not a text", "x is not a text", False),
        ("text[:80]", "text[:81]", True),
        ('text == "x"', 'text == "y"', True),
        ("CorpusError(f", "ValueError(f", True),
    ],
)
def test_messages_do_not_count_and_what_is_next_to_them_does(project: Path, old: str, new: str, counts: bool):
    path = project / "tasks/cleaning/shorten.py"
    path.write_text(MODULE)
    before = digests(project, "tasks.cleaning.shorten")
    edit(path, old, new)
    assert (digests(project, "tasks.cleaning.shorten") != before) is counts


@pytest.mark.parametrize("module", ["preflight"])
def test_what_cannot_shape_a_model_does_not_count(project: Path, module: str):
    before = digests(project, "tasks.training.task")
    path = project / f"tasks/training/{module}.py"
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert digests(project, "tasks.training.task") == before


def test_contracts_count_for_the_check_alone(project: Path):
    build, check = digests(project, "tasks.cleaning.task"), digests(project, "tasks.cleaning.contract")
    contract = project / "tasks/cleaning/contract.py"
    contract.write_text(contract.read_text() + "\nSTRICTER = True\n")
    assert digests(project, "tasks.cleaning.task") == build
    assert digests(project, "tasks.cleaning.contract") != check


RECIPE = Recipe(
    stage="training",
    settings={"epochs": 8, "nested": {"a": 1}},
    inputs={"tokens": "a" * 64},
    sources={},
    code={"tasks.training.loop.loop": "b" * 64},
    libraries={"torch": "2.13.0"},
)


def test_differences_say_what_changed_from_what_to_what():
    changed = RECIPE.model_copy(
        update={"settings": {"epochs": 3, "nested": {"a": 1, "b": True}}, "inputs": {"tokens": "c" * 64}}
    )
    assert differences(RECIPE, changed) == [
        "settings epochs: 8 → 3",
        "settings nested.b: absent → true",
        f"inputs tokens: {'a' * 12} → {'c' * 12}",
    ]
    assert RECIPE.fingerprint != changed.fingerprint


def test_same_recipe_same_fingerprint_whatever_the_order_of_keys():
    turned = RECIPE.model_copy(update={"settings": {"nested": {"a": 1}, "epochs": 8}})
    assert turned.fingerprint == RECIPE.fingerprint
    assert differences(RECIPE, turned) == []


RACE = """
import gc, sys, threading, time
from pathlib import Path
from tasks.shared.store.fingerprint import parse

gc.set_threshold(50)
gc.callbacks.append(lambda *_: time.sleep(0))  # lets other threads in while a tree is made
sources = [path.read_text() for path in Path(sys.argv[1]).rglob("*.py")]
failed = []

def work():
    try:
        for source in sources:
            parse(source)
    except SystemError as error:
        failed.append(error)

threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(failed)
"""


def test_parsing_in_several_threads_at_once_does_not_fail():
    arguments = [sys.executable, "-c", RACE, str(PROJECT / "tasks")]
    done = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
