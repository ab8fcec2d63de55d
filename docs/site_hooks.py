"""What the site shows beside the pages of this folder: files of the root, and notebooks."""

import re
import sys
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # mkdocs loads this file by its path

from docs.notebook_pages import FOLDER as NOTEBOOKS  # noqa: E402
from docs.notebook_pages import as_page as notebook_page  # noqa: E402

ROOT_PAGES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
"""Pages of the site, by the file of the repository's root that they show."""
LATE_IN_SEARCH = "---\nsearch:\n  boost: 0.3\n---\n\n"
"""The changelog names everything, and explains it elsewhere."""


def as_page(text: str) -> str:
    """A file of the root with its links as a page beside the others has them."""
    text = re.sub(r"\]\(docs/", "](", text)
    for page, name in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages of the root and of the notebooks."""
    for page, name in ROOT_PAGES.items():
        content = LATE_IN_SEARCH + as_page((ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=content))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = notebook_page(nbformat.read(path, as_version=4), path.stem)
        made = {f"{path.stem}.md": text, **pictures}
        for name, content in made.items():
            place = f"{NOTEBOOKS.name}/{name}"
            files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the root, as a git host follows them, lead to their pages."""
    for target, name in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return re.sub(r"\]\((notebooks/\w+)\.ipynb", r"](\1.md", markdown)
