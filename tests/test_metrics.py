import numpy as np
import pytest
from scipy import ndimage

from ssl_hip import metrics

ISOTROPIC, ANISOTROPIC = 2.0, (3.0, 1.5, 0.7)


def sphere(centre, radius, shape=(40, 40, 40)):
    grid = np.indices(shape).reshape(3, -1).T
    return (np.linalg.norm(grid - np.array(centre), axis=1) <= radius).reshape(shape)


def random_blobs(seed, shape=(9, 8, 7)):
    rng = np.random.default_rng([seed, 1])
    return rng.random(shape) < rng.uniform(0.05, 0.95)


def surface_by_hand(mask):
    """The definition voxel by voxel, without scipy."""
    found = []
    for z, y, x in np.argwhere(mask):
        for axis, step in ((a, s) for a in range(3) for s in (-1, 1)):
            neighbour = [z, y, x]
            neighbour[axis] += step
            inside = all(0 <= n < size for n, size in zip(neighbour, mask.shape, strict=True))
            if inside and not mask[tuple(neighbour)]:
                found.append((z, y, x))
                break
    return np.array(found).reshape(-1, 3)


def distances_by_hand(pred, truth, spacing):
    a, b = surface_by_hand(pred) * spacing, surface_by_hand(truth) * spacing
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return distances.min(axis=1), distances.min(axis=0)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("spacing", [(ISOTROPIC,) * 3, ANISOTROPIC])
def test_agrees_with_the_definition_spelled_out(seed, spacing):
    pred, truth = random_blobs(seed), random_blobs(100 + seed)
    assert np.array_equal(np.argwhere(metrics.surface(pred)), surface_by_hand(pred))
    ways = distances_by_hand(pred, truth, np.array(spacing))
    largest, pooled = max(np.percentile(each, 95) for each in ways), np.percentile(np.concatenate(ways), 95)
    assert metrics.hd95(pred, truth, spacing) == pytest.approx(largest, abs=1e-9)
    assert metrics.hd95_pooled(pred, truth, spacing) == pytest.approx(pooled, abs=1e-9)
    scores = metrics.score(pred, truth, spacing)
    assert (scores["hd95_mm"], scores["hd95_pooled_mm"]) == pytest.approx((largest, pooled), abs=1e-9)


def hd95_by_distance_transform(pred, truth, spacing):
    """The definition over the whole array: no crop, no tree."""
    cross = ndimage.generate_binary_structure(3, 1)
    surfaces = [mask & ~ndimage.binary_erosion(mask, cross, border_value=1) for mask in (pred, truth)]
    present = [surface.any() for surface in surfaces]
    if not all(present):
        return np.linalg.norm(pred.shape * spacing) if any(present) else 0
    ways = surfaces, surfaces[::-1]
    distances = [ndimage.distance_transform_edt(~goal, sampling=spacing)[start] for start, goal in ways]
    return max(np.percentile(each, 95) for each in distances)


def smooth_blobs(rng, shape):
    """Anywhere, also across the array's faces; now and then the whole array or none of it."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.5, 3), mode="wrap")
    return (field >= np.quantile(field, rng.choice([0, 0.1, 0.5, 0.9, 0.99]))) & (rng.random() > 0.1)


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_the_distance_transform(seed):
    rng = np.random.default_rng([seed, 2])
    shape, spacing = rng.integers(1, 24, 3), rng.uniform(0.3, 3, 3)
    pred = smooth_blobs(rng, shape)
    truth = np.roll(pred, rng.integers(-2, 3, 3), (0, 1, 2)) if seed % 2 else smooth_blobs(rng, shape)
    expected = hd95_by_distance_transform(pred, truth, spacing)
    assert metrics.hd95(pred, truth, tuple(spacing)) == pytest.approx(expected, abs=1e-6)
    assert metrics.score(pred, truth, tuple(spacing))["hd95_mm"] == pytest.approx(expected, abs=1e-6)


def test_far_apart_small_masks_are_cropped_exactly():
    pred, truth = np.zeros((2, 30, 31, 32), bool)
    pred[1, 2, 3] = truth[28, 27, 3] = True
    assert metrics.hd95(pred, truth, ANISOTROPIC) == pytest.approx(np.hypot(27 * 3.0, 25 * 1.5))


def test_larger_of_the_two_directions_counts():
    truth = sphere((20, 20, 20), 6)
    pred = truth | sphere((20, 20, 34), 3)
    assert metrics.hd95(truth, pred, 1.0) == metrics.hd95(pred, truth, 1.0) > 5
    too_much, too_little = metrics.directed_hd95(pred, truth, 1.0)
    assert too_much == metrics.hd95(pred, truth, 1.0) and too_little == 0
    assert metrics.directed_hd95(truth, pred, 1.0) == (too_little, too_much)
    assert too_little < metrics.hd95_pooled(pred, truth, 1.0) < too_much


@pytest.mark.parametrize(("inner", "outer"), [(6, 9), (8, 14)])
def test_concentric_spheres(inner, outer):
    found = metrics.hd95(sphere((20, 20, 20), inner), sphere((20, 20, 20), outer), ISOTROPIC)
    assert found == pytest.approx((outer - inner) * ISOTROPIC, abs=ISOTROPIC)


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_shifted_sphere(shift):
    """The distance at angle t is about shift * |cos t|, whose 95th percentile over a sphere is .95 * shift."""
    found = metrics.hd95(sphere((20, 20, 20), 12), sphere((20, 20, 20 + shift), 12), ISOTROPIC)
    assert found == pytest.approx(0.95 * shift * ISOTROPIC, abs=0.5 * ISOTROPIC)


@pytest.mark.parametrize("radius", [6, 9, 12])
@pytest.mark.parametrize("shift", [0, 1, 2, 4])
def test_pooled_percentile_lies_between_the_directions_and_equals_them_where_these_are_alike(radius, shift):
    pred, truth = sphere((20, 20, 20), radius), sphere((20, 20, 20 + shift), 12)
    ways = metrics.directed_hd95(pred, truth, ISOTROPIC)
    pooled = metrics.hd95_pooled(pred, truth, ISOTROPIC)
    assert min(ways) <= pooled <= max(ways) == metrics.hd95(pred, truth, ISOTROPIC)
    assert pooled == metrics.hd95_pooled(truth, pred, ISOTROPIC)
    assert radius != 12 or pooled == pytest.approx(max(ways))


@pytest.mark.parametrize("axis", range(3))
def test_shifted_slab_knows_its_axis(axis):
    pred, truth = np.zeros((2, 20, 20, 20), bool)
    np.moveaxis(pred, axis, 0)[4:9] = True
    np.moveaxis(truth, axis, 0)[7:12] = True
    assert metrics.hd95(pred, truth, ANISOTROPIC) == pytest.approx(3 * ANISOTROPIC[axis])


@pytest.mark.parametrize("axis", range(3))
def test_surfaces_at_the_bounding_box_count(axis):
    thin, thick = np.zeros((2, 12, 12, 12), bool)
    np.moveaxis(thin, axis, 0)[2:5] = True
    np.moveaxis(thick, axis, 0)[2:9] = True
    for pred, truth in ((thin, thick), (np.flip(thin), np.flip(thick))):
        assert metrics.hd95(pred, truth, ANISOTROPIC) == pytest.approx(4 * ANISOTROPIC[axis])


def test_identity_symmetry_and_scale():
    a, b = random_blobs(1), random_blobs(2)
    assert metrics.hd95(a, a, 1.0) == 0 and metrics.iou(a, a) == 1
    assert metrics.hd95(a, b, ANISOTROPIC) == metrics.hd95(b, a, ANISOTROPIC)
    assert metrics.iou(a, b) == metrics.iou(b, a)
    assert metrics.hd95(a, b, 3.0) == pytest.approx(3 * metrics.hd95(a, b, 1.0))


def test_outer_face_is_no_surface():
    half = np.zeros((6, 6, 6), bool)
    half[:3] = True
    assert np.array_equal(np.unique(np.argwhere(metrics.surface(half))[:, 0]), [2])


SHAPE = (4, 5, 6)
DIAGONAL = float(np.linalg.norm(np.array(SHAPE) * ANISOTROPIC))
NOTHING, EVERYTHING, SOMETHING = np.zeros(SHAPE, bool), np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
SOMETHING[1:3, 2:4, 2:4] = True


@pytest.mark.parametrize(
    ("pred", "truth", "iou", "hd95", "missed", "false_alarm"),
    [
        (NOTHING, NOTHING, 1, 0, 0, 0),
        (NOTHING, SOMETHING, 0, DIAGONAL, 1, 0),
        (SOMETHING, NOTHING, 0, DIAGONAL, 0, 1),
        (SOMETHING, SOMETHING, 1, 0, 0, 0),
        (EVERYTHING, EVERYTHING, 1, 0, 0, 0),  # no surface: as empty for HD95, not for IoU
        (NOTHING, EVERYTHING, 0, 0, 0, 0),
        (EVERYTHING, SOMETHING, 8 / 120, DIAGONAL, 1, 0),
        (SOMETHING, EVERYTHING, 8 / 120, DIAGONAL, 0, 1),
    ],
)
def test_empty_masks(pred, truth, iou, hd95, missed, false_alarm):
    expected = {"iou": iou, "hd95_mm": hd95, "hd95_pooled_mm": hd95, "missed": missed, "false_alarm": false_alarm}
    assert metrics.score(pred, truth, ANISOTROPIC) == pytest.approx(expected)


def test_integer_masks_count_as_binary():
    assert metrics.score(SOMETHING * 7, SOMETHING.astype(np.uint8), 1.0)["iou"] == 1


@pytest.mark.parametrize("spacing", [0, -1, np.nan])
def test_bad_arguments(spacing):
    with pytest.raises(ValueError, match="spacing"):
        metrics.hd95(SOMETHING, SOMETHING, spacing)
    with pytest.raises(ValueError, match="shape"):
        metrics.iou(SOMETHING, SOMETHING[:2])


def test_signed_distance_of_a_sphere():
    centre, radius = (20, 20, 20), 12
    mask = sphere(centre, radius)
    distance = metrics.signed_distance(mask, ISOTROPIC)
    analytic = (np.linalg.norm(np.indices(mask.shape).T - centre, axis=-1).T - radius) * ISOTROPIC
    assert distance.dtype == np.float32 and np.array_equal(distance < 0, mask)
    assert np.abs(distance - analytic).max() < ISOTROPIC


@pytest.mark.parametrize("spacing", [0.7, 1.0, 3.0])
@pytest.mark.parametrize("axis", range(3))
def test_signed_distance_of_a_half_space(axis, spacing):
    """Layers lie at half a voxel, one and a half, and so on, on either side."""
    mask = np.moveaxis(np.broadcast_to((np.arange(9) < 4)[:, None, None], (9, 5, 6)), 0, axis)
    layers = np.moveaxis(metrics.signed_distance(mask, spacing), axis, 0)
    assert np.allclose(layers, spacing * (np.arange(9) - 3.5)[:, None, None], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_signed_distance_treats_both_classes_alike(seed):
    """By hand: to the nearest centre of the other class, less half a voxel; exchanged classes change the sign."""
    mask, spacing = random_blobs(seed), 1.3
    found = metrics.signed_distance(mask, spacing)
    assert np.array_equal(metrics.signed_distance(~mask, spacing), -found)
    centres = np.indices(mask.shape).reshape(3, -1).T * spacing
    there = mask.ravel()
    for side in (True, False):
        other = centres[there != side]
        nearest = np.linalg.norm(centres[there == side][:, None] - other, axis=-1).min(axis=1)
        assert np.allclose(np.abs(found.ravel()[there == side]), nearest - spacing / 2, atol=1e-5)
    inner, outer = metrics.surface(mask), metrics.surface(~mask)
    assert np.array_equal(np.isclose(np.abs(found), spacing / 2), inner | outer)


def test_signed_distance_without_surface():
    assert np.isnan(metrics.signed_distance(NOTHING, 1.0)).all()
    assert np.isnan(metrics.signed_distance(EVERYTHING, 1.0)).all()
