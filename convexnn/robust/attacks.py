"""Attacks on trained ReLU networks, and a bound that no attack can pass.

They work on any fitted estimator with the layout of scikit-learn's ``MLPClassifier``:
``coefs_``, ``intercepts_``, ReLU units, and ``classes_`` for a classifier. A row may be
moved within the box ``|delta_j| <= eps_j``. Every attack returns the worst point it has
seen, `fgsm` having seen the clean row and `pgd` the point of `fgsm`; the bound holds
on the whole box. Hence, by construction,

    certified_score <= robust_score by pgd <= robust_score by fgsm <= accuracy.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from convexnn.robust.layers import Network, least_output
from convexnn.robust.program import feature_radius
from farkas.parallel import seed_sequence

Array = NDArray[np.float64]

ATTACKS = ("pgd", "fgsm", "none")

# PGD's default step as a fraction of eps: 40 steps cross the box twice.
STEP_FRACTION = 0.1


def fgsm(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    clip: tuple[float, float] | None = None,
) -> Array:
    """Attack by one step along the sign of the gradient.

    Parameters
    ----------
    model : fitted estimator
        Network in the layout of ``MLPClassifier`` or ``MLPRegressor``.
    X : array-like of shape (n, d)
        Rows to attack.
    y : array-like of shape (n,), or (n, C) for a regressor of several outputs
        Their true targets.
    eps : float or array-like of shape (d,)
        Radius of each column, in the units of X.
    clip : tuple of two float, optional
        Range of valid data; attacks stay inside.

    Returns
    -------
    ndarray of shape (n, d)
        ``x + eps sign(gradient of the loss)``, or the clean row where that is no worse.
        Worse is a smaller margin: the output for the true class less the largest other
        one, or minus the squared error.

    Raises
    ------
    ValueError
        If the model is no ReLU network in that layout, or an argument is out of range.

    References
    ----------
    Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples",
    arXiv:1412.6572.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPClassifier, fgsm
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = ConvexMLPClassifier(0.1, n_patterns=4, random_state=0).fit(X, y)
    >>> fgsm(model, X, y, 0.2).ravel()
    array([-0.8, -0.3,  0.3,  0.8])
    """
    attack = _Attack(model, X, y, eps, clip)
    attack.step_from(attack.clean, attack.radius)
    return attack.worst


def pgd(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    steps: int = 40,
    step: ArrayLike | None = None,
    restarts: int = 1,
    random_start: bool = True,
    clip: tuple[float, float] | None = None,
    random_state: Any = None,
) -> Array:
    """Attack by projected gradient steps from several starts.

    Parameters
    ----------
    model, X, y, eps : object
        As in :func:`fgsm`.
    steps : int, default=40
        Steps from each start.
    step : float or array-like of shape (d,), optional
        Length of a step; default ``eps / 10``.
    restarts : int, default=1
        Random starts, besides the clean row and the point of :func:`fgsm`.
    random_start : bool, default=True
        Whether to start from random points of the box at all.
    clip : tuple of float, optional
        As in :func:`fgsm`.
    random_state : int, RandomState, Generator or None, default=None
        Source of the random starts.

    Returns
    -------
    ndarray of shape (n, d)
        The worst point seen, never better than that of :func:`fgsm`.

    Raises
    ------
    ValueError
        If the model is no ReLU network in that layout, or an argument is out of range.

    References
    ----------
    Madry et al., "Towards deep learning models resistant to adversarial attacks",
    arXiv:1706.06083.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPClassifier, pgd
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = ConvexMLPClassifier(0.1, n_patterns=4, random_state=0).fit(X, y)
    >>> model.predict(pgd(model, X, y, 0.7, random_state=0))
    array([0, 1, 0, 1])
    """
    attack = _Attack(model, X, y, eps, clip)
    for name, value in (("steps", steps), ("restarts", restarts)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r} must be an integer >= 1.")
    length = STEP_FRACTION * attack.radius
    if step is not None:
        length = feature_radius(step, attack.clean.shape[1], name="step")
    attack.step_from(attack.clean, attack.radius)
    starts = [attack.clean, attack.worst.copy()]
    if random_start:
        rng = np.random.default_rng(seed_sequence(random_state))
        for _ in range(restarts):
            shift = rng.uniform(-1.0, 1.0, attack.clean.shape) * attack.radius
            starts.append(attack.into_box(attack.clean + shift))
    for start in starts:
        point = start
        for _ in range(steps):
            point = attack.step_from(point, length)
    return attack.worst


def certified_margin(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    clip: tuple[float, float] | None = None,
) -> Array:
    """Bound from below the margin of each row over its whole box.

    Intervals bound the input of every unit. A unit whose interval has one sign is
    linear on the box; the others lie between two lines, and the output's bound follows
    backwards through them, jointly for all units (Zhang et al., arXiv:1811.00866). For
    one hidden layer with all states fixed it is exact.

    Parameters
    ----------
    model : fitted classifier
        Network in the layout of ``MLPClassifier``, of any depth.
    X, y, eps, clip : object
        As in :func:`fgsm`.

    Returns
    -------
    ndarray of shape (n,)
        No point of the box has a smaller margin of the true class, rounding included.

    Raises
    ------
    ValueError
        If the model is no ReLU classifier in that layout, or an argument is out of
        range.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPClassifier, certified_margin
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = ConvexMLPClassifier(0.1, n_patterns=4, random_state=0).fit(X, y)
    >>> (certified_margin(model, X, y, 0.3) > 0).tolist()
    [True, True, True, True]
    """
    attack = _Attack(model, X, y, eps, clip)
    if attack.targets is None:
        raise ValueError("certified margins need a classifier; the model is none.")
    low, high = attack.low, attack.high
    least = np.full(len(low), np.inf)
    for other in range(attack.network.n_classes):
        rivals = attack.targets != other
        rows = np.flatnonzero(rivals)
        if len(rows):
            against = attack.network.contrast(attack.targets[rows], other)
            bound = least_output(attack.network, low[rows], high[rows], against)
            least[rows] = np.minimum(least[rows], bound)
    return least


def robust_score(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    attack: str = "pgd",
    **options: Any,
) -> float:
    """Return the accuracy of a classifier on attacked rows.

    Parameters
    ----------
    model, X, y, eps : object
        As in :func:`fgsm`, with a classifier.
    attack : {"pgd", "fgsm", "none"}, default="pgd"
        ``"none"`` leaves the rows clean.
    **options : object
        Passed to :func:`pgd` or :func:`fgsm`.

    Returns
    -------
    float
        Share of the rows that keep their class; an upper bound of the accuracy under
        the worst perturbation.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPClassifier, robust_score
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = ConvexMLPClassifier(0.1, n_patterns=4, random_state=0).fit(X, y)
    >>> robust_score(model, X, y, 0.7, random_state=0)
    0.5
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack={attack!r} must be one of {ATTACKS}.")
    rows: Any = X
    if attack != "none":
        run: Callable[..., Array] = pgd if attack == "pgd" else fgsm
        rows = run(model, X, y, eps, **options)
    judge = _Attack(model, rows, y, 0.0, None)
    if judge.targets is None:
        raise ValueError("robust_score needs a classifier; the model is none.")
    return float(np.mean(judge.badness(judge.clean) <= 0))


def certified_score(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    eps: ArrayLike,
    *,
    clip: tuple[float, float] | None = None,
) -> float:
    """Return a proven lower bound of the accuracy under any perturbation.

    Parameters
    ----------
    model, X, y, eps, clip : object
        As in :func:`certified_margin`.

    Returns
    -------
    float
        Share of the rows that keep their class on their whole box.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from convexnn import ConvexMLPClassifier, certified_score
    >>> X, y = np.array([[-1.0], [-0.5], [0.5], [1.0]]), [0, 0, 1, 1]
    >>> model = ConvexMLPClassifier(0.1, n_patterns=4, random_state=0).fit(X, y)
    >>> certified_score(model, X, y, 0.3), certified_score(model, X, y, 0.7)
    (1.0, 0.5)
    """
    return float(np.mean(certified_margin(model, X, y, eps, clip=clip) > 0))


class _Attack:
    """The worst point seen so far in the box of each row.

    Attributes
    ----------
    worst : ndarray of shape (n, d)
        Those points; ``badness`` says which of two is worse.
    """

    def __init__(
        self,
        model: Any,
        X: ArrayLike,
        y: ArrayLike,
        eps: ArrayLike,
        clip: tuple[float, float] | None,
    ) -> None:
        self.network = Network.of(model)
        self.clean = check_array(X, dtype=np.float64)
        n, d = self.clean.shape
        if d != len(self.network.weights[0]):
            raise ValueError(
                f"X has {d} columns, the model was fitted on "
                f"{len(self.network.weights[0])}."
            )
        self.radius = feature_radius(eps, d)
        self.low, self.high = self.clean - self.radius, self.clean + self.radius
        if clip is not None:
            if len(clip) != 2 or not -math.inf <= clip[0] <= clip[1] <= math.inf:
                raise ValueError(f"clip={clip!r} must be (low, high), low <= high.")
            self.low, self.high = (
                np.clip(edge, *clip) for edge in (self.low, self.high)
            )
        self.targets: NDArray[np.intp] | None = None
        labels = np.asarray(y)
        if len(labels) != n:
            raise ValueError(f"y must have {n} rows, got {len(labels)}.")
        if self.network.n_classes:
            classes = np.asarray(model.classes_)
            self.targets = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
            if labels.shape != (n,) or (classes[self.targets] != labels).any():
                raise ValueError("y must hold classes that the model was fitted on.")
        else:
            self.values = labels.astype(np.float64).reshape(n, -1)
        self.worst = self.clean.copy()
        self._badness = self.badness(self.clean)

    def into_box(self, points: Array) -> Array:
        """Project onto the boxes."""
        inside: Array = np.clip(points, self.low, self.high)
        return inside

    def badness(self, points: Array) -> Array:
        """Return minus the margin (n,), positive exactly where a class is wrong."""
        output, _ = self.network.forward(points)
        return self._badness_of(output)[0]

    def step_from(self, points: Array, length: Array) -> Array:
        """Return the points one signed gradient step on, and remember the worst."""
        output, on = self.network.forward(points)
        _, direction = self._badness_of(output)
        gradient = self.network.backward(direction, on)
        moved = self.into_box(points + length * np.sign(gradient))
        badness = self.badness(moved)
        worse = badness > self._badness
        self.worst[worse] = moved[worse]
        self._badness[worse] = badness[worse]
        return moved

    def _badness_of(self, output: Array) -> tuple[Array, Array]:
        """Return the badness (n,) and the combination of outputs that raises it."""
        if self.targets is None:
            error = output - self.values
            return np.sum(error**2, axis=1), error
        rows = np.arange(len(output))
        if output.shape[1] == 1:
            sign = np.where(self.targets == 1, -1.0, 1.0)
            badness = sign * output[:, 0]
            wrong = (output[:, 0] > 0) != (self.targets == 1)
            direction = sign[:, None]
        else:
            others = output.copy()
            others[rows, self.targets] = -np.inf
            rival = others.argmax(axis=1)
            badness = output[rows, rival] - output[rows, self.targets]
            wrong = output.argmax(axis=1) != self.targets
            direction = np.zeros_like(output)
            direction[rows, rival] = 1.0
            direction[rows, self.targets] = -1.0
        # At a tie the prediction decides, as the smallest number on its side of zero.
        tied = badness == 0
        badness[tied] = np.where(wrong[tied], np.nextafter(0.0, 1.0), 0.0)
        return badness, direction
