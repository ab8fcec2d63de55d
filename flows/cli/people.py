"""What people judge: a page for raters, and what their votes say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.adapters import AnyBase, Device, Dtype
from flows.cli.console import note, say, say_json
from flows.cli.options import AsJson, Base, Registry
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.pages.votes import ComparePageConfig

Model = Annotated[
    str | None, typer.Option(help="Adapter: folder, registry URI or hub id; or 'base'.")
]
Pictures = Annotated[
    Path | None, typer.Option(help="Instead: a folder; equal names in both are a pair.")
]

Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write over an earlier page and its key.")
]


def compare_page(
    out: Annotated[Path, typer.Option(help="The page, FILE.html; its key is FILE.key.json.")],
    a: Model = None,
    b: Model = None,
    base: Base = None,
    prompts: Annotated[str | None, typer.Option(help="File, one prompt a line.")] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N", help="So many of each prompt, from 0; or which: 0,5,9.")
    ] = "1",
    limit: Annotated[int, typer.Option(help="Pairs, at most.")] = 100,
    a_pictures: Pictures = None,
    b_pictures: Pictures = None,
    question: Annotated[str | None, typer.Option(help="What raters are asked.")] = None,
    repeats: Annotated[int, typer.Option(help="Pairs that are shown twice, sides swapped.")] = 8,
    checks: Annotated[int, typer.Option(help="Pairs of a picture and a scrambled one.")] = 0,
    max_px: Annotated[int, typer.Option(help="Of a picture's longer side.")] = 768,
    quality: Annotated[int, typer.Option(help="Of WebP; up to 256 px nothing is lost.")] = 90,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 30,
    guidance: Annotated[float, typer.Option(min=1, help="Classifier-free guidance.")] = 7.5,
    registry: Registry = None,
    any_base: AnyBase = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write one offline page on which people choose, blind, between two models' pictures."""
    from flows.compare_page import CompareJob, write_compare_page

    page = _page_config(
        question=question, limit=limit, repeats=repeats, checks=checks, max_px=max_px,
        quality=quality,
    )  # fmt: skip
    written = write_compare_page(
        CompareJob(
            out=out, a=a, b=b, base=base, prompts=prompts, seeds=_seeds(seeds),
            a_pictures=a_pictures, b_pictures=b_pictures, registry=registry, any_base=any_base,
            steps=steps, guidance=guidance, device=device, dtype=dtype, overwrite=overwrite,
            page=page,
        )
    )  # fmt: skip
    for line in written.notes:
        note(line)
    if as_json:
        say_json({"page": str(written.page), "key": str(written.key)})
    else:
        say(f"page {written.page}")
        say(f"key {written.key}")


def votes(
    files: Annotated[list[Path], typer.Argument(metavar="VOTES.json...", help="Or folders.")],
    key: Annotated[Path, typer.Option(help="FILE.key.json, from beside the page.")],
    as_json: AsJson = False,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
) -> None:
    """Count the votes on a compare page: how often b wins, and how far to believe it."""
    from hcp.evaluation.ballots import collect_ballots
    from hcp.evaluation.compare_key import read_key
    from hcp.evaluation.votes import count_votes
    from hcp.pages.vote_lines import vote_lines

    data = _read(key)
    if isinstance(data, OSError):
        raise HcpError(f"key {key}: cannot be read: {data.strerror or data}")
    known = read_key(data, str(key))
    each = [(str(path), _read(path)) for path in _files(files, key)]
    ballots, refused = collect_ballots(each, known)
    report = count_votes(known, ballots, refused=refused, level=level)
    for other in refused:
        note(f"{other.file} does not count: {other.reason}")
    if as_json:
        say_json(report.to_json())
    else:
        for line in vote_lines(report, level=level):
            say(line)


def _page_config(**fields: Any) -> "ComparePageConfig":
    from hcp.pages.votes import ComparePageConfig

    try:
        return ComparePageConfig(
            **{name: each for name, each in fields.items() if each is not None}
        )
    except ValueError as error:
        raise HcpError(str(error)) from error


def _files(given: list[Path], key: Path) -> list[Path]:
    """The files, and those in the folders; a file given twice once, the key not."""
    found: dict[Path, Path] = {}
    for path in given:
        for each in sorted(path.glob("*.json")) if path.is_dir() else (path,):
            if not each.name.endswith(".key.json") or not path.is_dir():
                found.setdefault(each.resolve(), each)
    found.pop(key.resolve(), None)
    return list(found.values())


def _read(path: Path) -> bytes | OSError:
    try:
        return path.read_bytes()
    except OSError as error:
        return error


def _seeds(text: str) -> tuple[int, ...]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise HcpError(f"seeds: expected a number, or numbers with commas, got {text!r}") from error
    if len(numbers) == 1 and numbers[0] < 1:
        raise HcpError(f"seeds: expected how many, at least 1, got {text!r}")
    return tuple(numbers) if len(numbers) > 1 else tuple(range(numbers[0]))
