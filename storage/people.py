"""The people of a version, from its rows alone: who is there, and whether anybody is."""

from collections.abc import Iterator
from typing import Any, Literal

from storage.codec import person_of
from storage.extras import explained_imports
from storage.records import Person, Split
from storage.shard_reader import open_rows
from storage.versions import DatasetVersion

Found = Literal["nobody", "people", "words"]


def people_in(version: DatasetVersion, split: Split = "train") -> Found:
    """What the split holds: ``words``, a person whose caption has a human word; else ``people``.

    Reads row by row what the shards' parquet says, and stops at the first ``words``; a shard whose
    rows cannot be read is passed over, and where none can be, ``words`` are taken to be there.
    """
    with explained_imports():
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

    wanted = (ds.field("split") == split) & (ds.field("n_people_passing") > 0)
    if version.exclusions:
        wanted &= ~ds.field("key").isin(sorted(version.exclusions))
    count: Any = pc  # its functions are made at run time, unknown to the type checker
    worded = count.list_value_length(ds.field("human_spans")) > 0
    people = read = False
    for fingerprint in version.shards:
        try:
            rows = open_rows(version.root, [fingerprint], "parquet")
            if rows.head(1, columns=["key"], filter=wanted & worded).num_rows:
                return "words"
            people = people or rows.head(1, columns=["key"], filter=wanted).num_rows > 0
            read = True
        except (OSError, pa.ArrowException):
            continue
    if not read:
        return "words"
    return "people" if people else "nobody"


def captioned_people(version: DatasetVersion) -> Iterator[tuple[str, tuple[Person, ...]]]:
    """Caption and people of every photo with a human word, in the shards' order; no pixels."""
    with explained_imports():
        import pyarrow as pa

    columns = ["key", "caption", "people", "human_spans"]
    for fingerprint in version.shards:
        try:
            rows = open_rows(version.root, [fingerprint], "parquet").to_table(columns=columns)
        except (OSError, pa.ArrowException):  # a training names it; an evaluation goes on
            continue
        for row in rows.to_pylist():
            if row["human_spans"] and row["key"] not in version.exclusions:
                yield row["caption"], tuple(person_of(each) for each in row["people"])
