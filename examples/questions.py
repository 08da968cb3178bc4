"""Five questions that a data engineer has, answered from the files of the data folder.

marimo edit examples/questions.py           in the browser
python examples/questions.py                as a script; DATA names another data folder
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def setup():
    """The newest artifact of each stage is a folder of Parquet files."""
    import json
    import os
    from pathlib import Path

    import marimo as mo
    import pandas as pd

    data = Path(os.environ.get("DATA", "data"))
    cleaned = pd.read_parquet(data / "02_cleaned/latest/documents")
    dropped = pd.read_parquet(data / "02_cleaned/latest/dropped")
    splits = pd.read_parquet(data / "03_splits/latest/splits")
    report = data / "08_reports/latest"
    predictions = pd.read_parquet(report / "predictions.parquet")
    mo.md(f"# Five questions about `{data}`\n{len(cleaned):,} texts, {cleaned['label'].nunique()} labels")
    return cleaned, data, dropped, json, mo, pd, predictions, report, splits


@app.cell
def dropped_texts(dropped, mo):
    """What was dropped?"""
    reasons = dropped.groupby(["reason", "label"]).size().rename("texts").reset_index()
    mo.vstack([mo.md("## What was dropped?"), reasons, dropped[["doc_id", "reason", "detail", "text"]].head(20)])
    return (reasons,)


@app.cell
def leaks(cleaned, mo, splits):
    """Do near duplicates of training texts lie in the test split?"""
    near = cleaned[["doc_id", "group", "source"]].merge(splits[["doc_id", "split"]], on="doc_id")
    across = near.groupby("group")["split"].nunique()
    leaked = near[near["group"].isin(across[across > 1].index)].sort_values("group")
    mo.vstack([mo.md(f"## What leaked?\n{len(leaked):,} texts have a near duplicate in another split."), leaked])
    return (leaked,)


@app.cell
def confused_labels(mo, predictions):
    """Which labels are confused?"""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    pairs = wrong.groupby(["label", "predicted"]).size().rename("texts").sort_values(ascending=False)
    confused = pairs.reset_index()
    mo.vstack([mo.md("## Which labels are confused?"), confused.head(20)])
    return (confused,)


@app.cell
def changes(data, json, mo, pd):
    """What has changed since last week?"""
    records = [json.loads(path.read_text()) for path in sorted((data / "runs").glob("*.json"))]
    runs = pd.DataFrame(
        {
            "started": pd.to_datetime([record["started"] for record in records]),
            "status": [record["status"] for record in records],
            "accuracy": [(record["metrics"] or {}).get("accuracy") for record in records],
            "built": [", ".join(s["stage"] for s in record["stages"] if s["status"] == "built") for record in records],
            "why": ["; ".join(r for s in record["stages"] for r in s["reasons"])[:300] for record in records],
            "decision": [record["decision"] for record in records],
        }
    )
    recent = runs[runs["started"] > runs["started"].max() - pd.Timedelta(days=7)]
    mo.vstack([mo.md("## What has changed since last week?"), recent])
    return (recent,)


@app.cell
def relabel(cleaned, mo, pd, report):
    """Which texts should be labelled again?"""
    doubtful = pd.read_parquet(report / "doubtful_labels.parquet")
    second_look = doubtful.merge(cleaned[["doc_id", "source", "text"]], on="doc_id")
    mo.vstack([mo.md("## Which texts should be labelled again?"), second_look])
    return (second_look,)


@app.cell
def answers(confused, dropped, leaked, recent, second_look):
    """One line each, for a terminal."""
    worst = confused.iloc[0] if len(confused) else None
    lines = [
        f"dropped: {len(dropped)} texts",
        f"leaked: {len(leaked)} texts",
        "confused: " + ("none" if worst is None else f"{worst['label']} taken for {worst['predicted']}"),
        f"runs in the last week: {len(recent)}",
        f"labels worth a second look: {len(second_look)}",
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    app.run()
