r"""Brown's tokens back into English prose.

The corpus consists of words and marks separated by spaces, with traces of how it was punched and tagged. Each rule
below undoes one of these traces. The rules work on a whole text at once: every token has one space on either side, and
a blank line, which counts as a token, separates paragraphs, so that a rule written with spaces never matches across
paragraphs.

Commas and full stops move back inside closing quotation marks, as American printers of 1961 set them (the corpus has
them outside throughout). Question and exclamation marks move inside if the quotation is a speech of its own, and stay
outside if it is part of the sentence. Quotation marks become straight, like the corpus's apostrophes.

What the coding lost is not restored: accents, italics, capitals in headlines, Roman numerals (`World War 2`). The
corpus replaces formulas by the placeholders `Af` and `Aj`; these are removed, since they would give away the label
"learned" better than any word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

_BREAK = "\n\n"
_GREEK = dict(zip("abgdezhjiklmnxoprstufcywq", "αβγδεζηθικλμνξοπρστυφχψωω", strict=True))
_Replacement = str | Callable[[re.Match[str]], str]


def _greek(match: re.Match[str]) -> str:
    letter = _GREEK[match["letter"]]
    return letter.upper() if match["case"] == "z" else letter


def _rules(*rules: tuple[str, _Replacement]) -> list[tuple[re.Pattern[str], _Replacement]]:
    return [(re.compile(pattern), replacement) for pattern, replacement in rules]


# A pattern that begins with a literal is found several times faster than one that begins with a look-behind, so
# look-behinds follow the mark that they are about, and repeat it.
_CODES = _rules(
    # Symbols that the punched cards lacked: Greek letters (**ya, capitals **zg), the multiplication sign, degrees
    # (71*0C, 71-degrees-C), inches (1/2'' with a closing quotation mark after it), parentheses within a word (f{t}).
    (r"\*\*(?P<case>[yz])(?P<letter>[a-z])", _greek),
    (r" \*\*b(?= )", " *"),
    (r"\*&?0(?=[ CF])", "°"),
    (r"-degrees(?<=\d-degrees)(?:-(?=[CF]\b))?", "°"),
    (r"''(?<=\d'')(?: '')?(?= )", '"'),
    (r"\{(\w+)\}", r"(\1)"),
    (r"\{(\S+)\}", r"[\1]"),
    # Placeholders of formulas, with the marks that belonged to them.
    (r" \( A[fj] \)(?= )", ""),
    (r"A[fj] (?<=[.?!\n] A. )(?:[.,;:?!] )+", ""),
    (r"[,:;] A[fj] (?=[.;:?!] )", ""),
    (r" A[fj](?:[AB]|-[a-z]+)?(?= )", ""),
    (r" \( (?:, )?\)(?= )", ""),
    # Marks doubled in coding: `; ;`, `? ?`, `! !` everywhere, others after former Roman numerals.
    (r"([;?!:,(])(?<= .)(?: \1)+(?= )", r"\1"),
    # Quotation marks that face the wrong way, or end a paragraph although the quotation begins in the next.
    (r" ``(?= [.,;?!)] )", " ''"),
    (r" `` :(?= )", " : ``"),
    (r" `` \n\n (?:`` )?", r" \n\n `` "),
    # Marks that begin a paragraph and belong to nothing.
    (r"\n (?:(?:''|[.,;:?!)]) )+", "\n "),
    (r" ``(?= )", " “"),
    (r" ''(?= )", " ”"),
)

_SPACING = _rules(
    # Back inside the quotation marks: full stops and commas always, `?` and `!` if a speech ends with them
    # (it begins with a sentence, after a comma, a colon or a dash, or in an earlier paragraph).
    (r"([”’])(?<![-?!,;] .)((?: [”’])*) ([.,])(?= )", r"\3 \1\2"),
    (r"“(?<=[.?!,:\n”)-] .)( [^“”\n]*) ([”’](?: [”’])*) ([?!])(?= )", r"“\1 \3 \2"),
    (r"\n ([^“”\n]*) ” ([?!])(?= )", r"\n \1 \2 ”"),
    # One full stop for an abbreviation that ends its sentence.
    (r" \.(?<=\. \.)(?= )", ""),
    (r" ([.,;:?!)\]”’])(?= )", r"\1"),
    (r"([(\[“‘]) (?<= . )", r"\1"),
    (r" - (?=\d)(?<=[\d°] - )", "-"),
    (r" / ", "/"),
    (r" -- (?=-[a-z])", " --"),
)

_PARENTHESES = re.compile(r"\n\n|(?<= )(?:\(|\)(?P<doubled> \))?)(?= )")
_SINGLE_QUOTE = re.compile(r"\n\n|(?<= )'(?= )")


def detokenize(paragraphs: Iterable[Sequence[str]]) -> str:
    """The words and marks of each paragraph as prose, with a blank line between paragraphs.

    A paragraph that becomes empty (a formula alone) is dropped.
    """
    text = f"\n {f' {_BREAK} '.join(map(' '.join, paragraphs))} "
    for pattern, replacement in _CODES:
        text = pattern.sub(replacement, text)
    text = _PARENTHESES.sub(_Parentheses(), text)
    text = _SINGLE_QUOTE.sub(_SingleQuotes(text), text)
    for pattern, replacement in _SPACING:
        text = pattern.sub(replacement, text)
    text = text.replace("“", '"').replace("”", '"').replace("‘", "'").replace("’", "'")
    stripped = (paragraph.strip() for paragraph in text.split(_BREAK))
    return _BREAK.join(paragraph for paragraph in stripped if paragraph)


class _Parentheses:
    """Drops the second of two closing parentheses if only one was open."""

    def __init__(self) -> None:
        self.depth = 0

    def __call__(self, match: re.Match[str]) -> str:
        mark = match[0]
        if mark == _BREAK:
            self.depth = 0
        elif mark == "(":
            self.depth += 1
        elif match["doubled"] and self.depth < 2:
            self.depth = 0
            return ")"
        else:
            self.depth = max(0, self.depth - mark.count(")"))
        return mark


class _SingleQuotes:
    """Writes single quotation marks, which the corpus does not distinguish, as opening ‘ or closing ’."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.open = False

    def __call__(self, match: re.Match[str]) -> str:
        if match[0] == _BREAK:
            self.open = False
            return _BREAK
        before, after = self.text[match.start() - 2], self.text[match.end() + 1 : match.end() + 2]
        # The corpus sets a quotation's comma or full stop after its closing mark, so a mark after one opens.
        if before in "\n.,:;?!(“" and after not in ".,;:?!)”":
            self.open = True
        elif self.open or after in ".,;:?!)”":
            self.open = False
        else:  # unpaired in its paragraph: a closing mark whose opening mark was lost
            rest = self.text[match.end() :].partition(_BREAK)[0]
            self.open = before == "-" or " ' " in rest
        return "‘" if self.open else "’"
