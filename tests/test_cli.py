"""The command line: what each command prints, and its exit status."""

import importlib.metadata
import json
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from scipy import sparse

import farkas
from farkas import cli, environment

ROOT = Path(__file__).resolve().parent.parent
X, Y = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([1.0, 2, 3])


@pytest.fixture
def stored(tmp_path):
    """Save a certificate of the Lasso at its solution, and the data."""
    certificate = farkas.certify_lasso(X, Y, [11 / 9, 19 / 18], alpha=0.5)
    certificate.save(tmp_path / "cert.json")
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    return tmp_path / "cert.json", tmp_path / "data.npz"


def run(capsys, *argv):
    status = cli.main([str(arg) for arg in argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_verify_accepts_a_certificate_and_its_data(capsys, stored):
    status, out, err = run(capsys, "verify", *stored)
    assert status == 0
    assert out.startswith("verified")
    assert "1.430555556 <= optimum <= 1.430555556" in out
    assert not err


def test_verify_rejects_an_edited_certificate(capsys, stored):
    text = stored[0].read_text()
    edited = text.replace('"alpha": 0.5', '"alpha": 0.4')
    assert edited != text
    stored[0].write_text(edited)
    status, out, err = run(capsys, "verify", *stored)
    assert status == 1
    assert not out.startswith("verified")
    assert "optimum" not in out
    assert not err


def test_verify_rejects_other_data(capsys, stored):
    np.savez(stored[1], X=X, y=Y + 1)
    assert run(capsys, "verify", *stored)[0] == 1


def test_verify_takes_the_arrays_in_stored_order(capsys, stored):
    np.savez(stored[1], X, Y)
    assert run(capsys, "verify", *stored)[0] == 0
    np.savez(stored[1], Y, X)
    assert run(capsys, "verify", *stored)[0] == 1


def test_verify_reads_sparse_matrices_and_several_files(capsys, tmp_path):
    from sdl import SDLClassifier

    rng = np.random.default_rng(0)
    A = sparse.random_array((40, 9), density=0.4, format="csr", rng=rng)
    y = (A.sum(axis=1) > 1.8).astype(int)
    SDLClassifier(2).fit(A, y).certificate_.save(tmp_path / "cert.json")
    sparse.save_npz(tmp_path / "A.npz", A)
    np.savez(tmp_path / "y.npz", y=y)
    files = [tmp_path / name for name in ("cert.json", "A.npz", "y.npz")]
    assert run(capsys, "verify", *files)[0] == 0
    np.savez(tmp_path / "y.npz", y=1 - y)
    assert run(capsys, "verify", *files)[0] == 1
    np.savez(tmp_path / "A.npz", format=np.array("csr"), shape=np.array([2, 2]))
    status, _, err = run(capsys, "verify", *files)
    assert status == 2
    assert "A.npz" in err


@pytest.mark.parametrize("case", ["missing", "not zip", "not npz", "pickle"])
def test_unreadable_data_are_one_line_on_stderr(capsys, stored, case):
    path = stored[1]
    if case == "missing":
        path.unlink()
    elif case == "not zip":
        path.write_text("PK no archive")
    elif case == "not npz":
        with open(path, "wb") as file:
            np.save(file, X)
    else:
        np.savez(path, X=np.array([{}], dtype=object))
    status, out, err = run(capsys, "verify", *stored)
    assert (status, out) == (2, "")
    assert err.startswith("farkas: error: ")
    assert "data.npz" in err
    assert err.count("\n") == 1


def test_debug_shows_the_traceback(stored):
    stored[1].unlink()
    for argv in (["--debug", "verify"], ["verify", "--debug"]):
        with pytest.raises(FileNotFoundError):
            cli.main([*argv, *map(str, stored)])


def test_an_interrupt_is_no_traceback(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "problems", interrupted)
    assert run(capsys, "doctor") == (130, "", "farkas: interrupted\n")


@pytest.mark.parametrize("argv", [[], ["dance"], ["info", "--loud"], ["verify", "x"]])
def test_wrong_usage_exits_with_2(capsys, argv):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert "usage: farkas" in capsys.readouterr().err


def test_info_is_the_same_in_both_forms(capsys):
    status, out, _ = run(capsys, "info", "--json")
    found = json.loads(out)
    assert status == 0
    assert found == environment.describe()
    assert found["packages"]["numpy"] == np.__version__
    assert found["threads"]["OMP_NUM_THREADS"] == "1"
    assert all(blas.endswith("threads: 1") for blas in found["blas"])
    if not numba.config.DISABLE_JIT:
        assert found["numba"]["cache"].startswith(os.environ["NUMBA_CACHE_DIR"])
    status, out, _ = run(capsys, "info")
    assert status == 0
    assert f"numpy {np.__version__}" in out
    assert f"cache {found['numba']['cache'] or 'none'}" in out


def test_doctor_is_content_here(capsys):
    assert run(capsys, "doctor") == (0, "No problems found.\n", "")


@pytest.mark.parametrize("kind", ["module", "distribution", "gone"])
def test_doctor_finds_a_package_of_another_project(capsys, monkeypatch, tmp_path, kind):
    if kind == "module":
        (tmp_path / "graphs.py").touch()
        monkeypatch.delitem(sys.modules, "graphs", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        remedy = "move that file away"
    elif kind == "distribution":
        monkeypatch.setattr(
            importlib.metadata,
            "packages_distributions",
            lambda: {"graphs": ["farkas", "graphs"]},
        )
        remedy = "`pip uninstall graphs`"
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        remedy = "nowhere"
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "The package graphs" in out
    assert remedy in out


def test_doctor_compares_versions(capsys, monkeypatch):
    wanted = ["numpy>=99", "scipy<1,>=0.1", "joblib>=1", 'ruff>=99; extra == "dev"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: [*wanted, "no.pe"])
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "run `pip install 'numpy>=99'`" in out
    assert "scipy is " in out
    assert "no.pe is missing" in out
    assert "Problems found: 3." in out


def test_doctor_refuses_an_old_python(capsys, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "install Python 3.11 or newer" in out


def test_doctor_works_without_an_installation(capsys, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert run(capsys, "doctor")[0] == 0


@pytest.mark.parametrize("count", [0, 2, None])
def test_info_lists_the_devices(monkeypatch, count):
    def counted():
        if count is None:
            raise RuntimeError("driver too old")
        return count

    runtime = SimpleNamespace(
        getDeviceCount=counted,
        getDeviceProperties=lambda i: {"name": f"H{i}".encode()},
    )
    cuda = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cuda)
    expected = {
        0: [],
        2: ["cuda: H0", "cuda: H1"],
        None: ["cuda: none, driver too old"],
    }
    assert environment.describe()["devices"][1:] == expected[count]


def test_doctor_finds_a_cache_that_cannot_be_written(capsys, monkeypatch):
    monkeypatch.setattr(environment, "cache_folder", lambda: None)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 0)
    status, out, _ = run(capsys, "doctor")
    assert status == 1
    assert "NUMBA_CACHE_DIR" in out


def test_warmup_registers_the_kernels_of_every_package(capsys, monkeypatch):
    monkeypatch.setattr("farkas.kernels.warmup", lambda: {"sdl.kernels": 0.25})
    status, out, _ = run(capsys, "warmup")
    assert (status, out) == (0, "sdl.kernels: 0.25 s\n")
    for path in ROOT.glob("*/**/_kernels.py"):
        assert ".".join(path.relative_to(ROOT).with_suffix("").parts) in sys.modules


def test_bench_runs_scripts_of_a_checkout(capsys, monkeypatch, tmp_path):
    (tmp_path / "farkas").mkdir()
    monkeypatch.setattr(farkas, "__file__", str(tmp_path / "farkas/__init__.py"))
    status, _, err = run(capsys, "bench", "lasso")
    assert status == 2
    assert "source checkout" in err
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/bench_lasso.py").write_text("raise SystemExit(3)")
    assert run(capsys, "bench", "lasso")[0] == 3
    for names in ([], ["ridge"]):
        status, _, err = run(capsys, "bench", *names)
        assert status == 2
        assert "NAME must be one of lasso" in err


def test_demo_gets_its_options(monkeypatch):
    seen = []
    monkeypatch.setattr("farkas.demo.main", lambda argv: seen.append(argv))
    assert cli.main(["demo", "--output", "page.html", "--plot", "figures"]) == 0
    assert seen == [["--output", "page.html", "--plot", "figures"]]


def test_python_m_farkas_is_the_same_program(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["farkas", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("farkas", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"farkas {farkas.__version__}\n"
