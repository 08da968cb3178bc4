"""The generated corpus, and the measurement of each stage in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

from benchmarks.corpus import Recipe, generate
from benchmarks.growth import LAST, MADE_BY, STAGES, _inputs
from tasks.cleaning.normalize import normalize
from tasks.shared.store.fingerprint import PROJECT


def test_the_corpus_is_what_its_recipe_says() -> None:
    recipe = Recipe(labels=5, words=60, vocabulary=3000, duplicates=0.05, dirty=0.2)
    texts = list(islice(generate(recipe, seed=3), 2000))
    assert texts == list(islice(generate(recipe, seed=3), 2500))[:2000]
    assert texts[:1000] != list(islice(generate(recipe, seed=4), 1000))
    assert len({text.label for text in texts}) == 5
    repeated = sum(count - 1 for count in Counter(texts).values())
    assert 60 < repeated < 140
    assert 0.15 < sum(normalize(text.text) != text.text for text in texts) / len(texts) < 0.25
    words = Counter(word.strip(".,").lower() for text in texts for word in text.text.split())
    ranked = [count for _, count in words.most_common(200)]
    assert 5 < ranked[0] / ranked[19] < 15  # Zipf: the first is about ten times as frequent as the twentieth
    of_label = Counter(word for text in texts if text.label == "label0001" for word in text.text.split())
    preferred = [word for word, count in of_label.items() if count > 8 and count > 0.5 * words[word]]
    assert len(preferred) > 20


def test_every_stage_up_to_the_evaluation_finds_what_it_reads() -> None:
    made: set[str] = set()
    names = list(STAGES)
    for name in names[: names.index(LAST) + 1]:
        assert {MADE_BY.get(each, each) for each in _inputs(STAGES[name])} <= made
        made.add(name)
    assert LAST in made


def test_each_stage_is_measured_in_its_own_process(tmp_path: Path) -> None:
    drawn = tmp_path / "growth.svg"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.growth",
            "--texts",
            "200",
            "--to",
            "cleaning",
            "--json",
            "--plot",
            str(drawn),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = json.loads(done.stdout)
    assert [row["stage"] for row in rows] == ["extraction", "cleaning"]
    for row in rows:
        assert list(row) == ["stage", "texts", "cpu_seconds_per_1000", "seconds_per_1000", "peak_mib"]
        assert row["texts"] == 200
        assert row["cpu_seconds_per_1000"] > 0
        assert 50 < row["peak_mib"] < 2000
    assert "processor seconds per 1,000 texts" in drawn.read_text()
    written = tmp_path / "growth.json"
    written.write_text(json.dumps([*rows, *({**row, "texts": 2000} for row in rows)]))
    command = [sys.executable, "-m", "benchmarks.growth", "--read", str(written), "--plot", str(drawn)]
    subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True, timeout=120)
    assert drawn.read_text().count("cleaning") >= 1
