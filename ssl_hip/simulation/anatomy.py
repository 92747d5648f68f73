"""What a subject is: named, bounded parameters of both hips and of the body, and how they are drawn.

Landmark positions are those of an average adult pelvis. `diseased` ranges stand for those whose hip is replaced:
osteoarthritis, dysplasia, protrusion, old fractures, contracture. Where no source is named, ranges are judgement.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ssl_hip.simulation.draws import affect, chance, draw, integer, ranged, vary

FRACTURES = ("none", "neck", "trochanteric", "rami")  # healed; numbers above these are none too


@dataclass(frozen=True)
class Hip:
    """One side: femur and hip bone, in mm and degrees.

    flexion_deg, adduction_deg, rotation_deg (outwards): of the femur in the scanner. defect_mm, ossification_mm: radius
    of a lump that each of both lacks (resection, osteolysis) or has too much, none below 0. cam_mm: how far the
    head-neck junction bulges in front and above. protrusion_mm: how far the socket lies to the inside of its usual
    place, below 0 to the outside.

    Sources. Neck-shaft angle 127, 95 % from 114 to 140 degrees: Fischer 2020. Femoral version 9, standard deviation 10
    degrees: Koerner 2013; beyond 0 to 35 in dysplasia: Tönnis 1999, and socket's version there too. Centre-edge angle
    below 20 is dysplasia: Wiberg 1939. Head-neck offset lost in a cam deformity: Nötzli 2002. Mean radius of the
    femur's anterior bow .94 m in 1,232 femora (PMC6177158), .88 and .96 in women and men, sd .25 and .27 (PMC8589507):
    ours are straighter.
    """

    head_radius_mm: float = ranged(20.5, 26.0)
    head_flattening: float = ranged(0.0, 0.03, diseased=(0.0, 0.4))
    cam_mm: float = ranged(0.0, 1.5, diseased=(0.0, 6.0))
    neck_shaft_deg: float = ranged(120, 136, diseased=(113, 144))
    version_deg: float = ranged(2, 24, diseased=(-8, 38))
    neck_length_mm: float = ranged(44, 56)
    neck_radius_mm: float = ranged(12.5, 15.5)
    trochanter_mm: float = ranged(13, 16.5)
    lesser_trochanter_mm: float = ranged(6.5, 9.5)
    shaft_radius_mm: float = ranged(13, 16.5)
    bow_radius_mm: float = ranged(900, 1500)
    fracture: int = integer(0, 0, diseased=(0, 15))
    adduction_deg: float = ranged(-4, 10)
    flexion_deg: float = ranged(0, 12, diseased=(0, 25))
    rotation_deg: float = ranged(-10, 25, diseased=(-20, 40))
    joint_space_mm: float = ranged(2.4, 4.0, diseased=(0.6, 2.0))
    subluxation_mm: float = ranged(0.0, 0.4, diseased=(0.0, 3.0))
    protrusion_mm: float = ranged(-1.0, 1.0, diseased=(-4.0, 8.0))
    centre_edge_deg: float = ranged(27, 42, diseased=(6, 40))
    inclination_deg: float = ranged(38, 48, diseased=(38, 56))
    cup_version_deg: float = ranged(10, 26)
    cup_wall_mm: float = ranged(5.5, 9)
    rim_osteophyte_mm: float = ranged(0.0, 1.0, diseased=(1.0, 8.0))
    head_osteophyte_mm: float = ranged(0.0, 0.8, diseased=(1.0, 7.0))
    defect_mm: float = ranged(0.0, 0.0, diseased=(-10.0, 36.0))
    ossification_mm: float = ranged(0.0, 0.0, diseased=(-8.0, 34.0))
    wing_mm: float = ranged(9.0, 13.0)
    wing_flare: float = ranged(0.42, 0.62)
    wing_bend: float = ranged(0.42, 0.62)
    crest_mm: float = ranged(112, 130)
    spine_mm: float = ranged(44, 56)
    notch_mm: float = ranged(22, 36)
    ramus_mm: float = ranged(5.5, 8.0)
    tuber_mm: float = ranged(58, 68)
    side_seed: int = integer(0, 2**31 - 1)


@dataclass(frozen=True)
class Body:
    """What both sides share. deformation_mm: standard deviation of the smooth random displacement.

    tilt_deg: of pelvis and sacrum, forwards below 0; femora and chest stay where they are. bottom_mm, top_mm: the
    scan's ends above the hip centres, from mid-thigh or below the lesser trochanter to the iliac crests or the twelfth
    thoracic vertebra: they cut the same bones elsewhere.

    Sources. Pelvic tilt lying down, before hip replacement: 4 forwards, from 25 forwards to 21 backwards in 1,517
    patients: Pierrepont 2017. Lumbar vertebrae (height, endplates, canal, processes): Panjabi 1992. Lordosis follows
    the pelvis: Legaye 1998; it is 37, sd 13 degrees lying down and 50, sd 11 standing (PMC6680033): ours lie between.
    """

    scale: float = ranged(0.85, 1.12)
    hip_distance_mm: float = ranged(168, 190)
    sacrum_width_mm: float = ranged(50, 57)
    sacrum_curve_mm: float = ranged(58, 68)
    promontory_mm: float = ranged(88, 98)
    lordosis_deg: float = ranged(32, 56)
    scoliosis_mm: float = ranged(-9, 9)
    vertebra_mm: float = ranged(24, 28)
    vertebra_width_mm: float = ranged(42, 52)
    disc_mm: float = ranged(7, 12)
    rib_mm: float = ranged(70, 140)
    tilt_deg: float = ranged(-15, 15)
    yaw_deg: float = ranged(-5, 5)
    roll_deg: float = ranged(-4, 4)
    shift_x_mm: float = ranged(-6, 6)
    shift_y_mm: float = ranged(-5, 5)
    shift_z_mm: float = ranged(-8, 8)
    bottom_mm: float = ranged(-230, -75)
    top_mm: float = ranged(120, 300)
    deformation_mm: float = ranged(0.4, 2.6)
    affected_right: int = chance(0.9)
    affected_left: int = chance(0.9)
    body_seed: int = integer(0, 2**31 - 1)


@dataclass(frozen=True)
class Anatomy:
    """A subject: the body and its two sides; a row of the cohort's table holds all of it."""

    body: Body
    right: Hip
    left: Hip

    def row(self) -> dict[str, Any]:
        """Return one flat dict; the sides' names begin with right_ and left_."""
        sides = {f"{side}_{k}": v for side in ("right", "left") for k, v in asdict(getattr(self, side)).items()}
        return asdict(self.body) | sides

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Anatomy":
        """Read back what `row` wrote; other columns are passed over."""
        sides = (Hip(**{f.name: row[f"{side}_{f.name}"] for f in fields(Hip)}) for side in ("right", "left"))
        return cls(Body(**{f.name: row[f.name] for f in fields(Body)}), *sides)


def draw_anatomy(rng: np.random.Generator, diseased: bool = False) -> Anatomy:
    """Draw a subject: two sides that resemble each other; disease takes one of them or both."""
    body, right = draw(Body, rng), draw(Hip, rng)
    left = vary(right, rng, share=0.1)
    if not diseased:
        return Anatomy(replace(body, affected_right=0, affected_left=0), right, left)
    if not (body.affected_right or body.affected_left):
        body = replace(body, affected_right=1, affected_left=1)
    right = affect(right, rng) if body.affected_right else right
    left = affect(left, rng) if body.affected_left else left
    return Anatomy(body, right, left)


def fractured(hip: Hip) -> Hip:
    """Return the hip as an old fracture of the femur healed: in varus, the neck short or the shaft turned outwards."""
    kind = FRACTURES[hip.fracture] if hip.fracture < len(FRACTURES) else "none"
    if kind == "neck":
        return replace(
            hip,
            neck_length_mm=0.78 * hip.neck_length_mm,
            neck_shaft_deg=hip.neck_shaft_deg - 10,
            neck_radius_mm=1.1 * hip.neck_radius_mm,
        )
    if kind == "trochanteric":
        return replace(hip, neck_shaft_deg=hip.neck_shaft_deg - 14, rotation_deg=hip.rotation_deg + 8)
    return hip
