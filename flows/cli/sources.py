"""``hcp sources``: what a place with photos is taken for, before anything is run on it."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from flows.cli.console import fail, say, say_json
from flows.cli.options import AsJson

Images = Annotated[str | None, typer.Option(help="COCO: the folder of photos.")]
ImageColumn = Annotated[
    str | None, typer.Option(help="Tables: the column of photos or their paths.")
]
CaptionColumn = Annotated[str | None, typer.Option(help="Tables: the column of captions.")]
"""Options that ``hcp rebuild`` has as well."""


def sources(
    source: Annotated[str, typer.Argument(help="Captioned photos, any fsspec URL.")],
    format: Annotated[  # noqa: A002 - named as in `hcp rebuild`
        str, typer.Option(help="auto, folder, table, webdataset or coco.")
    ] = "auto",
    images: Images = None,
    skip_unlisted: Annotated[
        bool, typer.Option("--skip-unlisted", help="Leave out folders that cannot be listed.")
    ] = False,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read what links out of the source lead to.")
    ] = False,
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    as_json: AsJson = False,
) -> None:
    """Say what a source is read as: records, where captions come from, what is left out and why.

    No photo is opened and nothing is written; give the same options to `hcp rebuild`.
    """
    from storage.sources import NamedColumns, resolve_source
    from storage.sources.report import look

    kind: Any = format  # resolve_source names those that there are
    try:
        place = resolve_source(
            source,
            format=kind,
            images=images,
            skip_unlisted=skip_unlisted,
            follow_links=follow_links,
            columns=NamedColumns(image=image_column, caption=caption_column),
        )
    except ValueError as error:
        fail(str(error))
    summary = look(place, source, images)
    if as_json:
        sums = {"n_captioned": summary.n_captioned, "n_left_out": summary.n_left_out}
        say_json(asdict(summary) | sums | {"n_there": summary.n_there})
    else:
        for line in summary.lines():
            say(line)
    if summary.error:
        fail(summary.error)
