"""The commands that look at a data set: its versions, its page, its health, what can go."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer

from flows.cli.bars import bars
from flows.cli.console import say, say_json, say_table
from flows.cli.options import AsJson, RootPlace
from flows.steps import Step
from storage.errors import VersionError


def versions(
    root: RootPlace,
    limit: Annotated[int, typer.Option(min=0, help="So many of the newest; 0: all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the dataset versions of a root, the newest first: samples, rejects, shards."""
    from storage.version_list import count_versions, summarise_versions

    n_there = count_versions(root)
    if not n_there:
        raise VersionError(f"no data set version in {root}: `hcp rebuild --root {root}` makes one")
    found = list(summarise_versions(root, limit=limit or None))
    if as_json:
        rows = [
            {
                "version": each.id,
                "dataset": f"{root}@{each.id}",
                "published": each.published.isoformat() if each.published else None,
                "samples": each.n_samples,
                "rejects": each.n_rejects,
                "shards": each.n_shards,
                "excluded": each.n_excluded,
                "latest": each.is_latest,
                "problem": each.problem,
            }
            for each in found
        ]
        say_json({"root": root, "n_versions": n_there, "versions": rows})
        return
    say_table(
        [
            {
                "version": each.id,
                "published (UTC)": f"{each.published:%Y-%m-%d %H:%M}" if each.published else None,
                "samples": f"{each.n_samples:,}",
                "rejects": f"{each.n_rejects:,}",
                "shards": f"{each.n_shards:,}",
                "excluded": f"{each.n_excluded:,}",
                "": "latest" if each.is_latest else each.problem,
            }
            for each in found
        ]
    )
    say(f"{len(found)} of {n_there} versions" + ("" if len(found) == n_there else "; --limit 0"))


def inspect(
    dataset: Annotated[str, typer.Argument(help="ROOT or ROOT@VERSION.")],
    out: Annotated[str, typer.Option(help="The page to write.")] = "inspect.html",
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page about a dataset version: counts, rejects, pictures."""
    from hcp.pages.inspection import render_inspection
    from storage.locations import normalised, write_atomic
    from storage.versions import open_version, split_dataset

    place = normalised(out)
    version = open_version(*split_dataset(dataset))
    write_atomic(place, render_inspection(version).encode())
    if as_json:
        say_json({"page": place, "version": version.id, "samples": version.n_samples,
                  "rejects_by_reason": version.rejects_by_reason})  # fmt: skip
    else:
        say(place)


def verify(
    root: RootPlace,
    quick: Annotated[
        bool, typer.Option("--quick", help="Markers, sizes and sums; no file is read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check digests, counts and sums of everything committed below a root."""
    from storage.verify import verify_listing, verify_root

    with bars() as show:

        def on_shard(done: int, total: int) -> None:
            show(Step("verify", done, total, f"{done}/{total} shards"))

        problems = verify_listing(root) if quick else verify_root(root, on_shard=on_shard)
    if as_json:
        say_json({"root": root, "quick": quick, "problems": problems})
    else:
        for problem in problems:
            say(problem)
        say(f"{len(problems)} problems")
    sys.exit(1 if problems else 0)


def gc(
    root: RootPlace,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the shards that no dataset version names."""
    from storage.gc import collect_garbage

    with nullcontext() if dry_run else _lock(root):
        gone = collect_garbage(root, dry_run=dry_run)
    if as_json:
        say_json({"root": root, "deleted": not dry_run, "files": gone})
        return
    for name in gone:
        say(name)
    say(f"{len(gone)} files {'would be ' if dry_run else ''}deleted")


def _lock(root: str) -> AbstractContextManager[None]:
    """Of the root, on the server that the flows use, where one is named."""
    if not os.environ.get("PREFECT_API_URL"):
        return nullcontext()
    from flows.locks import root_lock

    return root_lock(root)
