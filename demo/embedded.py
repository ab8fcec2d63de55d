"""Where the embedded weights lie; imports nothing heavy."""

from pathlib import Path

WEIGHTS_DIR = Path(__file__).parent / "weights"
SD_DIR = WEIGHTS_DIR / "sd"
POSE_DIR = WEIGHTS_DIR / "pose"
JUDGE_DIR = WEIGHTS_DIR / "judge"
SAM_DIR = WEIGHTS_DIR / "sam"
BODIES_DIR = WEIGHTS_DIR / "bodies"
POSE_PX = 320
"""Input side of the embedded pose model: it is surest on 256 px photos enlarged to this."""
