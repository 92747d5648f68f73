"""Principal components of displacement fields, and how many of them a model keeps."""

import numpy as np

TOLERANCE = 0.05  # of what the modes take off the leave-one-out error: fewer modes win over a gain below this


def principal(rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (d,), modes (n - 1, d), each one standard deviation long, and their variances, largest first.

    rows: (n, d); weights (d,): how much a coordinate counts in what is principal.
    """
    mean = rows.mean(0)
    centred = rows - mean
    variances, vectors = _eigen((centred * weights) @ centred.T)
    modes = vectors.T.astype(np.float32) @ centred / np.float32(np.sqrt(len(rows) - 1))
    return mean, modes, variances / (len(rows) - 1)


def _eigen(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues but the last (a centred matrix has none) and eigenvectors, largest first, signs settled."""
    values, vectors = np.linalg.eigh(gram.astype(np.float64))
    values, vectors = np.maximum(values[:0:-1], 0), vectors[:, :0:-1]
    peak = vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])]
    return values, vectors * np.sign(peak)


def how_many(settings, variances: np.ndarray, rows: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> int:
    """Return how many modes to keep: settings.modes is a number, `explained_variance` or `leave_one_out`.

    One subject alone cannot be left out: its model goes by the explained variance.
    """
    if settings.modes == "leave_one_out" and len(np.unique(groups)) > 1:
        return by_leave_one_out(leave_one_out_error(rows, weights, groups))
    if settings.modes in ("explained_variance", "leave_one_out"):
        return by_explained_variance(variances, settings.explained_variance)
    return min(int(settings.modes), len(variances))


def by_explained_variance(variances: np.ndarray, share: float) -> int:
    """Return the smallest number of modes that holds this share of the variance."""
    return int(np.searchsorted(np.cumsum(variances) / variances.sum(), share - 1e-9) + 1)


def leave_one_out_error(rows: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the mean squared distance of a row to the span of the first 0, 1, 2, ... modes of the other groups' rows.

    groups (n,): rows of a subject, which are left out together.
    """
    gram = (rows * weights) @ rows.T
    errors = []
    for group in np.unique(groups):
        train, left = np.flatnonzero(groups != group), np.flatnonzero(groups == group)
        centre = np.full((len(train), 1), 1 / len(train))
        away = np.eye(len(train)) - centre
        inner = gram[np.ix_(train, train)]
        values, vectors = _eigen(away @ inner @ away)
        values, vectors = values[values > values[0] * 1e-6], vectors[:, values > values[0] * 1e-6]
        for i in left:
            cross = away @ (gram[train, i] - (inner @ centre)[:, 0])
            distance = gram[i, i] - 2 * float(gram[train, i] @ centre[:, 0]) + float((centre.T @ inner @ centre)[0, 0])
            errors.append(distance - np.r_[0, np.cumsum(np.square(vectors.T @ cross) / values)])
    shortest = min(map(len, errors))
    return np.mean([e[:shortest] for e in errors], axis=0) / weights.sum()


def by_leave_one_out(errors: np.ndarray) -> int:
    """Return the smallest number of modes whose leave-one-out error is within TOLERANCE of the lowest."""
    enough = errors.min() + TOLERANCE * (errors[0] - errors.min())
    return max(1, int(np.flatnonzero(errors <= enough)[0]))
