"""The trainings that made the embedded weights."""
