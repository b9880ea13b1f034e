"""Functions with known minima, for tests, benchmarks and teaching.

Every function comes in three forms: of rows in NumPy, of one row compiled by Numba, and
of the gradient where it has one.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfo import _kernels as k

Array = NDArray[np.float64]
Rows = Callable[[Array], Array]

PI = math.pi


@dataclasses.dataclass(frozen=True)
class TestFunction:
    """A function with its box and its minimum.

    Parameters
    ----------
    name : str
        Its name.
    fun : callable
        Maps rows (m, d), or one point (d,), to values.
    jac : callable or None
        Gradient of one point; None where there is none.
    bounds : ndarray of shape (d, 2)
        The usual box.
    x_star : ndarray of shape (d,)
        A global minimiser.
    f_star : float
        Its value.
    fun_row : callable
        Numba function of one row.
    """

    __test__ = False  # not a test of pytest's

    name: str
    fun: Callable[[Any], Any]
    jac: Callable[[Array], Array] | None
    bounds: Array
    x_star: Array
    f_star: float
    fun_row: Callable[[Array], float]

    def __call__(self, x: ArrayLike) -> Any:
        """Return the value of a point, or the values of rows."""
        return self.fun(x)


def _versine(x: Array) -> Array:
    r = x - np.floor(x + 0.5)
    return 2.0 * np.sin(PI * r) ** 2


def _weights(d: int) -> Array:
    return 10.0 ** (6.0 * np.arange(d) / max(d - 1, 1))


def _rosenbrock(x: Array) -> Array:
    a = x[:, 1:] - x[:, :-1] ** 2
    return np.sum(100.0 * a * a + (1.0 - x[:, :-1]) ** 2, axis=1)


def _ackley(x: Array) -> Array:
    rise = -math.e * np.expm1(-np.mean(_versine(x), axis=1))
    return rise - 20.0 * np.expm1(-0.2 * np.sqrt(np.mean(x * x, axis=1)))


def _griewank(x: Array) -> Array:
    cosines = np.cos(x / np.sqrt(np.arange(1.0, x.shape[1] + 1)))
    return np.sum(x * x, axis=1) / 4000.0 - np.prod(cosines, axis=1) + 1.0


def _levy(x: Array) -> Array:
    w = 1.0 + (x - 1.0) / 4.0
    inner = (w[:, :-1] - 1.0) ** 2 * (1.0 + 10.0 * np.sin(PI * w[:, :-1] + 1.0) ** 2)
    last = (w[:, -1] - 1.0) ** 2 * (1.0 + 0.5 * _versine(2.0 * w[:, -1]))
    return 0.5 * _versine(w[:, 0]) + np.sum(inner, axis=1) + last


def _schwefel(x: Array) -> Array:
    z = np.clip(x, -500.0, 500.0)
    waves = z * np.sin(np.sqrt(np.abs(z)))
    return np.sum(k.SCHWEFEL - waves + (x - z) ** 2, axis=1)


def _zakharov(x: Array) -> Array:
    q = (x @ (0.5 * np.arange(1.0, x.shape[1] + 1))) ** 2
    return np.sum(x * x, axis=1) + q + q * q


def _eggholder(x: Array) -> Array:
    a, b = x[:, 0], x[:, 1] + 47.0
    first = -b * np.sin(np.sqrt(np.abs(a / 2.0 + b)))
    return first - a * np.sin(np.sqrt(np.abs(a - b)))


def _michalewicz(x: Array) -> Array:
    order = np.arange(1.0, x.shape[1] + 1)
    return -np.sum(np.sin(x) * np.sin(order * x**2 / PI) ** 20, axis=1)


def _drop_wave(x: Array) -> Array:
    q = np.sum(x * x, axis=1)
    return -(1.0 + np.cos(12.0 * np.sqrt(q))) / (0.5 * q + 2.0)


def _canyon(x: Array, amplitude: float) -> Array:
    a, b = x[:, 0], x[:, 1]
    v = b - ((a - 1.0) * (a - 4.0) ** 2 / 8.0 + 2.0)
    barrier = -a - 1.6 * b
    with np.errstate(over="ignore"):
        valley = 25.0 * (1.0 - np.exp(-1.4 * v * v * np.exp(-0.002 * a**4)))
        wall = np.maximum(0.0, (1.0 - np.exp(-9.0 * barrier**2)) * np.sign(barrier))
        wall *= 4.0 * np.exp(1.0 - 2.0 * v**4)
    waves = _versine(0.375 * a) + _versine(0.375 * b)
    return valley + 0.4 * a * a + 0.2 * b * b + amplitude * waves + wall


def _sphere_jac(x: Array) -> Array:
    return 2.0 * x


def _ellipsoid_jac(x: Array) -> Array:
    return 2.0 * _weights(len(x)) * x


def _rosenbrock_jac(x: Array) -> Array:
    g = np.zeros_like(x)
    a = x[1:] - x[:-1] ** 2
    g[:-1] = -400.0 * a * x[:-1] - 2.0 * (1.0 - x[:-1])
    g[1:] += 200.0 * a
    return g


def _ripples_jac(height: float) -> Callable[[Array], Array]:
    def jac(x: Array) -> Array:
        return 2.0 * x + height * 2.0 * PI * np.sin(2.0 * PI * x)

    return jac


def _styblinski_jac(x: Array) -> Array:
    return 2.0 * x**3 - 16.0 * x + 2.5


def _zakharov_jac(x: Array) -> Array:
    weights = 0.5 * np.arange(1.0, len(x) + 1)
    s = x @ weights
    return 2.0 * x + (2.0 * s + 4.0 * s**3) * weights


def _himmelblau_jac(x: Array) -> Array:
    a, b = x[0] ** 2 + x[1] - 11.0, x[0] + x[1] ** 2 - 7.0
    return np.array([4.0 * a * x[0] + 2.0 * b, 2.0 * a + 4.0 * b * x[1]])


@dataclasses.dataclass(frozen=True)
class _Entry:
    fun: Rows
    row: Any
    box: Any  # half-width, or a list of pairs in two dimensions
    star: Any  # a number for every coordinate, or a point
    value: float = 0.0  # at the minimum, for each coordinate where `scales`
    jac: Any = None
    scales: bool = False


_TABLE: dict[str, _Entry] = {
    "sphere": _Entry(
        lambda x: np.sum(x * x, axis=1), k.sphere, 5, 0.0, jac=_sphere_jac
    ),
    "ellipsoid": _Entry(
        lambda x: np.sum(_weights(x.shape[1]) * x * x, axis=1),
        k.ellipsoid,
        5,
        0.0,
        jac=_ellipsoid_jac,
    ),
    "rosenbrock": _Entry(_rosenbrock, k.rosenbrock, 5, 1.0, jac=_rosenbrock_jac),
    "rastrigin": _Entry(
        lambda x: np.sum(x * x + 10.0 * _versine(x), axis=1),
        k.rastrigin,
        5.12,
        0.0,
        jac=_ripples_jac(10.0),
    ),
    "rastrigin_cbo": _Entry(
        lambda x: np.sum(x * x + 2.5 * _versine(x), axis=1),
        k.rastrigin_cbo,
        5.12,
        0.0,
        jac=_ripples_jac(2.5),
    ),
    "ackley": _Entry(_ackley, k.ackley, 32, 0.0),
    "griewank": _Entry(_griewank, k.griewank, 600, 0.0),
    "levy": _Entry(_levy, k.levy, 10, 1.0),
    "schwefel": _Entry(_schwefel, k.schwefel, 500, 420.968746359982),
    "styblinski_tang": _Entry(
        lambda x: np.sum(0.5 * (x**4 - 16.0 * x**2 + 5.0 * x), axis=1),
        k.styblinski_tang,
        5,
        -2.9035340277711772,
        -k.STYBLINSKI,
        jac=_styblinski_jac,
        scales=True,
    ),
    "zakharov": _Entry(_zakharov, k.zakharov, 10, 0.0, jac=_zakharov_jac),
    "alpine1": _Entry(
        lambda x: np.sum(np.abs(x * np.sin(x) + 0.1 * x), axis=1), k.alpine1, 10, 0.0
    ),
    "salomon": _Entry(
        lambda x: (
            _versine(np.sqrt(np.sum(x * x, axis=1)))
            + 0.1 * np.sqrt(np.sum(x * x, axis=1))
        ),
        k.salomon,
        100,
        0.0,
    ),
    "himmelblau": _Entry(
        lambda x: (
            (x[:, 0] ** 2 + x[:, 1] - 11.0) ** 2 + (x[:, 0] + x[:, 1] ** 2 - 7.0) ** 2
        ),
        k.himmelblau,
        [(-6, 6)] * 2,
        [3.0, 2.0],
        jac=_himmelblau_jac,
    ),
    "easom": _Entry(
        lambda x: (
            -np.cos(x[:, 0]) * np.cos(x[:, 1]) * np.exp(-np.sum((x - PI) ** 2, axis=1))
        ),
        k.easom,
        [(-100, 100)] * 2,
        [PI, PI],
        -1.0,
    ),
    "drop_wave": _Entry(_drop_wave, k.drop_wave, [(-5.12, 5.12)] * 2, [0.0, 0.0], -1.0),
    "eggholder": _Entry(
        _eggholder,
        k.eggholder,
        [(-512, 512)] * 2,
        [512.0, 404.2318058008512],
        -959.6406627106155,
    ),
    "michalewicz": _Entry(
        _michalewicz,
        k.michalewicz,
        [(0, PI)] * 2,
        [2.2029055201726093, PI / 2],
        -1.8013034100985537,
    ),
    "three_hump": _Entry(
        lambda x: (
            2.0 * x[:, 0] ** 2
            - 1.05 * x[:, 0] ** 4
            + x[:, 0] ** 6 / 6.0
            + x[:, 0] * x[:, 1]
            + x[:, 1] ** 2
        ),
        k.three_hump,
        [(-5, 5)] * 2,
        [0.0, 0.0],
    ),
    "mccormick": _Entry(
        lambda x: (
            np.sin(x[:, 0] + x[:, 1])
            + (x[:, 0] - x[:, 1]) ** 2
            - 1.5 * x[:, 0]
            + 2.5 * x[:, 1]
            + 1.0
        ),
        k.mccormick,
        [(-1.5, 4), (-3, 4)],
        [0.5 - PI / 3, -0.5 - PI / 3],
        -math.sqrt(3.0) / 2 - PI / 3,
    ),
    "canyon": _Entry(lambda x: _canyon(x, 1.1625), k.canyon, [(-2, 8)] * 2, [0.0, 0.0]),
    "canyon_smooth": _Entry(
        lambda x: _canyon(x, 0.25), k.canyon_smooth, [(-2, 8)] * 2, [0.0, 0.0]
    ),
}
NAMES = tuple(_TABLE)
# The suite of the benchmark: any number of variables, minimum not in a corner.
SUITE = tuple(
    name
    for name, entry in _TABLE.items()
    if not isinstance(entry.box, list) and name != "rastrigin_cbo"
)


def get(name: str, d: int = 2, *, shift: ArrayLike | None = None) -> TestFunction:
    """Return a test function.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    d : int, default=2
        Number of variables; some functions have two.
    shift : array-like of shape (d,), optional
        The function is moved by it; the box stays.

    Returns
    -------
    TestFunction

    Raises
    ------
    ValueError
        If the name is unknown or the dimension impossible.

    Examples
    --------
    >>> f = get("rastrigin", 3)
    >>> float(f(f.x_star)), f.bounds.shape
    (0.0, (3, 2))
    """
    if name not in _TABLE:
        raise ValueError(f"name={name!r} must be one of {', '.join(NAMES)}.")
    entry = _TABLE[name]
    if isinstance(entry.box, list) and d != 2:
        raise ValueError(f"{name} has two variables, not d={d!r}.")
    if d < 1 or (name == "rosenbrock" and d < 2):
        raise ValueError(f"d={d!r} is too small for {name}.")
    if isinstance(entry.box, list):
        bounds = np.array(entry.box, dtype=np.float64)
    else:
        bounds = np.tile([-float(entry.box), float(entry.box)], (d, 1))
    star = np.broadcast_to(np.asarray(entry.star, dtype=np.float64), (d,)).copy()
    value = entry.value * (d if entry.scales else 1)
    if shift is None:
        return TestFunction(
            name, _either(entry.fun), entry.jac, bounds, star, value, entry.row
        )
    offset = np.array(np.broadcast_to(np.asarray(shift, dtype=np.float64), (d,)))
    jac = None
    if entry.jac is not None:

        def jac(x: Array) -> Array:
            moved: Array = entry.jac(x - offset)
            return moved

    return TestFunction(
        name,
        _either(lambda x: entry.fun(x - offset)),
        jac,
        bounds,
        star + offset,
        value,
        shifted_row(entry.row, offset),
    )


def shifted(name: str, d: int, random_state: int) -> TestFunction:
    """Return a function of the suite, moved at random inside its box.

    Parameters
    ----------
    name : str
        One of ``SUITE``.
    d : int
        Number of variables.
    random_state : int
        Which instance.

    Returns
    -------
    TestFunction
        Its minimiser is moved by at most half of its distance to the box.
    """
    plain = get(name, d)
    room = plain.bounds[:, 1] - np.abs(plain.x_star)
    rng = np.random.default_rng([random_state, d, *name.encode()])
    return get(name, d, shift=rng.uniform(-0.5, 0.5, d) * room)


def shifted_row(row: Any, offset: Array) -> Any:
    """Return the compiled function of one row, moved by an offset.

    Parameters
    ----------
    row : Numba function
        Of one row.
    offset : ndarray of shape (d,)
        The shift, compiled in as a constant.

    Returns
    -------
    Numba function
    """
    from farkas.kernels import kernel

    moved_by = tuple(offset.tolist())
    d = len(moved_by)

    @kernel
    def moved(x):  # type: ignore[no-untyped-def]
        z = np.empty(d)
        for j in range(d):
            z[j] = x[j] - moved_by[j]
        return row(z)

    return moved


def _either(fun: Rows) -> Callable[[Any], Any]:
    """Let a function of rows take one point as well."""

    def both(x: Any) -> Any:
        x = np.asarray(x, dtype=np.float64)
        return fun(x[None])[0] if x.ndim == 1 else fun(x)

    return both
