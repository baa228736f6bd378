"""The README's script is the one that is tested, and every example in the docs compiles."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def test_readme_shows_the_first_script() -> None:
    script = (ROOT / "examples" / "first_script.py").read_text().partition('"""\n\n')[2]
    assert blocks(ROOT / "README.md") == [script]


def test_the_page_shows_the_runtime_that_is_tested() -> None:
    page, example = ROOT / "docs" / "runtimes" / "add_a_runtime.md", ROOT / "examples" / "add_a_runtime.py"
    assert blocks(page)[0] == example.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_compile(page: Path) -> None:
    for block in blocks(page):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
