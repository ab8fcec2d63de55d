"""What names of folders say."""

from storage.sources.folder_words import is_captions_folder, is_other_part, is_photo_folder


def test_names_of_folders():
    captions = ("captions", "train_captions", "celeba-caption", "Text", "labels.v2")
    assert all(map(is_captions_folder, captions))
    assert not any(map(is_captions_folder, ("images", "context", "textures", "label2", "d.jpg")))
    assert all(
        map(is_photo_folder, ("images", "train_images", "CelebA-HQ-img", "Flicker8k_Dataset"))
    )
    assert not any(map(is_photo_folder, ("train", "image_masks", "imagery", "control_images")))
    assert all(map(is_other_part, ("masks", "depth_maps", "target", "Canny")))
    assert not any(map(is_other_part, ("images", "train", "sub")))
