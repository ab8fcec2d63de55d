"""The conventions that every package relies on."""

from storage.records import COCO_FLIP, COCO_KEYPOINTS, COCO_LIMBS, REJECT_REASONS


def test_the_mirror_twin_of_left_is_right():
    assert len(COCO_KEYPOINTS) == len(COCO_FLIP) == 17
    swapped = {"left": "right", "right": "left"}
    for name, twin in zip(COCO_KEYPOINTS, COCO_FLIP, strict=True):
        side, _, joint = name.partition("_")
        assert COCO_KEYPOINTS[twin] == (f"{swapped[side]}_{joint}" if joint else name)
        assert COCO_FLIP[twin] == COCO_KEYPOINTS.index(name)


def test_limbs_join_all_keypoints_and_mirror_into_each_other():
    limbs = {frozenset(limb) for limb in COCO_LIMBS}
    assert len(limbs) == len(COCO_LIMBS) == 19
    assert frozenset.union(*limbs) == set(range(17))
    assert {frozenset(COCO_FLIP[i] for i in limb) for limb in limbs} == limbs


def test_reasons_are_told_apart():
    assert len(set(REJECT_REASONS)) == len(REJECT_REASONS)
    assert all(reason.isidentifier() for reason in REJECT_REASONS)
