"""Save the state of a long run to disk, and load it to continue.

A checkpoint is an npz file without pickled objects, so that loading one never runs
code. It is written to a temporary file first and then renamed: the file under the given
name is always complete.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from farkas.backend import asnumpy

_DEFAULT_EVERY = 100

# What reading a broken archive has been seen to raise: a flipped offset gives OSError,
# a flipped flag asks for a password (RuntimeError).
_SIGNS_OF_DAMAGE = (zipfile.BadZipFile, ValueError, EOFError, OSError, RuntimeError)


class Checkpoint:
    """Callback that writes a solver's state at regular intervals.

    Parameters
    ----------
    path : str or path
        File to write, conventionally ``*.npz``; replaced at each write.
    every : int, optional
        Iterations between two writes. Default: 100 if `every_seconds` is not given.
    every_seconds : float, optional
        Seconds between two writes. With both given, whichever comes first counts.

    Raises
    ------
    ValueError
        If an interval is not positive.
    FileNotFoundError
        If the folder of `path` does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from scipy.optimize import OptimizeResult
    >>> path = Path(tempfile.mkdtemp()) / "run.npz"
    >>> callback = Checkpoint(path, every=10)
    >>> for k in range(1, 26):
    ...     callback(OptimizeResult(nit=k, state={"iteration": k}))
    >>> load(path)
    {'iteration': 20}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int | None = None,
        *,
        every_seconds: float | None = None,
    ) -> None:
        for name, interval in (("every", every), ("every_seconds", every_seconds)):
            if interval is not None and not interval > 0:
                raise ValueError(f"{name}={interval!r} must be positive.")
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(
                f"path={str(path)!r} lies in a folder that does not exist; create it "
                "before the run."
            )
        if every is None and every_seconds is None:
            every = _DEFAULT_EVERY
        self.every = every
        self.every_seconds = every_seconds
        self._last_nit = 0
        self._last_time = time.monotonic()

    def __call__(self, intermediate_result: OptimizeResult) -> None:
        """Write ``intermediate_result.state`` if a write is due.

        Parameters
        ----------
        intermediate_result : OptimizeResult
            With the fields ``nit`` and ``state``; a function is called for the state
            when a write is due.

        Raises
        ------
        ValueError
            If there is no ``state``.
        """
        state = intermediate_result.get("state")
        if state is None:
            raise ValueError(
                "intermediate_result has no state, so this solver cannot be "
                "checkpointed; drop the Checkpoint callback."
            )
        if self._due(intermediate_result.nit):
            save(self.path, state() if callable(state) else state)
            self._last_nit = intermediate_result.nit
            self._last_time = time.monotonic()

    def _due(self, nit: int) -> bool:
        if nit < self._last_nit:  # a new run has begun
            self._last_nit = 0
        if self.every is not None and nit - self._last_nit >= self.every:
            return True
        return (
            self.every_seconds is not None
            and time.monotonic() - self._last_time >= self.every_seconds
        )


def save(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state so that a crash leaves either the old file or the new one.

    Parameters
    ----------
    path : str or path
        File to write.
    state : mapping of str to array, int, float, complex, bool or str
        What a solver returns as ``result.state``. Arrays on a device are copied to the
        host.

    Raises
    ------
    TypeError
        If an entry could only be stored by pickling it.
    """
    arrays = {name: _storable(name, value) for name, value in state.items()}
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as handle:
            _write_npz(handle, arrays)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _storable(name: str, value: Any) -> NDArray[Any]:
    array = asnumpy(value)
    if not isinstance(array, np.ndarray) or array.dtype.hasobject:
        raise TypeError(
            f"state[{name!r}] of type {type(value).__name__} cannot be stored without "
            "pickle; give arrays of numbers or text, scalars or strings (a generator "
            "through pack_generator)."
        )
    return array


def _write_npz(handle: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    # np.savez takes the names as keyword arguments and so refuses some of them.
    with zipfile.ZipFile(handle, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state written by `Checkpoint` or `save`.

    Parameters
    ----------
    path : str or path
        File to read.

    Returns
    -------
    dict
        Arrays as they were; entries of shape () as Python scalars or strings. Pass it
        to the solver as ``state=``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or not a checkpoint.
    """
    with open(path, "rb") as handle:
        try:
            arrays = _read_npz(handle)
        except _SIGNS_OF_DAMAGE as error:
            raise ValueError(
                f"checkpoint {os.fspath(path)!r} is damaged or not a checkpoint "
                f"({error}); delete it and start the run again without state=."
            ) from error
    return {name: a if a.ndim else a.item() for name, a in arrays.items()}


def _read_npz(handle: IO[bytes]) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(handle) as archive:
        # Whole entries are read first: zipfile compares the checksum at their end,
        # which an array with a damaged type would not reach.
        return {
            entry.removesuffix(".npy"): np.lib.format.read_array(
                io.BytesIO(archive.read(entry)), allow_pickle=False
            )
            for entry in archive.namelist()
        }


def pack_generator(rng: np.random.Generator) -> str:
    """Write the position of a random generator as text, to be stored in a state.

    Parameters
    ----------
    rng : Generator
        Any generator built on one of NumPy's bit generators.

    Returns
    -------
    str
        JSON. The seed sequence is not part of it, so spawn children beforehand.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> copy = unpack_generator(pack_generator(rng))
    >>> rng.random() == copy.random()
    True
    """
    return json.dumps(rng.bit_generator.state, default=np.ndarray.tolist)


def unpack_generator(text: str) -> np.random.Generator:
    """Rebuild a random generator at the position where it was packed.

    Parameters
    ----------
    text : str
        Result of `pack_generator`.

    Returns
    -------
    Generator
        Draws exactly what the packed generator would have drawn.

    Raises
    ------
    ValueError
        If `text` does not describe one of NumPy's bit generators.
    """
    try:
        state = json.loads(text)
        bit_generator = _BIT_GENERATORS[state["bit_generator"]]()
        bit_generator.state = state
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"text={text[:80]!r} does not describe a NumPy generator; pass what "
            "pack_generator returned."
        ) from error
    return np.random.Generator(bit_generator)


_BIT_GENERATORS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        np.random.MT19937,
        np.random.PCG64,
        np.random.PCG64DXSM,
        np.random.Philox,
        np.random.SFC64,
    )
}
