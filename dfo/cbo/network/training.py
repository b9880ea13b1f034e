"""Train a small network by consensus-based optimization, with batches of both kinds.

For every batch of rows, the particles are dealt into batches; all particles move
towards the consensus of each (Carrillo, Jin, Li, Zhu, arXiv:1909.09249, algorithm 2.1).
They live in the coordinates of centred columns. With others most random units look the
same way from all rows: they are linear or dead, and noise hardly changes that.
Afterwards the best network is refined by polls along random directions of the full
training loss, until no step along them helps.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from dfo._measure_network import Network, forward, layers, losses
from dfo._measure_training import RESOLUTION
from dfo.cbo.dynamics import _kernels as k
from dfo.cbo.dynamics.consensus import consensus_point
from dfo.cbo.network.refine import random_directions, refine
from farkas.history import Recorder
from farkas.parallel import pmap
from farkas.result import make_result
from farkas.status import Status

Array = NDArray[np.float64]

# Polls that a refinement may take: kinks of small networks need hundreds, large ones
# get what takes some seconds, and no fit spends much more on it than on its epochs.
POLLS, POLL_WORK, POLLS_PER_EPOCH = 2000, 1e10, 60
CHUNK = 10  # particles that are evaluated at once on the whole training set
REDUCTION_SPEED = 0.2  # of the number of particles, as in arXiv:2111.08136
STAGNATION = 1e-5  # movement of the consensus below which noise is added
LARGEST_ALPHA = 1e15


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Parameters of :func:`train_network`; the estimators document them."""

    n_particles: int = 100
    particle_batch: int = 10
    batch_size: int = 60
    max_iter: int = 100
    dt: float = 0.1
    lam: float = 1.0
    sigma: float = math.sqrt(0.4)
    consensus_alpha: float = 50.0
    cooling: bool = True
    memory: bool = False
    lam_memory: float = 0.0
    particle_reduction: bool = False
    init_scale: float = 1.0
    alpha: float = 0.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    tol: float = 1e-4
    max_time: float = math.inf
    n_jobs: int | None = None
    verbose: int = 0
    name: str = ""
    callback: Callable[..., Any] | None = None


class Trainer:
    """The state of a training, epoch by epoch.

    Parameters
    ----------
    network : Network
        Shape of the network.
    loss : str or callable
        Loss of :func:`dfo._measure_network.losses`.
    settings : TrainingSettings
        Parameters.
    seed : SeedSequence
        Determines everything random.
    center : ndarray of shape (d,)
        Mean of the columns. Particles are parameters for ``X - center``.
    """

    def __init__(
        self,
        network: Network,
        loss: Any,
        settings: TrainingSettings,
        seed: np.random.SeedSequence,
        center: Array,
    ) -> None:
        self.network, self.loss, self.settings = network, loss, settings
        self.center = center
        self.noise = seed.generate_state(12, np.uint64).reshape(3, 4)
        self.rng = np.random.default_rng(seed.spawn(1)[0])
        self.sigma, self.alpha, self.epoch = settings.sigma, settings.consensus_alpha, 0
        shape = (settings.n_particles, network.n_parameters)
        self.X = settings.init_scale * self.rng.standard_normal(shape)
        self.Y, self._old = self.X.copy(), self.X.copy()
        self.c = self.X.mean(axis=0)
        self._free = np.full(self.X.shape[1], math.inf)
        # Entries of the kernel's arrays that matter to a move without a box.
        self.P, self.S = np.zeros(13), np.zeros(8)
        self.Q = np.zeros(6, dtype=np.int64)
        self.P[k.DRIFT], self.P[k.TRUNCATION] = settings.lam * settings.dt, math.inf

    def run_epoch(self, X: Array, targets: NDArray[Any], n: int) -> None:
        """Show every row once, in random batches."""
        s = self.settings
        before = _spread(self.X)
        order = self.rng.permutation(len(X))
        for begin in range(0, len(X), s.batch_size):
            rows = order[begin : begin + s.batch_size]
            self._step(X[rows], targets[rows], n)
        self.epoch += 1
        if s.cooling:
            e = self.epoch
            self.sigma *= math.log2(e + 1) / math.log2(e + 2)
            self.alpha = min(2.0 * self.alpha, LARGEST_ALPHA)
        if s.particle_reduction:
            self._reduce(before, _spread(self.X))

    def _step(self, X: Array, targets: NDArray[Any], n: int) -> None:
        """Deal the particles into batches, and move all of them after each."""
        s, N = self.settings, len(self.X)
        dealt = self.rng.permutation(N)
        for begin in range(0, N, s.particle_batch):
            self._move(dealt[begin : begin + s.particle_batch], X, targets, n)

    def _move(
        self, ids: NDArray[np.int64], X: Array, targets: NDArray[Any], n: int
    ) -> None:
        s, before = self.settings, self.c.copy()
        f = losses(self.network, self.X[ids], X, targets, self.loss, s.alpha, n)
        points = self.X[ids]
        if s.memory:
            # Old values were seen on other rows: both places are seen on these.
            g = losses(self.network, self.Y[ids], X, targets, self.loss, s.alpha, n)
            better = (f < g) | np.isnan(g)
            self.Y[ids[better]] = self.X[ids[better]]
            points, f = self.Y[ids], np.where(better, f, g)
        self.c[:], _ = consensus_point(points, f, self.alpha)
        away = self.X - self.Y if s.lam_memory > 0 else None
        noise = self.S[k.NOISE] = self.sigma * math.sqrt(s.dt)
        free = self._free
        k.move(
            self.X, self._old, self.c, -free, free, self.noise, self.P, self.Q, self.S
        )
        if away is not None:
            xi = np.empty_like(away)
            k.fill_normal(self.noise[2], xi)
            self.X -= s.lam_memory * (s.dt * away - noise * np.abs(away) * xi)
        if np.max(np.abs(self.c - before)) < STAGNATION:
            xi = np.empty_like(self.X)
            k.fill_normal(self.noise[1], xi)
            self.X += noise * xi

    def _reduce(self, before: float, after: float) -> None:
        """Drop particles as the population contracts."""
        if not before > 0:
            return
        r, b = REDUCTION_SPEED, self.settings.particle_batch
        factor = (r * after + (1 - r) * before) / before
        factor = min(max(factor, 1 - r), 1.0)
        wanted = max(b * math.ceil(len(self.X) * factor / b), 2)
        if wanted < len(self.X):
            kept = np.sort(self.rng.choice(len(self.X), wanted, replace=False))
            self.X, self.Y, self._old = self.X[kept], self.Y[kept], self._old[kept]

    def uncentred(self, theta: Array) -> Array:
        """Return the parameters of the same networks (P, D) for columns as they are."""
        theta = theta.copy()
        W, b = layers(self.network, theta)[0]
        b -= self.center @ W
        return theta

    def full_loss(self, theta: Array, X: Array, targets: NDArray[Any]) -> Array:
        """Return the loss on all rows, of several networks."""
        s, chunks = self.settings, range(0, len(theta), CHUNK)

        def chunk(begin: int) -> Array:
            part = theta[begin : begin + CHUNK]
            return losses(self.network, part, X, targets, self.loss, s.alpha, len(X))

        return np.concatenate(pmap(chunk, chunks, n_jobs=s.n_jobs))

    def best(self, X: Array, targets: NDArray[Any]) -> tuple[Array, float]:
        """Return the best among particles, consensus and mean, on all centred rows."""
        candidates = np.vstack([self.X, self.c, self.X.mean(axis=0)])
        values = self.full_loss(candidates, X, targets)
        i = int(np.argmin(np.where(np.isnan(values), math.inf, values)))
        return candidates[i].copy(), float(values[i])


def train_network(
    trainer: Trainer, X: Array, targets: NDArray[Any], seed: np.random.SeedSequence
) -> OptimizeResult:
    """Train, return the best network, and refine it by polls.

    Parameters
    ----------
    trainer : Trainer
        State to start from.
    X : ndarray of shape (n, d)
        Training data.
    targets : ndarray of shape (n,) or (n, outputs)
        Index of the class, or targets.
    seed : SeedSequence
        Of the validation rows and of the directions.

    Returns
    -------
    OptimizeResult
        With ``x`` (D,), ``fun``, ``directions``, ``steps`` and ``poll_values`` of the
        last polls, ``loss_curve`` and ``best_loss``.
    """
    s = trainer.settings
    begun = time.perf_counter()
    rng = np.random.default_rng(seed)
    centred = X - trainer.center
    A, a, B, b = centred, targets, centred, targets
    if s.early_stopping:
        held = max(1, int(s.validation_fraction * len(X)))
        order = rng.permutation(len(X))
        A, a = A[order[held:]], targets[order[held:]]
        B, b = B[order[:held]], targets[order[:held]]
    recorder = Recorder(verbose=s.verbose, name=s.name)
    curve: list[float] = []
    lowest, idle = math.inf, 0
    status = Status.MAX_ITER
    incumbent, best_loss = trainer.c.copy(), math.inf
    for epoch in range(1, s.max_iter + 1):
        trainer.run_epoch(A, a, len(X))
        seen = float(trainer.full_loss(trainer.c[None], centred, targets)[0])
        curve.append(seen)
        recorder.record(epoch, objective=seen)
        if seen < best_loss:
            incumbent, best_loss = trainer.c.copy(), seen
        if s.early_stopping:
            checked = float(trainer.full_loss(trainer.c[None], B, b)[0])
            idle = 0 if checked < lowest - s.tol else idle + 1
            lowest = min(lowest, checked)
            if idle >= s.n_iter_no_change:
                status = Status.STALLED
                break
        if _told(trainer, incumbent, best_loss, epoch):
            status = Status.CALLBACK
            break
        if time.perf_counter() - begun >= s.max_time:
            status = Status.MAX_TIME
            break
    theta, value = trainer.best(centred, targets)
    if best_loss < value:  # a consensus of an earlier epoch
        theta = incumbent
    theta = trainer.uncentred(theta[None])[0]
    value = float(trainer.full_loss(theta[None], X, targets)[0])
    Q = random_directions(len(theta), rng)
    limit = s.max_time - (time.perf_counter() - begun)
    polls = min(POLLS, POLLS_PER_EPOCH * len(curve))
    polls = min(polls, int(POLL_WORK / (2 * Q.size * len(X))))
    if status in (Status.CALLBACK, Status.MAX_TIME):
        polls = 0
    theta, value, steps, values = refine(
        lambda points: trainer.full_loss(points, X, targets),
        theta,
        value,
        Q,
        tol=max(s.tol, RESOLUTION),
        polls=polls,
        max_time=limit,
    )
    recorder.record(max(len(curve), 1), objective=value, force=True)
    return make_result(
        theta,
        fun=value,
        status=status,
        nit=len(curve),
        history=recorder.to_dict(),
        elapsed=time.perf_counter() - begun,
        directions=Q,
        steps=steps,
        poll_values=values,
        loss_curve=curve,
        best_loss=min([*curve, value]),
    )


def _spread(X: Array) -> float:
    return float(np.linalg.norm(X.var(axis=0)))


def _told(trainer: Trainer, theta: Array, value: float, epoch: int) -> bool:
    callback = trainer.settings.callback
    if callback is None:
        return False
    x = trainer.uncentred(theta[None])[0]
    try:
        callback(intermediate_result=OptimizeResult(x=x, fun=value, nit=epoch))
    except StopIteration:
        return True
    return False


def statistics_of(
    network: Network, theta: Array, X: Array
) -> list[tuple[Array, Array]]:
    """Return mean and deviation of every normalised layer on the training set.

    Parameters
    ----------
    network : Network
        The shape.
    theta : ndarray of shape (D,)
        Parameters.
    X : ndarray of shape (n, d)
        Training data.

    Returns
    -------
    list of tuple of ndarray, (1, outputs) each
    """
    return forward(network, theta[None], X)[1]
