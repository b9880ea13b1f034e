"""Settings of the whole suite, made before NumPy, SciPy and Numba are imported."""

import hashlib
import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _kernel_cache() -> Path:
    """Return a cache folder that belongs to the present text of all kernels.

    Numba watches only the file of the outermost function. A folder of its own for every
    state of the kernels makes stale machine code impossible, yet a second run of the
    suite compiles nothing.
    """
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("*/**/_kernels*.py"), ROOT / "farkas/kernels.py"]):
        digest.update(path.read_bytes())
    folder = ROOT / ".pytest_cache" / "numba" / digest.hexdigest()[:16]
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


os.environ["SCIPY_ARRAY_API"] = "1"
os.environ["NUMBA_CACHE_DIR"] = str(_kernel_cache())
for _name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"

from hypothesis import settings  # noqa: E402

# The same examples in every run; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
