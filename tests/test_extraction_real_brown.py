"""The real Brown Corpus as it leaves extraction, against NLTK's reader and against passages read by eye."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tasks.extraction import brown
from tasks.extraction.document import Document

pytestmark = pytest.mark.brown
SHARED = Path(__file__).resolve().parents[2] / "shared" / "nltk_data"


@pytest.fixture(scope="module")
def corpus() -> Path:
    corpus = brown.find(brown.search_path(SHARED))
    assert corpus is not None, "the tests marked brown need NLTK_DATA, or ../shared/nltk_data next to the checkout"
    return corpus


@pytest.fixture(scope="module")
def documents(corpus: Path) -> dict[str, Document]:
    return {document.doc_id: document for document in brown.documents(corpus)}


PASSAGES = {
    "ca01": '\n\nMerger proposed\n\nHowever, the jury said it believes "these two offices should be combined',
    "ca10": "\n\nSalem (AP) -- The statewide meeting of war mothers Tuesday in Salem will hear a greeting from Gov.",
    "cc04": 'The Warwick Musical Theater presents "Where\'s Charley?" With music and lyrics by Frank Loesser, directed',
    "ce07": 'Let exactly 1" of "A" extend beyond "B" and use a square to check your angle to exactly 90 degrees.\n\n',
    "cf35": "\"Shootin' 'em out\" was gettin' cattle out of a corral onto the range.",
    "ch17": "United States v. Nugent, 346 U.S. 1 (1953), and therefore affirm the judgment.\n\nPetitioner registered",
    "cj07": "1958 Delta 2 (Sputnik 3), and 1959 Eta (Vanguard 3). These vehicles,",
    "cj77": "at an eight-inch level from 110° to 140°F (38° to 60°C.) in less than two minutes.",
    "cl12": "\"I'll try. Skolman isn't going to like it much, though, giving away what he should be selling.\"\n\n",
    "cm01": '"\'Taught to grow\'?"\n\nHe hesitated. "Larry teaches plants to grow. I have helped him.',
    "cp10": 'I kept saying, "If I could just build up a reputation for myself, make some real money, get to be',
    "cr06": "\n\n\"We no longer have Tom Moore's and Longfellow's 'heart for any fate,' either,\" I said.\n\n",
}


@pytest.mark.parametrize("doc_id", PASSAGES)
def test_passages_read_as_they_were_printed(documents: dict[str, Document], doc_id: str) -> None:
    assert PASSAGES[doc_id] in documents[doc_id].text


def test_there_are_500_texts_of_15_genres(documents: dict[str, Document]) -> None:
    labels = Counter(document.label for document in documents.values())
    assert len(documents) == 500
    assert len(labels) == 15
    assert (labels["news"], labels["science_fiction"], labels["learned"]) == (44, 6, 80)
    assert list(documents) == sorted(documents)


ARTEFACTS = {
    "tokenizer's quotation mark": r"``|''(?!\w)",
    "tag": r"\w/(?:nn|vb|jj|at|in|np)\b(?!/)",
    "space before a mark": r" [,;?!)\]]| [.:](?!\d)",
    "space after an opening mark": r"[(\[] ",
    "lone quotation mark": r"""(?<!\S)["'](?!\S)""",
    "doubled mark": r"([,;:?!])\s*\1|\.\.",
    "placeholder of a formula": r"\bA[fj]\b",
    "mark with nothing to mark": r"[,;:]\.|\(\s*\)|^[.,;:?!)]",
    "code of the punched cards": r"\*\*|-degrees|[{}_~^|\\<>=@#]",
    "doubled space": r"  |\t",
    "doubled blank line": r"\n\n\n|(?<!\n)\n(?!\n)",
    "comma or full stop outside of a quotation": r"""[a-z]"[.,]""",
}


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_no_artefact_is_left(documents: dict[str, Document], artefact: str) -> None:
    pattern = re.compile(ARTEFACTS[artefact], re.MULTILINE)
    matches = [
        f"{document.doc_id}: …{document.text[max(0, match.start() - 20) : match.end() + 20]!r}"
        for document in documents.values()
        for match in pattern.finditer(document.text)
    ]
    assert matches == []


def test_no_character_gives_a_genre_away(documents: dict[str, Document]) -> None:
    """Letters, digits and common marks only; Greek letters and degrees stand where the printed text had them."""
    allowed = re.compile(r"""[A-Za-z0-9 \n.,;:?!'"()\[\]&$%/+*°α-ωΑ-Ω-]""")
    assert {c for document in documents.values() for c in allowed.sub("", document.text)} == set()


@pytest.mark.slow
def test_words_and_tags_are_those_of_nltks_reader(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk.data
    from nltk.corpus.reader import CategorizedTaggedCorpusReader

    monkeypatch.setattr(nltk.data, "path", [str(corpus.parents[1])])
    root = nltk.data.ZipFilePathPointer(str(corpus), "brown/") if corpus.is_file() else str(corpus)
    reader = CategorizedTaggedCorpusReader(root, r"c[a-z]\d\d", cat_file="cats.txt", encoding="ascii")
    with brown.Files(corpus) as files:
        genres = dict(files.genres())
        assert {doc_id: reader.categories(doc_id) for doc_id in reader.fileids()} == {
            doc_id: [genre] for doc_id, genre in genres.items()
        }
        for doc_id in reader.fileids():
            ours = [(word, tag.upper()) for p in brown.tagged_paragraphs(files.text(doc_id)) for word, tag in p]
            assert ours == list(reader.tagged_words(doc_id)), doc_id
