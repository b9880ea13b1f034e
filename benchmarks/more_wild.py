"""The Moré-Wild test set as residual functions (SIAM J. Optim. 20 (2009) 172-191).

Constants, sizes, starting points and check values are read from ``more_wild.npz``.
"""

import math
from functools import partial
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "dfo-cdsm"
MW = DATA / "more_wild.npz"


def linear(x, m):
    r = np.full(m, -2 * x.sum() / m - 1)
    r[: len(x)] += x
    return r


def rank_one(x, m):
    return np.arange(1, m + 1) * (np.arange(1, len(x) + 1) @ x) - 1


def rank_one_zeros(x, m):
    s = np.arange(2, len(x)) @ x[1:-1]
    r = np.arange(m) * s - 1
    r[-1] = -1
    return r


def rosenbrock(x, m):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def helical(x, m):
    if x[0] == 0:
        angle = 0.25 if x[1] != 0 else 0.0
    else:
        angle = math.atan(x[1] / x[0]) / (2 * math.pi) + (0.5 if x[0] < 0 else 0.0)
    return np.array([10 * (x[2] - 10 * angle), 10 * (math.hypot(x[0], x[1]) - 1), x[2]])


def powell(x, m):
    a, b, c, d = x
    return np.array(
        [
            a + 10 * b,
            math.sqrt(5) * (c - d),
            (b - 2 * c) ** 2,
            math.sqrt(10) * (a - d) ** 2,
        ]
    )


def freudenstein(x, m):
    a, b = x
    return np.array([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((1 + b) * b - 14) * b])


def bard(x, m, y):
    i = np.arange(1, 16)
    return y - (x[0] + i / ((16 - i) * x[1] + np.minimum(i, 16 - i) * x[2]))


def kowalik(x, m, v, y):
    return y - x[0] * v * (v + x[1]) / (v * (v + x[2]) + x[3])


def meyer(x, m, y):
    i = np.arange(1, 17)
    return x[0] * np.exp(x[1] / (5 * i + 45 + x[2])) - y


def watson(x, m):
    n = len(x)
    t = np.arange(1, 30)[:, None] / 29.0
    j = np.arange(1, n)
    first = (j * t ** (j - 1)) @ x[1:]
    second = (t ** np.arange(n)) @ x
    return np.concatenate([first - second**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])


def box3(x, m):
    i = np.arange(1, m + 1)
    t = i / 10.0
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) + (np.exp(-i) - np.exp(-t)) * x[2]


def jennrich(x, m):
    i = np.arange(1, m + 1)
    return 2 + 2 * i - np.exp(i * x[0]) - np.exp(i * x[1])


def brown_dennis(x, m):
    t = np.arange(1, m + 1) / 5.0
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (
        x[2] + x[3] * np.sin(t) - np.cos(t)
    ) ** 2


def chebyquad(x, m):
    n = len(x)
    z = 2 * x - 1
    older, newer = np.ones(n), z
    r = np.empty(m)
    for i in range(1, m + 1):
        r[i - 1] = newer.mean() + (1 / (i * i - 1) if i % 2 == 0 else 0.0)
        older, newer = newer, 2 * z * newer - older
    return r


def brown_linear(x, m):
    n = len(x)
    r = x + x.sum() - (n + 1)
    r[-1] = np.prod(x) - 1
    return r


def osborne1(x, m, y):
    t = 10.0 * np.arange(33)
    return y - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def osborne2(x, m, y):
    t = np.arange(65) / 10.0
    return y - (
        x[0] * np.exp(-t * x[4])
        + x[1] * np.exp(-((t - x[8]) ** 2) * x[5])
        + x[2] * np.exp(-((t - x[9]) ** 2) * x[6])
        + x[3] * np.exp(-((t - x[10]) ** 2) * x[7])
    )


def bdqrtic(x, m):
    n = len(x)
    a = x[: n - 4]
    first = 3 - 4 * a
    second = (
        a**2
        + 2 * x[1 : n - 3] ** 2
        + 3 * x[2 : n - 2] ** 2
        + 4 * x[3 : n - 1] ** 2
        + 5 * x[-1] ** 2
    )
    return np.concatenate([first, second])


def cube(x, m):
    return np.concatenate([[x[0] - 1], 10 * (x[1:] - x[:-1] ** 3)])


def mancino(x, m):
    n = len(x)
    i = np.arange(1, n + 1)
    w = np.sqrt(x[:, None] ** 2 + i[:, None] / i[None, :])
    logw = np.log(w)
    total = np.sum(w * (np.sin(logw) ** 5 + np.cos(logw) ** 5), axis=1)
    return 1400 * x + (i - 50.0) ** 3 + total


def heart8(x, m):
    a, b, c, d, e, f, g, h = x
    return np.array(
        [
            a + b + 0.69,
            c + d + 0.044,
            e * a + f * b - g * c - h * d + 1.57,
            g * a + h * b + e * c + f * d + 1.31,
            a * (e**2 - g**2)
            - 2 * c * e * g
            + b * (f**2 - h**2)
            - 2 * d * f * h
            + 2.65,
            c * (e**2 - g**2) + 2 * a * e * g + d * (f**2 - h**2) + 2 * b * f * h - 2,
            a * e * (e**2 - 3 * g**2)
            + c * g * (g**2 - 3 * e**2)
            + b * f * (f**2 - 3 * h**2)
            + d * h * (h**2 - 3 * f**2)
            + 12.6,
            c * e * (e**2 - 3 * g**2)
            - a * g * (g**2 - 3 * e**2)
            + d * f * (f**2 - 3 * h**2)
            - b * h * (h**2 - 3 * f**2)
            - 9.48,
        ]
    )


class Problem:
    """One row of the set: `smooth` sums squares, else absolute values."""

    def __init__(self, residuals, m, x0, smooth):
        self.residuals, self.m, self.x0, self.smooth = residuals, m, x0, smooth
        self.n = len(x0)

    def __call__(self, x):
        try:
            with np.errstate(all="ignore"):
                r = self.residuals(np.asarray(x, dtype=float), self.m)
                value = float(r @ r if self.smooth else np.abs(r).sum())
        except (OverflowError, ZeroDivisionError):
            return math.inf
        return value if math.isfinite(value) else math.inf


def load(smooth=True):
    """Return the 53 problems."""
    data = np.load(MW)
    residuals = {
        1: linear,
        2: rank_one,
        3: rank_one_zeros,
        4: rosenbrock,
        5: helical,
        6: powell,
        7: freudenstein,
        8: partial(bard, y=data["y1"]),
        9: partial(kowalik, v=data["v"], y=data["y2"]),
        10: partial(meyer, y=data["y3"]),
        11: watson,
        12: box3,
        13: jennrich,
        14: brown_dennis,
        15: chebyquad,
        16: brown_linear,
        17: partial(osborne1, y=data["y4"]),
        18: partial(osborne2, y=data["y5"]),
        19: bdqrtic,
        20: cube,
        21: mancino,
        22: heart8,
    }
    rows = data["problems"]
    return [
        Problem(residuals[int(row[0])], int(row[2]), data[f"x0_{i}"], smooth)
        for i, row in enumerate(rows)
    ]


def check():
    """Compare with the stored values."""
    data = np.load(MW)
    for smooth, name in ((True, "f"), (False, "l1")):
        for i, problem in enumerate(load(smooth)):
            found = [problem(x) for x in data[f"check_x_{i}"]]
            np.testing.assert_allclose(found, data[f"check_{name}_{i}"], rtol=1e-9)
