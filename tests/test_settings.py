"""pipeline.yaml: errors name the problem, and unknown keys are refused."""

from __future__ import annotations

import os
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.pipeline.settings import Limits, Pipeline, load_settings, merge_overrides
from flows.pipeline.settings_errors import RENAMED_KEYS
from flows.pipeline.stages import STAGES
from tasks.shared.errors import SettingsError
from tasks.shared.section import Section
from tasks.shared.store.fingerprint import PROJECT


def write(folder: Path, text: str) -> Path:
    path = folder / "pipeline.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epoch: 3}", r"pipeline\.yaml: training\.epoch: unknown key; did you mean 'epochs'\? allowed: "),
        ("trainin: {}", r"pipeline\.yaml: trainin: unknown key; did you mean 'training'"),
        ("training: {epochs: many}", r"pipeline\.yaml: training\.epochs: given \"many\"; should be a valid integer"),
        ("training: {dropout: 1.5}", r"training\.dropout: given 1\.5; should be less than 1"),
        ("training: {dropout: .nan}", r"training\.dropout: given NaN; should be a finite number"),
        ("training: {cell: gruu}", r"training\.cell: given \"gruu\"; should be 'mingru', "),
        ("training: 3", r"training: given 3; should have keys below it"),
        ("checks: {cleaning: {max_dropped: 1}}", r"checks\.cleaning\.max_dropped: unknown key"),
        ("- a\n- b", r"pipeline\.yaml: holds a list; expected sections such as `extraction:`"),
        ("training: {epochs: 3", r"pipeline\.yaml: not valid YAML \(line 1, column 21"),
        (
            "training: {}\ncleaning: {}\ntraining: {}",
            r"not valid YAML \(line 1, column 1: the key 'training' is given twice\)",
        ),
        (
            "!!python/object/apply:os.system ['true']",
            r"pipeline\.yaml: not valid YAML \(line 1, column 1: could not determine",
        ),
        ("\x00", r"pipeline\.yaml: not valid YAML \(the sign U\+0000 at character 0 is not allowed\)"),
        ("extraction: {source: folder}", r"extraction: .*folder.*path"),
        (
            "training: {input: embeddings, embedding_size: 1}",
            r"^\S*pipeline\.yaml: training: embedding_size 1 leaves nothing once normalized",
        ),
        ("training: {epochs: {x: 3}}", r"training\.epochs: given {\"x\": 3}; should be a valid integer"),
        (
            "training: {epochs: on}",
            r"training\.epochs: given true; should be a number \(YAML takes yes, no, on and off",
        ),
        ("training: {dropout: no}", r"training\.dropout: given false; should be a number"),
        ("name: 2026-01-01", r"name: given 2026-01-01; should be a text; write it in quotes"),
        ("name: 010", r"name: given 8; should be a text; write it in quotes"),
        ("data: null", r"data: given null; should be a path"),
        ("training:\nvocabulary: {}", r"training: given null; should have keys below it; remove the line"),
        ("name: 2026-13-45", r"pipeline\.yaml: not valid YAML \(month must be in 1\.\.12\)"),
        ("[" * 3000, r"pipeline\.yaml: not valid YAML \(nested too deeply\)"),
        ("data: ~nobody-here/x", r"data: given \"~nobody-here/x\"; there is no home folder for '~nobody-here'$"),
        ('data: "a\\0b"', r"data: given .*; NUL cannot be part of a path$"),
        (
            "extraction: {folder: {path: []}}",
            r"^\S*pipeline\.yaml: extraction\.folder\.path: given \[\]; should be a path$",
        ),
        (
            "extraction: {folder: {path: 'file://x/y'}}",
            r"path: given .*; the path of a file:// URL",
        ),
        (
            "checks: {cleaning: {max_dropped: 1}, drift: 3}",
            r"max_dropped: unknown .*checks\.drift: given 3; should",
        ),
        (
            "{data: texts, extraction: {source: folder, folder: {path: texts}}}",
            r"^\S*pipeline\.yaml: data: \S*/texts would be read as texts of extraction\.folder\.path; choose another$",
        ),
        ("extraction: {source: folder, folder: {path: .}}", r"data: \S*/data would be read as texts"),
        ("7", r"pipeline\.yaml: holds a number; expected sections such as"),
        ("<html>", r"pipeline\.yaml: holds a text; expected sections such as"),
    ],
)
def test_an_error_names_the_problem_in_one_line(tmp_path: Path, text: str, message: str):
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "name"), RENAMED_KEYS.items())
def test_a_renamed_key_is_refused_with_its_present_name(tmp_path: Path, key: str, name: str):
    *sections, old = key.split(".")
    with pytest.raises(SettingsError, match=rf"{key}: unknown key; it is called {name} now$"):
        load_settings(write(tmp_path, ": {".join([*sections, f"{old}: 1"]) + "}" * len(sections)))
    assert name in type(attrgetter(".".join(sections))(Pipeline())).model_fields


def test_a_file_in_another_encoding_is_named_with_the_byte(tmp_path: Path):
    (tmp_path / "pipeline.yaml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(
        SettingsError, match=r"pipeline\.yaml: not valid YAML \(not UTF-8 at byte 5; save it as UTF-8\)"
    ):
        load_settings(tmp_path / "pipeline.yaml")


def test_a_pipe_is_not_read_as_settings_since_each_flow_reads_them_again(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match=r"pipe: a pipe or a device, which cannot be read twice; save the settings"):
        load_settings(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(Path("a\0b"))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read \(No such file.*--config"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["training.epochs"], "expected KEY=VALUE"),
        (["=3"], "expected KEY=VALUE"),
        (["training.epochs=[1"], "the value is not valid YAML"),
        (["training.epoch=3"], r"training\.epoch: unknown key"),
        (["nothing.at.all=3"], "nothing: unknown key"),
        (["training=3"], "should have keys below it"),
        (["training={seed: 1, seed: 2}"], r"not valid YAML \(line 1, column 1: the key 'seed' is given twice\)"),
        (["name=2026-13-45"], r"^--set name=2026-13-45: the value is not valid YAML \(month must be in 1"),
        (["name=" + "[" * 3000], r"^--set name=\[\[.*: the value is not valid YAML \(nested too deeply\)"),
    ],
)
def test_overrides_are_checked_like_the_file(tmp_path: Path, texts: list[str], message: str):
    with pytest.raises(SettingsError, match=message):
        load_settings(write(tmp_path, "{}"), merge_overrides(texts))


def test_an_override_overrides_the_file_and_keeps_the_rest(tmp_path: Path):
    path = write(tmp_path, "training: {epochs: 5, seed: 7}")
    settings = load_settings(path, merge_overrides(["training.epochs=2", "training.epochs=3", "training.cell=rnn"]))
    assert (settings.training.epochs, settings.training.seed, settings.training.cell) == (3, 7, "rnn")


def test_paths_are_relative_to_the_file_and_not_part_of_a_stages_recipe(tmp_path: Path):
    path = write(tmp_path, "data: out\nextraction: {source: folder, folder: {path: texts}}")
    settings = load_settings(path)
    assert settings.data == tmp_path / "out"
    assert settings.extraction.folder.path == tmp_path / "texts"
    assert str(tmp_path) not in str(settings.extraction.cache_values())


def test_a_hidden_data_folder_may_lie_among_the_texts(tmp_path: Path):
    path = write(tmp_path, "{data: texts/.runs, extraction: {source: folder, folder: {path: texts}}}")
    assert load_settings(path).data == tmp_path / "texts/.runs"


def test_an_edited_file_is_read_again_and_a_caller_can_change_what_it_got(tmp_path: Path):
    path = write(tmp_path, "training: {epochs: 5}")
    assert load_settings(path, {"training": {"epochs": 4}}).training.epochs == 4
    assert load_settings(path).training.epochs == 5
    write(tmp_path, "training: {epochs: 6}")
    assert load_settings(path).training.epochs == 6


def test_every_stage_has_a_section_and_limits_in_the_order_of_the_stages():
    assert list(STAGES) == list(Limits.model_fields) == list(Pipeline().sections) == list(Pipeline().limits)
    assert [name for name in Pipeline.model_fields if name in STAGES] == list(STAGES)


def test_an_empty_file_means_the_defaults(tmp_path: Path):
    assert load_settings(write(tmp_path, "")).training == Pipeline().training


def _keys(values: dict[str, Any], prefix: str = "") -> set[str]:
    return {f"{prefix}{key}" for key in values} | {
        nested for key, value in values.items() if isinstance(value, dict) for nested in _keys(value, f"{prefix}{key}.")
    }


def test_the_projects_pipeline_yaml_writes_every_value_out():
    written = yaml.safe_load((PROJECT / "pipeline.yaml").read_text())
    assert list(written) == list(Pipeline.model_fields)
    assert _keys(written) == _keys(Pipeline().model_dump(mode="json"))
    assert load_settings(PROJECT / "pipeline.yaml").training == Pipeline().training


def _sections(model: type[Section]) -> set[type[Section]]:
    inner = {type(value) for value in dict(model()).values() if isinstance(value, Section)}
    return inner | {deeper for section in inner for deeper in _sections(section)}


@pytest.mark.parametrize("section", sorted(_sections(Pipeline), key=lambda section: section.__name__))
def test_every_value_is_described_and_frozen(section: type[Section]):
    undescribed = [
        name
        for name, field in section.model_fields.items()
        if not field.description and not isinstance(getattr(section(), name), Section)
    ]
    assert undescribed == []
    assert section.model_config["frozen"]
    assert section.model_config["extra"] == "forbid"
