"""A byte-level BPE vocabulary, and tokenizer.json, its file in the format of Hugging Face `tokenizers`.

Ids: 0 is [PAD], 1 is [UNK], 2 … 257 are the bytes 0 … 255, then one token per merge, in the order they were learned.

[PAD] and [UNK] are in the model's vocabulary, but are not `added_tokens`: those are matched in the text itself, and a
text with the characters "[PAD]" would turn into padding. This way both libraries encode and decode them as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.shared.errors import ArtifactError

PAD, UNK = 0, 1
SPECIAL_TOKENS = ("[PAD]", "[UNK]")
FIRST_BYTE = len(SPECIAL_TOKENS)
FIRST_MERGE = FIRST_BYTE + 256
"""Also the size of the smallest vocabulary."""

PIECE_CHARACTERS = 64
"""Most characters of a piece, so a token has 256 bytes at most."""
_PIECES = (
    r"['’](?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])"  # English contractions: she|'ll, Mary|'s
    r"| ?[\p{L}\p{M}]REPEATED"  # a word, with the space before it
    r"| ?\p{N}REPEATED"  # a number
    r"| ?[^\s\p{L}\p{M}\p{N}]REPEATED"  # punctuation and symbols
    r"|\nREPEATED"  # line and paragraph breaks, apart from their surroundings
    r"|[^\S\n]REPEATED"  # other white space
)
PATTERN = _PIECES.replace("REPEATED", f"{{1,{PIECE_CHARACTERS}}}")
"""The pieces that a text is cut into before merging, so that no token spans two words: GPT-2's rule, with separate line
breaks, and long runs (of one letter, base64, DNA, dashes) cut into pieces of 64 characters.

Every character is in a piece, so nothing is lost. Without look-ahead and backtracking, and with pieces of bounded
length, the time is linear in the text, even for one character repeated many times, and all regex engines agree.
"""
UNBOUNDED_PATTERN = _PIECES.replace("REPEATED", "+")
"""Cuts a text without long runs into the same pieces, in half the time."""

Merge = tuple[int, int]
"""The ids of the two tokens that become one."""


@dataclass(frozen=True)
class Vocabulary:
    """The merges, in the order they were learned, and the pattern of the pieces within which they apply."""

    merges: tuple[Merge, ...]
    pattern: str = PATTERN

    @property
    def size(self) -> int:
        """Number of tokens."""
        return FIRST_MERGE + len(self.merges)

    @cached_property
    def tokens(self) -> tuple[bytes, ...]:
        """The bytes of each token, by id; for the special tokens, of their names."""
        tokens = [name.encode() for name in SPECIAL_TOKENS] + [bytes([byte]) for byte in range(256)]
        for left, right in self.merges:
            tokens.append(tokens[left] + tokens[right])
        return tuple(tokens)


def _printable_bytes() -> dict[int, str]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, other bytes for the characters from U+0100 on."""
    itself = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte if byte in itself else next(others)) for byte in range(256)}


_PRINTABLE = _printable_bytes()
_BYTES = {character: byte for byte, character in _PRINTABLE.items()}
_VISIBLE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})


def printable_tokens(vocabulary: Vocabulary) -> list[str]:
    """The tokens by id as tokenizer.json writes them: one printable character per byte."""
    learned = ("".join(map(_PRINTABLE.__getitem__, token)) for token in vocabulary.tokens[FIRST_BYTE:])
    return [*SPECIAL_TOKENS, *learned]


def token_text(printable: str) -> str:
    """The text of a token in its printable form; spaces as ␣, line breaks as ⏎, parts of characters as ‹e2›."""
    if printable in SPECIAL_TOKENS or not all(character in _BYTES for character in printable):
        return printable
    text = bytes(map(_BYTES.__getitem__, printable)).decode(errors="surrogateescape")
    shown = (f"‹{ord(c) - 0xDC00:02x}›" if "\udc80" <= c <= "\udcff" else c for c in text)
    return "".join(shown).translate(_VISIBLE)


def tokenizer_json(vocabulary: Vocabulary) -> str:
    """The content of tokenizer.json, a function of the vocabulary alone."""
    return json.dumps(_as_json(vocabulary), ensure_ascii=False, indent=1) + "\n"


def _as_json(vocabulary: Vocabulary) -> dict[str, Any]:
    tokens = printable_tokens(vocabulary)
    pieces = {"type": "Split", "pattern": {"Regex": vocabulary.pattern}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [pieces, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": SPECIAL_TOKENS[UNK],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [[tokens[left], tokens[right]] for left, right in vocabulary.merges],
        },
    }


def read_vocabulary(path: Path) -> Vocabulary:
    """Reads a tokenizer.json that this project wrote.

    Raises ArtifactError if the file is missing, damaged, or has anything that `tokenizer_json` would not write.
    """
    try:
        content = json.loads(path.read_bytes())
        ids = content["model"]["vocab"]
        merges = tuple((int(ids[left]), int(ids[right])) for left, right in content["model"]["merges"])
        pattern = str(content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"])
        vocabulary = Vocabulary(merges, pattern)
        complete = content == _as_json(vocabulary)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); run the vocabulary stage again") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ArtifactError(
            f"{path}: not a readable tokenizer.json ({type(error).__name__}: {error}); "
            "delete its folder and run the vocabulary stage again"
        ) from error
    if not complete:
        raise ArtifactError(
            f"{path}: tokens, ids and merges do not agree with each other; "
            "delete its folder and run the vocabulary stage again"
        )
    return vocabulary
