"""What names of folders say about their files: captions, photos, or what is made of photos."""

import re

CAPTION_FOLDERS = frozenset({
    "caption", "captions", "text", "texts", "txt", "txts", "prompt", "prompts", "label", "labels",
    "description", "descriptions", "annotation", "annotations", "tag", "tags",
})  # fmt: skip
"""Words that make a folder one of captions; ``train_captions`` is one for ``train_images``."""

PHOTO_FOLDERS = frozenset({
    "image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pics", "jpg",
    "jpgs", "jpeg", "png", "webp", "rgb", "dataset",
})  # fmt: skip
"""Words of folders that hold photos and say nothing else of them."""

OTHER_PARTS = frozenset({
    "mask", "masks", "seg", "segmentation", "semantic", "instance", "pose", "skeleton", "openpose",
    "densepose", "depth", "normal", "normals", "canny", "edge", "edges", "control", "cond",
    "condition", "conditioning", "hint", "target", "output", "edited", "thumb", "thumbnail",
    "preview", "label", "alpha", "matte",
})  # fmt: skip
"""Words of parts and folders that hold what is made of photos, or what they are made from."""


def words_of(name: str) -> frozenset[str]:
    """The words of a folder's name, in lower case."""
    return frozenset(re.split(r"[\s_.-]+", name.casefold()))


def is_captions_folder(name: str) -> bool:
    """Whether a folder's name says that captions are in it."""
    return not CAPTION_FOLDERS.isdisjoint(words_of(name))


def is_photo_folder(name: str) -> bool:
    """Whether a folder's name says that photos are in it, and no masks of them."""
    return not PHOTO_FOLDERS.isdisjoint(words_of(name)) and not is_other_part(name)


def is_other_part(name: str) -> bool:
    """Whether a folder or a part is called after what is made of photos: masks, depth maps."""
    return any(
        not OTHER_PARTS.isdisjoint((word, word.removesuffix("s"))) for word in words_of(name)
    )
