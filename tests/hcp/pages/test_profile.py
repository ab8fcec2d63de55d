"""What a page about a version shows beside its card: histograms of people, rejects by reason."""

from hcp.pages.profile import people_histograms, rejects_by_reason, spread
from storage.versions import publish_version


def test_histograms_count_the_people_that_pass(tmp_path, fill_root):
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    assert people_histograms(version) == {
        "detection_score": {"0.85": 27},
        "visible_keypoints": {"0": 27},  # of confidence 0.12
        "mask_share": {"0.15": 27},  # 9 of 48 pixels
    }
    assert people_histograms(version, limit=4)["mask_share"] == {"0.15": 4}


def test_the_first_rejects_of_each_reason(tmp_path, fill_root):
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    (reason,) = found = rejects_by_reason(version, each=2)
    assert reason == "no_person"
    assert [(r.reason, r.detail) for r in found[reason]] == [("no_person", "none")] * 2
    assert len(rejects_by_reason(version, each=9)[reason]) == 3


def test_a_part_is_spread_over_the_version(tmp_path, fill_root):
    assert spread("abcdefgh", 3) == ("a", "c", "f")
    assert spread("ab") == ("a", "b")
    version = publish_version(str(tmp_path), fill_root(str(tmp_path)), config={})
    assert people_histograms(version, max_shards=2)["mask_share"] == {"0.15": 18}
