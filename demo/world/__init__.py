"""The drawn world: scenes of people with exact keypoints and masks."""
