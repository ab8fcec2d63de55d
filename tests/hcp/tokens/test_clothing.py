"""Who wears what of which colour."""

import pytest

from hcp.tokens.clothing import asked_clothes


def said(caption: str) -> list[str]:
    """Each person's clothes as short words: "red shirt, blue trousers"."""
    return [", ".join(f"{g.colour} {g.noun}" for g in person) for person in asked_clothes(caption)]


@pytest.mark.parametrize(
    ("caption", "clothes"),
    [
        ("a man in a red shirt and blue trousers", ["red shirt, blue trousers"]),
        ("two men in yellow shirts standing on a beach", ["yellow shirts", "yellow shirts"]),
        ("a girl wearing a purple dress is dancing on the stage", ["purple dress"]),
        ("a woman in a white shirt and a black skirt in the snow", ["white shirt, black skirt"]),
        ("a man in a red shirt and a woman in a blue shirt", ["red shirt", "blue shirt"]),
        ("a man and a woman wearing a green shirt sitting", ["", "green shirt"]),
        ("a man and a woman in red shirts", ["red shirts", "red shirts"]),
        ("three women dressed in black dancing", ["black clothes"] * 3),
        ("a woman in black is jumping in the air", ["black clothes"]),
        ("a boy in red running down a street", ["red clothes"]),
        ("a man in red running shoes", [""]),
        ("a woman wearing a white wedding dress", ["white dress"]),
        ("a young man in a dark blue denim jacket and jeans", ["blue jacket"]),
        ("a man with a navy blue t-shirt, grey shorts and a white hat",
         ["blue t-shirt, grey shorts"]),
        ("a man in a light-blue shirt", ["blue shirt"]),
        ("an older man in a red shirt", ["red shirt"]),
        ("a man in a hoodie and jeans is doing a break dance", [""]),
        ("a man in a red and white shirt", [""]),
        ("a woman in a black-and-white dress", [""]),
        ("a woman in a red striped dress", [""]),
        ("a photo of a man in black and white", [""]),
        ("a man in a red car", [""]),
        ("a man in white water on a blue surfboard", [""]),
        ("a man with a red umbrella", [""]),
        ("a woman with red hair", [""]),
        ("a woman ironing a blue dress", [""]),
        ("a red shirt on a hanger", []),
        ("a red car on a street", []),
        ("a group of people in orange shirts", ["orange shirts"]),
        ("a man holding an orange", [""]),
        ("", []),
    ],
)  # fmt: skip
def test_clothes_of_each_person(caption: str, clothes: list[str]) -> None:
    assert said(caption) == clothes


def test_regions() -> None:
    (person,) = asked_clothes("a woman in a green top, white leggings and a red skirt")
    assert [g.region for g in person] == ["torso", "legs", "thighs"]
