"""The shards of the stubs' photos have the bytes that an earlier version of the code gave them."""

import hashlib
import json
from pathlib import Path

from priors_stubs import stub_extractor, units_of, write_photos

from storage.sources import resolve_source

DIGESTS = Path(__file__).parents[1] / "golden" / "stub_digests.json"


def test_shards_are_those_of_the_golden_set(tmp_path: Path) -> None:
    photos, root = tmp_path / "photos", tmp_path / "data"
    write_photos(photos, [1, 2, 0, 3, 1, 9, 2, 1])
    (photos / "001.txt").unlink()
    source = resolve_source(str(photos), format="folder", images=None)
    extractor = stub_extractor(source, root)
    for unit in units_of(source, size=3):
        extractor.process(unit)
    files = sorted((root / "shards").iterdir())
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert digests == json.loads(DIGESTS.read_text())
