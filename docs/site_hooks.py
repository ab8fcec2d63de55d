"""What the site shows beside the pages of this folder: files of the repository's root, as pages."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ROOT_PAGES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
}
"""Pages of the site, by the file of the repository's root that they show."""


def as_page(text: str) -> str:
    """A file of the root with its links as a page beside the others has them."""
    text = re.sub(r"\]\(docs/", "](", text)
    for page, name in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return text


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages of the root."""
    for page, name in ROOT_PAGES.items():
        content = as_page((ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to files of the root, as a git host follows them, lead to their pages."""
    for target, name in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return markdown
