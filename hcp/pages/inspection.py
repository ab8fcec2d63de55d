"""One self-contained HTML page about a dataset version: gallery, rejects, distributions.

No scripts and no external addresses: the filters are CSS over radio buttons. What a source says
(captions, paths) is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hcp.pages.figures import jpeg_uri
from hcp.pages.report import page_environment
from hcp.pose_image import decode_image, draw_people
from storage.records import Reject, Sample
from storage.shards import split_of

TITLES = {
    "people_per_image": "People that pass, per photo",
    "detection_score": "Detection score",
    "visible_keypoints": "Visible keypoints per person",
    "mask_share": "Mask, share of the photo",
    "longer_side_px": "Longer side, px",
    "caption_chars": "Caption, characters",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What the page shows; everything but the counts may be a part of the version."""

    version: str
    root: str
    n_samples: int
    n_excluded: int  # of the samples: duplicates that loaders leave out
    rejects_by_reason: Mapping[str, int]
    rejects: Mapping[str, Sequence[Reject]] = field(default_factory=dict[str, Sequence[Reject]])
    gallery: Sequence[Sample] = ()
    histograms: Mapping[str, Mapping[str, int]] = field(
        default_factory=dict[str, Mapping[str, int]]
    )
    facts: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    image: str
    caption: str
    words: str
    note: str
    group: str  # of the gallery's filter: 1, 2 or 3 people and more


def render_inspection(data: Inspection) -> str:
    """The page as HTML."""
    n_rejects = sum(data.rejects_by_reason.values())
    template = page_environment().get_template("inspect.html.j2")
    return template.render(
        data=data,
        n_rejects=n_rejects,
        n_records=n_rejects + data.n_samples,
        reasons=sorted(data.rejects_by_reason.items(), key=lambda item: (-item[1], item[0])),
        tiles=[_tile(sample) for sample in data.gallery],
        charts=[
            (TITLES.get(name, name), _bars(bins)) for name, bins in data.histograms.items() if bins
        ],
    )


def _tile(sample: Sample) -> _Tile:
    passing = sum(person.passes_gate for person in sample.people)
    return _Tile(
        image=jpeg_uri(draw_people(decode_image(sample), sample)),
        caption=sample.caption,
        words=", ".join(span.text for span in sample.human_spans),
        note=f"{sample.width_px} x {sample.height_px} px, {split_of(sample.key)}, {sample.uri}",
        group=str(min(max(passing, 1), 3)),
    )


def _bars(bins: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Label, count and height in percent of the highest."""
    most = max(bins.values()) or 1
    return [(label, count, 100 * count / most) for label, count in bins.items()]
