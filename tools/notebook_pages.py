"""A hook of MkDocs: each notebook below `docs/` is a page of the site too, its cells and their output as Markdown.

A page asks nothing of another server, so that a plug-in which renders with a web front end is none for this site.
"""

import json
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_FENCE = "````"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page per notebook; the notebook itself stays, to be fetched."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            text = as_markdown(json.loads(file.content_string), file.name + ".ipynb")
            files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=text))
    return files


def as_markdown(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as a page, with a line that offers the notebook below the title."""
    parts = [part for cell in notebook["cells"] for part in _of_cell(cell)]
    fetch = f"[This page as a notebook]({name}){{ download }}"
    return "\n\n".join([parts[0].split("\n", 1)[0], fetch, *parts[0].split("\n", 1)[1:], *parts[1:]]) + "\n"


def _of_cell(cell: dict[str, Any]) -> list[str]:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [re.sub(r"\(([\w/]+)\.ipynb\)", r"(\1.md)", text)]
    return [f"{_FENCE}python\n{text}\n{_FENCE}", *(part for output in cell["outputs"] for part in _of_output(output))]


def _of_output(output: dict[str, Any]) -> list[str]:
    data = output.get("data", {})
    if "image/png" in data:
        return [f"![What the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})"]
    said = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return [f"{_FENCE}text\n{said}\n{_FENCE}"] if said else []
