"""Errors of a stage's function become errors that people read, and nothing half-written stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT

from flows.pipeline.settings import load_settings
from tasks.shared.engine.build import Build, build_artifact
from tasks.shared.engine.stage import stage
from tasks.shared.errors import ArtifactError, RunError
from tasks.shared.files import _machine, explain_storage_errors
from tasks.shared.memory import NEED_LESS, what_to_do
from tasks.shared.section import Section
from tasks.shared.store.artifacts import Store
from tasks.shared.store.fingerprint import Recipe
from tasks.shared.store.scratch import remove_scratch, scratch_folder

RECIPE = Recipe(stage="cleaning", settings={}, inputs={}, sources={}, code={}, libraries={})


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (
            MemoryError(),
            RunError,
            r"^memory ran out \(no more could be allocated\); finished stages are kept",
        ),
        (
            RuntimeError("can't allocate memory: 8 bytes"),
            RunError,
            r"^memory ran out \(can't allocate memory",
        ),
        (
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            RunError,
            r"^memory ran out \(libtorch_cpu\.so: failed to map segment from shared object\); finished stages are kept",
        ),
        (ImportError("no such module"), ImportError, r"^no such module$"),
        (OSError(12, "Cannot allocate memory"), RunError, r"^memory ran out \(\[Errno 12\] Cannot allocate memory\)"),
        (OSError(28, "No space left on device"), ArtifactError, r"cleaning cannot go on: No space left on device$"),
        (RuntimeError("another"), RuntimeError, r"^another$"),
    ],
)
def test_an_error_of_a_stage_is_told_and_leaves_nothing(
    tmp_path: Path, raised: Exception, expected: type[Exception], message: str
):
    @stage("cleaning", "02_cleaned", libraries=())
    def clean(settings: Any, out: Path) -> dict[str, Any]:
        (out / "half").write_text("written")
        raise raised

    order = Build(clean, Store(tmp_path), Section(), Section(), RECIPE, {})
    with pytest.raises(expected, match=message), explain_storage_errors(tmp_path):
        build_artifact(order)
    assert not order.staging.exists()


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            OSError(24, "Too many open files", "a.json"),
            r"^too many files are open \(.*raise the limit \(`ulimit -n",
        ),
        (OSError(27, "File too large"), r"^.*: the run cannot go on: File too large; finished stages are kept"),
        (OSError(36, "File name too long", "n.json"), r"^n\.json: the run cannot go on: File name too long"),
    ],
)
def test_an_error_between_stages_is_told(tmp_path: Path, raised: OSError, message: str):
    with pytest.raises(RunError, match=message), explain_storage_errors(tmp_path):
        raise raised


def test_an_error_of_a_connection_is_left_to_prefect(tmp_path: Path):
    with pytest.raises(ConnectionResetError), explain_storage_errors(tmp_path):
        raise ConnectionResetError(104, "Connection reset by peer")


def test_what_a_killed_process_left_whole_is_taken_over_and_what_it_left_half_is_removed(tmp_path: Path):
    made = []

    @stage("cleaning", "02_cleaned", libraries=())
    def clean(settings: Any, out: Path) -> dict[str, Any]:
        made.append(out)
        (out / "text").write_text("written")
        return {"rows": 1}

    order = Build(clean, Store(tmp_path), Section(), Section(), RECIPE, {})
    artifact = build_artifact(order)
    ended = order.staging.with_name(f".staged-{RECIPE.fingerprint}-{_machine()}-99999999-0")
    order.staging.rename(ended)
    other_machine = ended.with_name(f".staged-{RECIPE.fingerprint}-00000000-1-0")
    other_machine.mkdir()
    assert build_artifact(order) == artifact
    assert order.staging.exists()
    assert len(made) == 1

    order.staging.rename(ended)
    (ended / "text").write_text("damaged")
    assert build_artifact(order).digest == artifact.digest
    assert len(made) == 2
    assert set(ended.parent.iterdir()) == {order.staging, other_machine}


def test_a_build_has_a_scratch_folder_of_its_own_and_resumes_from_what_others_finished(tmp_path: Path):
    @stage("cleaning", "02_cleaned", libraries=(), resumes_from=("fold-*/*.done",))
    def clean(settings: Any, out: Path, scratch: Path) -> dict[str, Any]:
        found = {path.relative_to(scratch).as_posix(): path.read_text() for path in scratch.rglob("*.*")}
        assert found == {"fold-0/1.done": "by an ended process", "fold-1/1.done": "by another machine"}
        assert scratch == scratch_folder(out.parent, RECIPE.fingerprint)
        raise RunError("interrupted")

    parent = tmp_path / "02_cleaned"
    ended, elsewhere = (
        parent / f".scratch-{RECIPE.fingerprint}-{machine}-99999999-0" for machine in (_machine(), "00000000")
    )
    for number, (other, text) in enumerate(((ended, "by an ended process"), (elsewhere, "by another machine"))):
        (other / f"fold-{number}").mkdir(parents=True)
        (other / f"fold-{number}" / "1.done").write_text(text)
        (other / f"fold-{number}" / "2.unfinished").write_text("half")
        (other / "input.npy").write_text("what its calls read")
    order = Build(clean, Store(tmp_path), Section(), Section(), RECIPE, {})
    with pytest.raises(RunError, match="interrupted"):
        build_artifact(order)
    assert {path.name for path in parent.iterdir()} == {elsewhere.name, scratch_folder(parent, RECIPE.fingerprint).name}
    assert (elsewhere / "input.npy").exists()
    remove_scratch(parent, RECIPE.fingerprint)
    assert list(parent.iterdir()) == [elsewhere]


def test_what_to_do_without_memory_names_settings_and_the_limit(tmp_path: Path):
    assert what_to_do("cleaning", tmp_path) == "lower runner.workers, or free memory, and run again"
    (tmp_path / "memory.max").write_text(f"{3000 * 2**20}\n")
    assert what_to_do("linear", tmp_path) == (
        "lower linear.characters_max_megabytes, linear.words_max_megabytes or runner.workers, or raise the limit of "
        "3,000 MiB (the container's memory), and run again"
    )
    named = [name for names in NEED_LESS.values() for name in re.findall(r"[a-z_]+\.[a-z_.]+", names)]
    settings = load_settings(PROJECT / "pipeline.yaml").model_dump()
    for name in named:
        value = settings
        for key in name.split("."):
            value = value[key]
