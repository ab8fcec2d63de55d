"""The people of a version, from its rows."""

from storage.people import captioned_people, people_in
from storage.versions import publish_version


def test_captions_and_people_are_those_of_the_samples(tmp_path, fill_root):
    fingerprints = fill_root(str(tmp_path), 3)
    version = publish_version(str(tmp_path), fingerprints, config={})
    samples = [sample for sample in version.iter_samples() if sample.human_spans]
    assert samples
    assert list(captioned_people(version)) == [(s.caption, s.people) for s in samples]
    assert people_in(version) == "words"


def test_a_shard_whose_rows_are_lost_is_passed_over(tmp_path, fill_root):
    fingerprints = fill_root(str(tmp_path), 3)
    version = publish_version(str(tmp_path), fingerprints, config={})
    every = list(captioned_people(version))
    (tmp_path / "shards" / f"{fingerprints[0]}.parquet").write_bytes(b"lost")
    rest = list(captioned_people(version))
    assert 0 < len(rest) < len(every)
    assert rest == every[-len(rest) :]
    for fingerprint in fingerprints[1:]:
        (tmp_path / "shards" / f"{fingerprint}.parquet").unlink()
    assert list(captioned_people(version)) == []
    assert people_in(version) == "words"  # unknown: the training will see
