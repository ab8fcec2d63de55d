"""How the API reference reads the docstrings of this repository, as an extension of griffe."""

import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parents[1]))  # griffe loads this file by its path

from docs.field_notes import notes_of

_SECTION = re.compile(r"(?<=\S)\n(?=[ ]*(?:Args|Returns|Yields|Raises):\n)")


class DocstringSections(griffe.Extension):
    """Sections need no blank line above them; a field's comment is its docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Part the sections as griffe's parser wants them."""
        if obj.docstring is not None:
            obj.docstring.value = parted(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Tell the fields of a config or a result by the comments beside them."""
        for name, said in notes_of(dedent(cls.source)).items():
            field = cls.members[name]
            if said and field.docstring is None:
                field.docstring = griffe.Docstring(said, parent=field)  # type: ignore[arg-type]


def parted(text: str) -> str:
    """A docstring with a blank line above each of its sections."""
    return _SECTION.sub("\n\n", text)
