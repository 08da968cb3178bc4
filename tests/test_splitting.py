"""Splitting: shares, coverage, groups, stability and folds."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.extraction.document import Document, document_rows
from tasks.shared.errors import CorpusError
from tasks.splitting import assign
from tasks.splitting.digests import digests_of_texts
from tasks.splitting.rows import COLUMNS, NONE, Rows
from tasks.splitting.schema import SPLITS
from tasks.splitting.units import majority_label, units

ROOT = Path(__file__).parents[1]
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
BROWN = dict(
    zip(
        "adventure belles_lettres editorial fiction government hobbies humor learned lore mystery news religion "
        "reviews romance science_fiction".split(),
        (29, 75, 27, 29, 30, 36, 9, 80, 48, 24, 44, 17, 17, 29, 6),
        strict=True,
    )
)


def document(doc_id: str, label: str, group: str = "") -> Document:
    """As splitting reads it: without a text, alone unless a group is named."""
    return Document(doc_id, label, group=group or doc_id)


def by_name(documents: list[Document], numbers) -> dict[str, str]:
    """The split of each document that has one, by doc_id."""
    ids = sorted(document.doc_id for document in documents)
    return {doc_id: SPLITS[number] for doc_id, number in zip(ids, numbers, strict=True) if number != NONE}


def assign_splits(documents, shares, seed=0, policy="fail", previous=None) -> dict[str, str]:
    """As `assign.assign_splits`, with documents and names of splits in place of columns and numbers."""
    ids = sorted(document.doc_id for document in documents)
    numbers = [SPLITS.index(previous[doc_id]) if doc_id in previous else NONE for doc_id in ids] if previous else None
    earlier = None if numbers is None else np.array(numbers, np.int8)
    return by_name(documents, assign.assign_splits(Rows.of_documents(documents, seed), shares, policy, earlier))


def assign_fold(documents, shares, count, index, seed=0, policy="fail") -> dict[str, str]:
    rows = Rows.of_documents(documents, seed)
    return by_name(documents, assign.assign_fold(rows, shares, count, index, policy))


def alone(counts: dict[str, int], start: int = 0) -> list[Document]:
    """That many documents of each label, each its own group."""
    return [
        document(f"{label}-{number}", label)
        for label, count in counts.items()
        for number in range(start, start + count)
    ]


def table(documents: list[Document], splits: dict[str, str]) -> dict[str, Counter]:
    counts: defaultdict[str, Counter] = defaultdict(Counter)
    for document in documents:
        if document.doc_id in splits:
            counts[document.label][splits[document.doc_id]] += 1
    return counts


def groups_by_label(documents: list[Document]) -> dict[str, set[str]]:
    """The groups that count to each label."""
    members = defaultdict(list)
    for each in documents:
        members[each.group].append(each)
    of_label = defaultdict(set)
    for group, of_group in members.items():
        of_label[majority_label([d.label for d in of_group], [d.digest for d in of_group])].add(group)
    return of_label


def groups_are_whole(documents: list[Document], splits: dict[str, str]) -> bool:
    places = defaultdict(set)
    for document in documents:
        if document.doc_id in splits:
            places[document.group].add(splits[document.doc_id])
    return all(len(names) == 1 for names in places.values())


def covered(documents: list[Document], splits: dict[str, str], min_groups: int = 3) -> bool:
    """Whether every label with enough groups is in all splits."""
    of_group = {document.group: splits[document.doc_id] for document in documents if document.doc_id in splits}
    return all(
        {of_group[group] for group in groups} == set(SPLITS)
        for groups in groups_by_label(documents).values()
        if len(groups) >= min_groups
    )


COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(3, 60), min_size=2)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def grouped(draw: st.DrawFn, largest: int = 5) -> list[Document]:
    """Documents of two labels or more in groups of random sizes, some of mixed labels."""
    sizes = draw(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, largest), st.booleans()), min_size=2))
    documents = []
    for number, (label, size, mixed) in enumerate(sizes):
        labels = [label] * size + ["e"] * mixed
        documents += [document(f"{number}-{place}", name, f"{number}-0") for place, name in enumerate(labels)]
    assume(len({document.label for document in documents}) > 1)
    assume(any(len(groups) > 2 for groups in groups_by_label(documents).values()))
    return documents


@given(COUNTS, SEEDS)
def test_each_label_is_within_a_document_of_its_shares(counts, seed):
    documents = alone(counts)
    assigned = table(documents, assign_splits(documents, SHARES, seed))
    for label, count in counts.items():
        least = max(1, count // 10)
        assert assigned[label].total() == count
        assert assigned[label]["validation"] in (least, max(1, -(-count // 10)))
        assert assigned[label]["test"] in (least, max(1, -(-count // 10)))
        if count >= 6:
            assert abs(assigned[label]["train"] - 0.8 * count) < 1


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(10, 60), min_size=2), SEEDS)
def test_totals_are_within_a_document_of_their_shares(counts, seed):
    totals = Counter(assign_splits(alone(counts), SHARES, seed).values())
    for split, share in SHARES.items():
        assert abs(totals[split] - share * sum(counts.values())) < 1


@given(st.tuples(*[st.integers(1, 20)] * 3), COUNTS)
def test_other_shares(weights, counts):
    shares = {split: weight / sum(weights) for split, weight in zip(SPLITS, weights, strict=True)}
    documents = alone(counts)
    assigned = table(documents, assign_splits(documents, shares))
    for label, count in counts.items():
        ideal = [count * share for share in shares.values()]
        if min(ideal) >= 1:
            assert all(abs(assigned[label][split] - count * share) < 1 for split, share in shares.items())
        assert set(assigned[label]) == set(SPLITS)


def test_the_counts_of_brown():
    documents = alone(BROWN)
    splits = assign_splits(documents, SHARES)
    assert Counter(splits.values()) == {"train": 400, "validation": 50, "test": 50}
    assigned = table(documents, splits)
    assert assigned["science_fiction"] == {"train": 4, "validation": 1, "test": 1}
    assert assigned["humor"] == {"train": 7, "validation": 1, "test": 1}


@given(grouped(), SEEDS)
def test_groups_stay_together_and_labels_are_everywhere(documents, seed):
    splits = assign_splits(documents, SHARES, seed, "train_only")
    assert set(splits) == {document.doc_id for document in documents}
    assert groups_are_whole(documents, splits)
    assert covered(documents, splits)


@given(grouped(), SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_documents_does_not_matter(documents, seed, rng):
    splits = assign_splits(documents, SHARES, seed, "train_only")
    rng.shuffle(documents)
    assert assign_splits(documents, SHARES, seed, "train_only") == splits


def test_another_seed_gives_other_splits():
    documents = alone(BROWN)
    assert assign_splits(documents, SHARES, 1) == assign_splits(documents, SHARES, 1)
    assert assign_splits(documents, SHARES, 1) != assign_splits(documents, SHARES, 2)


def test_the_same_in_every_process():
    code = (
        "import json\nfrom tasks.extraction.document import Document\n"
        "from tasks.splitting.assign import assign_splits\n"
        "from tasks.splitting.rows import Rows\n"
        "d = [Document(f'{i}', 'ab'[i % 2], group=f'{i // 3}') for i in range(60)]\n"
        "shares = {'train': 0.8, 'validation': 0.1, 'test': 0.1}\n"
        "print(json.dumps(assign_splits(Rows.of_documents(d), shares).tolist()))\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert json.loads(outputs[0]) == json.loads(outputs[1])


@given(COUNTS, st.dictionaries(st.sampled_from("abcdefghij"), st.integers(3, 30)), SEEDS)
def test_assigned_documents_stay_when_texts_are_added(counts, added, seed):
    before = assign_splits(alone(counts), SHARES, seed)
    documents = alone(counts) + [document(f"new-{d.doc_id}", d.label) for d in alone(added)]
    after = assign_splits(documents, SHARES, seed, previous=before)
    assert {doc_id: after[doc_id] for doc_id in before} == before
    assert covered(documents, after)
    for label, assigned in table(documents, after).items():
        count = counts.get(label, 0) + added.get(label, 0)
        assert abs(assigned["test"] - count / 10) <= 1
        assert abs(assigned["validation"] - count / 10) <= 1


@given(grouped(), st.data())
def test_additions_keep_groups_together_and_labels_everywhere(documents, data):
    """Some documents come later; they may join groups, or join two of them."""
    later = data.draw(st.sets(st.sampled_from(sorted(documents))))
    first = [document for document in documents if document not in later]
    assume(len({document.label for document in first}) > 1)
    assume(any(len(groups) > 2 for groups in groups_by_label(first).values()))
    names = sorted({document.group for document in documents})
    joined = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(names), max_size=2))
    before = assign_splits(first, SHARES, 0, "train_only")
    documents = [document._replace(group=joined.get(document.group, document.group)) for document in documents]
    assume(any(len(groups) > 2 for groups in groups_by_label(documents).values()))
    after = assign_splits(documents, SHARES, 0, "train_only", before)
    assert groups_are_whole(documents, after)
    assert covered(documents, after)
    was = defaultdict(set)
    for document in documents:
        was[document.group] |= {before[document.doc_id]} if document.doc_id in before else set()
    for groups in groups_by_label(documents).values():
        kept = [split for group in groups if len(names := was[group]) == 1 for split in names]
        if len(groups) < 3 or (set(kept) == set(SPLITS) and all(len(was[group]) < 2 for group in groups)):
            assert all(
                was[d.group] <= {after[d.doc_id]} for d in documents if d.group in groups and len(was[d.group]) < 2
            )


def test_joined_groups_go_to_the_split_they_were_learned_from():
    documents = alone({"a": 30, "b": 30})
    before = assign_splits(documents, SHARES)
    one = {split: next(d for d in documents if d.label == "a" and before[d.doc_id] == split) for split in SPLITS}
    for first, second in (("test", "train"), ("test", "validation"), ("validation", "train")):
        ends = {one[first].doc_id, one[second].doc_id}
        group = min(ends)
        joined = [d._replace(group=group) if d.doc_id in ends else d for d in documents] + [document("x", "a", group)]
        after = assign_splits(joined, SHARES, previous=before)
        assert {after[doc_id] for doc_id in (*ends, "x")} == {second}
        assert all(after[doc_id] == split for doc_id, split in before.items() if doc_id not in ends)


def test_a_small_label_that_grew_is_spread():
    documents = alone({"a": 20, "b": 2})
    before = assign_splits(documents, SHARES, policy="train_only")
    assert {before["b-0"], before["b-1"]} == {"train"}
    after = assign_splits(alone({"a": 20, "b": 3}), SHARES, previous=before)
    assert {after[f"b-{number}"] for number in range(3)} == set(SPLITS)
    assert all(after[f"a-{number}"] == before[f"a-{number}"] for number in range(20))


def test_small_labels_follow_the_policy():
    documents = [*alone({"a": 10, "b": 1, "c": 2}), document("c-2", "c", "c-1")]
    with pytest.raises(CorpusError, match=r"'b' \(1 text\), 'c' \(3 texts in 2 groups\).*train_only.*drop"):
        assign_splits(documents, SHARES)
    splits = assign_splits(documents, SHARES, policy="train_only")
    assert {splits[doc_id] for doc_id in ("b-0", "c-0", "c-1", "c-2")} == {"train"}
    with pytest.raises(CorpusError, match="only the label 'a' is left after dropping 'b', 'c'"):
        assign_splits(documents, SHARES, policy="drop")
    splits = assign_splits([*documents, *alone({"d": 3})], SHARES, policy="drop")
    assert set(splits) == {document.doc_id for document in alone({"a": 10, "d": 3})}


def test_of_many_small_labels_ten_are_named():
    documents = alone({f"{number:03d}": 1 for number in range(150)} | {"large": 10})
    with pytest.raises(CorpusError) as caught:
        assign_splits(documents, SHARES)
    assert "'008' (1 text), '009' (1 text) and 140 more; add texts" in str(caught.value)
    with pytest.raises(CorpusError, match=r"left after dropping '000', .*, '009' and 140 more"):
        assign_splits(documents, SHARES, policy="drop")


@pytest.mark.parametrize("policy", ["fail", "train_only", "drop"])
def test_one_label_is_refused(policy):
    with pytest.raises(CorpusError, match="two labels or more, but only the label 'a'"):
        assign_splits(alone({"a": 10}), SHARES, policy=policy)


def test_small_labels_alone_leave_nothing_to_test():
    with pytest.raises(CorpusError, match="no label has the 3 texts"):
        assign_splits(alone({"a": 2, "b": 2}), SHARES, policy="train_only")


def test_no_document_at_all():
    with pytest.raises(CorpusError, match="no document"):
        assign_splits([], SHARES)


def test_thousands_of_groups_are_split():
    rng = np.random.default_rng(0)
    documents = [document(f"{i}", f"{rng.integers(20)}", f"{i // rng.integers(1, 4)}") for i in range(5000)]
    splits = assign_splits(documents, SHARES)
    assert groups_are_whole(documents, splits)
    totals = Counter(splits.values())
    assert all(abs(totals[split] / 5000 - share) < 0.01 for split, share in SHARES.items())


@given(grouped())
def test_groups_count_under_the_labels_of_their_units(documents):
    rows = Rows.of_documents(documents)
    found = units(rows)
    labels = rows.labels.names.take(found.labels).to_pylist()
    of_label = defaultdict(set)
    for group, label in zip(sorted({document.group for document in documents}), labels, strict=True):
        of_label[label].add(group)
    assert of_label == groups_by_label(documents)


@given(grouped(), st.integers(1, 5), st.booleans())
def test_rows_are_the_same_read_in_any_batches(documents, rows, renamed):
    """Whether groups are named after one of their documents, as cleaning names them, or not."""
    if renamed:
        documents = [each._replace(group={"1-0": "a", "2-0": "0-1"}.get(each.group, each.group)) for each in documents]
    documents = sorted(each._replace(digest=each.doc_id) for each in documents)
    names = pa.schema([(name, pa.string()) for name in COLUMNS])
    batches = pa.Table.from_batches([document_rows(documents, names)]).to_batches(rows)
    found, at_once = Rows.of(batches, 3), Rows.of_documents(documents, 3)
    for column in ("groups", "keys", "digests", "given"):
        assert np.array_equal(getattr(found, column), getattr(at_once, column))
    assert found.labels.names.take(found.labels.of).to_pylist() == [each.label for each in documents]
    assert found.digests.tolist() == digests_of_texts(pa.array([each.doc_id for each in documents])).tolist()
    number_of = {each.group: number for each, number in zip(documents, found.groups, strict=True)}
    assert [number_of[each.group] for each in documents] == found.groups.tolist()
    assert sorted(number_of.values()) == list(range(len(found.keys)))
    own = {each.doc_id for each in documents if each.doc_id == each.group}
    assert sorted(number_of, key=number_of.__getitem__) == sorted(number_of, key=lambda name: (name not in own, name))
    for name, number in number_of.items():
        expected = hashlib.blake2b(name.encode(), digest_size=16, key=(3).to_bytes(8, "little")).digest()
        assert found.keys[number].astype(">u8").tobytes() == expected


def test_a_digest_is_sixteen_bytes_whatever_it_was():
    digits = ["27c35e6e9373877f29e562464e46497e", "", "27C35E6E9373877F29E562464E46497E", "1", "ä" * 16, "x" * 32]
    found = digests_of_texts(pa.array(digits)).tolist()
    assert found[:2] == [bytes.fromhex(digits[0]), b""]
    assert len(set(found)) == len(digits)
    assert digests_of_texts(pa.array(digits[:1] * 2)).tolist() == found[:1] * 2
    assert digests_of_texts(pa.array(digits[5:])).tolist() == found[5:]
    assert digests_of_texts(pa.array(digits).slice(3, 2)).tolist() == found[3:5]


def test_equals_count_under_the_label_of_the_first_text():
    assert majority_label(["b", "a"], ["1", "2"]) == "b"
    assert majority_label(["b", "a"], ["2", "1"]) == "a"
    assert majority_label(["b", "a"], ["1", "1"]) == "a"
    assert majority_label(["b", "a", "a"], ["1", "2", "3"]) == "a"
