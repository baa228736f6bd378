"""The pages are written for readers who did not grow up with English: no sentence is long."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 30
RULE = (
    f"One idea per sentence, 25 words at most ({MOST_WORDS} is the limit): subject, verb, object. "
    "Make two sentences of it, a list or a table."
)
_CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_NO_PROSE = re.compile(r"^(\||#|:::|!\[|    )")
_ITEM = re.compile(r"^\s*([-*]|\d+\.)\s+")
_INLINE_CODE = re.compile(r"``?[^`]+``?")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"(?<=[.!?:])[\"')*_]*(?:\s+|$)")


def paragraphs(page: str) -> Iterator[str]:
    """Yield the paragraphs and list items of a page, without code, tables and headings."""
    lines: list[str] = []
    for line in [*_CODE.sub("", page).splitlines(), ""]:
        if not line.strip() or _ITEM.match(line) or _NO_PROSE.match(line):
            yield " ".join(lines)
            lines = []
        if not _NO_PROSE.match(line):
            lines.append(_ITEM.sub("", line).strip())


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences of a page; a colon ends one, and code within a line is one word."""
    for paragraph in paragraphs(page):
        plain = _LINK.sub(r"\1", _INLINE_CODE.sub("code", paragraph))
        yield from (sentence for sentence in _END.split(plain) if sentence)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_is_long(page: Path) -> None:
    found = [sentence for sentence in sentences(page.read_text()) if len(sentence.split()) > MOST_WORDS]
    assert not found, "\n".join([RULE, *found])


def test_a_long_sentence_is_found() -> None:
    long = "word " * 20 + "[and\na link](where) to `some code` " + "word " * 10 + "end."
    page = f"# Title\n\n```\n{'word ' * 40}\n```\n\n| {'word ' * 40} |\n\nShort one: yes. {long} Short.\n\n- {long}\n"
    assert [len(sentence.split()) for sentence in sentences(page)] == [2, 1, 36, 1, 36]
