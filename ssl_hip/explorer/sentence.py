"""One voxel's story in plain words."""

from ssl_hip.explorer.maps import Maps
from ssl_hip.explorer.matched import Labels

NAMES = {0: "background", 1: "bone", 255: "not known"}


def sentence(maps: Maps, found: Labels, voxel: tuple[int, int, int], limit: float) -> str:
    """Say which label a voxel gets and from whom. limit: lambda_T, nats."""
    entropy, truth = float(maps.entropy[voxel]), NAMES[int(maps.truth[voxel])]
    near, far = float(found.object_similarity[voxel]), float(found.background_similarity[voxel])
    matched = f"{NAMES[int(found.label[voxel])]} by matching, {max(near, far):.3f} against {min(near, far):.3f}"
    probability = float(maps.passes[:, *voxel].mean())
    teacher = f"{NAMES[int(maps.teacher_label[voxel])]} by the teacher (probability of bone {probability:.2f})"
    if not found.valid:
        matched = "not labelled by matching: the labelled patches drawn show no surface"
    if entropy >= limit:
        how = matched if not found.valid else f"labelled {matched}"
        return f"uncertain (H = {entropy:.2f} ≥ {limit:.2f}): {how}; {teacher} otherwise; the truth is {truth}"
    return f"certain (H = {entropy:.2f} < {limit:.2f}): labelled {teacher}; {matched} otherwise; the truth is {truth}"
