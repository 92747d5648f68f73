"""Named bounded draws (a dataclass is a table of ranges) and smooth random fields."""

from dataclasses import field, fields, replace
from typing import Any, TypeVar

import numpy as np
from scipy.interpolate import CubicSpline

Table = TypeVar("Table")


def ranged(low: float, high: float, diseased: tuple[float, float] | None = None) -> Any:
    """Declare a dataclass field drawn uniformly in [low, high], elsewhere where the subject is diseased."""
    return field(metadata={"kind": "uniform", "healthy": (low, high), "diseased": diseased})


def integer(low: int, high: int, diseased: tuple[int, int] | None = None) -> Any:
    """Declare a dataclass field that is a whole number in low..high, both included."""
    return field(metadata={"kind": "integer", "healthy": (low, high), "diseased": diseased})


def chance(probability: float) -> Any:
    """Declare a dataclass field that is 1 with this probability, else 0."""
    return field(metadata={"kind": "chance", "healthy": (probability,), "diseased": None})


def _one(metadata: Any, state: str, rng: np.random.Generator) -> float | int:
    bounds = metadata[state] or metadata["healthy"]
    if metadata["kind"] == "chance":
        return int(rng.random() < bounds[0])
    if metadata["kind"] == "integer":
        return int(rng.integers(bounds[0], bounds[1] + 1))
    return round(float(rng.uniform(*bounds)), 4)  # rounded, so that the value read back from a CSV is the value used


def draw(kind: type[Table], rng: np.random.Generator, diseased: bool = False) -> Table:
    """Draw every field of a dataclass declared with ranged, integer or chance."""
    state = "diseased" if diseased else "healthy"
    return kind(**{f.name: _one(f.metadata, state, rng) for f in fields(kind)})


def affect(table: Table, rng: np.random.Generator) -> Table:
    """Draw again, from its diseased range, every field that has one."""
    drawn = {f.name: _one(f.metadata, "diseased", rng) for f in fields(table) if f.metadata["diseased"]}
    return replace(table, **drawn)


def vary(table: Table, rng: np.random.Generator, share: float) -> Table:
    """Move every uniform field by a normal step of `share` of its healthy range, and stay inside; draw the others."""
    moved: dict[str, float | int] = {}
    for f in fields(table):
        if f.metadata["kind"] != "uniform":
            moved[f.name] = _one(f.metadata, "healthy", rng)
            continue
        low, high = f.metadata["healthy"]
        step = share * (high - low) * rng.standard_normal()
        moved[f.name] = round(float(np.clip(getattr(table, f.name) + step, low, high)), 4)
    return replace(table, **moved)


def spline_weights(count: int, places: np.ndarray) -> np.ndarray:
    """Return what each of `count` controls counts at places (n,), 0 to count - 1, in a cubic spline: (n, count)."""
    return CubicSpline(np.arange(count), np.eye(count))(places).astype(np.float32)


def weighted(values: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Interpolate control values (z, y, x) with the three axes' weights: float32 (z, y, x)."""
    z, y, x = weights
    first = (z @ values.reshape(len(values), -1)).reshape(len(z), *values.shape[1:])
    return (y @ first) @ x.T


def smooth_field(shape: tuple[int, ...], controls: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Interpolate standard normal values on a coarse grid of controls by cubic splines: float32 (z, y, x)."""
    values = rng.standard_normal(controls).astype(np.float32)
    weights = [spline_weights(n, np.linspace(0, n - 1, size)) for size, n in zip(shape, controls, strict=True)]
    return weighted(values, weights)
