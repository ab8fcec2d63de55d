"""The built-in evaluation prompts: people in varied numbers and actions, and scenes without any."""

PERSON_PROMPTS = (
    "a young woman doing yoga on a beach",
    "a man in a hoodie and jeans is doing a break dance",
    "two young ballet dancers are practicing in a studio",
    "two boys are performing on a stage",
    "a man riding a wave on a surfboard",
    "a woman in a red dress is dancing",
    "a man is running through a field",
    "an older man in a red shirt",
    "a woman in black is jumping in the air",
    "three people walking down a street",
    "a girl kicking a soccer ball",
    "a young boy is standing in front of a door",
)
"""Most are prompts that the authors' project page shows."""

SCENE_PROMPTS = (
    "a red car parked on a street",
    "a wooden table with a bowl of fruit",
    "a lighthouse on a rocky coast",
    "a cat sleeping on a sofa",
)

DEFAULT_PROMPTS = PERSON_PROMPTS + SCENE_PROMPTS
