"""What a checkpoint draws, measured against its base and the champion."""
