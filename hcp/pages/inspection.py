"""One self-contained HTML page about a dataset version: gallery, rejects, distributions.

No scripts and no external addresses: the filters are CSS over radio buttons. What a source says
(captions, paths) is escaped.
"""

from collections.abc import Mapping
from itertools import islice

from hcp.pages.figures import decode_image, draw_people, jpeg_uri
from hcp.pages.profile import MAX_SAMPLES, people_histograms, rejects_by_reason, spread
from hcp.pages.report import page_environment
from storage.codec import split_of
from storage.records import Sample
from storage.versions import DatasetVersion

TITLES = {
    "people_per_image": "People that pass, per photo",
    "detection_score": "Detection score",
    "visible_keypoints": "Visible keypoints per person",
    "mask_share": "Mask, share of the photo",
    "longer_side_px": "Longer side, px",
    "caption_chars": "Caption, characters",
}

_ON_THE_CARD = ("people_per_image", "longer_side_px", "caption_chars")


def render_inspection(version: DatasetVersion, *, rejects_each: int = 50, gallery: int = 48) -> str:
    """The page as HTML, with ``gallery`` samples and ``rejects_each`` of every reason.

    Raises:
        ShardError: a shard cannot be read.
    """
    reasons = version.rejects_by_reason
    histograms = {name: version.statistics[name] for name in _ON_THE_CARD}
    histograms |= people_histograms(version)
    looked = spread(version.shards)
    page = page_environment().get_template("inspect.html.j2")
    return page.render(
        version=version,
        rejects=rejects_by_reason(version, each=rejects_each),
        reasons=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
        tiles=[_tile(sample) for sample in islice(version.iter_samples(), gallery)],
        part=_part(version, len(looked)),
        charts=[(TITLES[name], _bars(bins)) for name, bins in histograms.items() if bins],
    )


def _part(version: DatasetVersion, n_shards: int) -> str:
    """What the charts of people show, where that is not all of the version."""
    if n_shards == len(version.shards) and version.n_samples <= MAX_SAMPLES:
        return ""
    return (
        f"Scores, keypoints and masks: up to {MAX_SAMPLES:,} samples of {n_shards:,} of "
        f"{len(version.shards):,} shards, spread over the version."
    )


def _tile(sample: Sample) -> dict[str, str]:
    passing = sum(person.passes_gate for person in sample.people)
    return {
        "image": jpeg_uri(draw_people(decode_image(sample), sample)),
        "caption": sample.caption,
        "words": ", ".join(span.text for span in sample.human_spans),
        "note": f"{sample.width_px} x {sample.height_px} px, {split_of(sample.key)}, {sample.uri}",
        "group": str(min(max(passing, 1), 3)),  # of the filter: 1, 2 or 3 people and more
    }


def _bars(bins: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Label, count and height in percent of the highest."""
    most = max(bins.values()) or 1
    return [(label, count, 100 * count / most) for label, count in bins.items()]
