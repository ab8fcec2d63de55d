"""The articulated skeleton of a drawn person, posed on the COCO-17 joints.

Body units: 1 = body height, y down, origin at the hip centre.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from demo.world.brush import Point
from demo.world.looks import Look
from demo.world.poses import Pose


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joint positions by name, body units or canvas pixels."""

    points: Mapping[str, Point]
    scale: float  # pixels per body unit (1 while in body units)

    def __getitem__(self, name: str) -> Point:
        return self.points[name]

    def placed(self, scale: float, origin: Point, *, mirror: bool = False) -> "Skeleton":
        """The skeleton in pixels: scaled, optionally mirrored, hip centre at the origin."""
        sign = -1.0 if mirror else 1.0
        moved = {
            name: (origin[0] + sign * scale * x, origin[1] + scale * y)
            for name, (x, y) in self.points.items()
        }
        return Skeleton(moved, scale)


def _step(start: Point, angle_deg: float, length: float) -> Point:
    a = math.radians(angle_deg)
    return start[0] + length * math.sin(a), start[1] + length * math.cos(a)


def pose_skeleton(pose: Pose, look: Look) -> Skeleton:
    """The posed skeleton in body units, hip centre at (0, 0), facing right in side views."""
    up = 180.0 - pose.lean
    neck = _step((0.0, 0.0), up, 0.30)
    head = _step(neck, up - pose.head, 0.03 + 0.095 * look.head)
    across = math.radians(pose.lean)  # from the person's right to left along shoulders and hips
    ax, ay = math.cos(across), math.sin(across)
    shoulder, hip = (0.018, 0.012) if pose.side else (0.108 * look.width**0.5, 0.062)
    points: dict[str, Point] = {"neck": neck, "head": head, "hips": (0.0, 0.0)}
    for side, sign in (("right", -1.0), ("left", 1.0)):
        top = (neck[0] + sign * shoulder * ax, neck[1] + sign * shoulder * ay + 0.025)
        if pose.ground == "hands":
            top = (top[0], top[1] - 0.05)
        low = (sign * hip * ax, sign * hip * ay)
        arm = pose.right_arm if side == "right" else pose.left_arm
        leg = pose.right_leg if side == "right" else pose.left_leg
        elbow, knee = _step(top, arm[0], 0.165), _step(low, leg[0], 0.235)
        wrist, ankle = _step(elbow, arm[1], 0.150), _step(knee, leg[1], 0.225)
        points |= {f"{side}_shoulder": top, f"{side}_elbow": elbow, f"{side}_wrist": wrist}
        points |= {f"{side}_hip": low, f"{side}_knee": knee, f"{side}_ankle": ankle}
        points[f"{side}_hand"] = _step(wrist, arm[1], 0.028)
        # feet point forward in side views, slightly outward in front views, up in a handstand
        turn = 78.0 if pose.side else sign * 38.0
        points[f"{side}_toe"] = _step(ankle, leg[1] + turn, 0.075 if pose.side else 0.045)
    return Skeleton(points | _face(pose, look, head), 1.0)


def _face(pose: Pose, look: Look, head: Point) -> dict[str, Point]:
    """Nose, eyes and ears around the head's centre, turned with the head."""
    tilt = math.radians(pose.lean + pose.head)
    r = 0.095 * look.head
    if pose.side:
        spots = {"nose": (0.86, 0.14), "right_eye": (0.46, -0.14), "left_eye": (0.66, -0.14)}
        spots |= {"right_ear": (-0.2, 0.04), "left_ear": (-0.06, 0.04), "mouth": (0.52, 0.5)}
    else:
        spots = {"nose": (0.0, 0.16), "right_eye": (-0.33, -0.1), "left_eye": (0.33, -0.1)}
        spots |= {"right_ear": (-0.84, 0.04), "left_ear": (0.84, 0.04), "mouth": (0.0, 0.5)}
    cos, sin = math.cos(tilt), math.sin(tilt)
    return {
        name: (head[0] + r * (x * cos - y * sin), head[1] + r * (x * sin + y * cos))
        for name, (x, y) in spots.items()
    }
