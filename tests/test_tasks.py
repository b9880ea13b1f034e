"""tasks.py sets up once, notices what is unfinished, and passes options on."""

import importlib.util
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Load tasks.py for a project in a temporary folder; record what it would run."""
    spec = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("pyproject.toml", "setup.cfg", "constraints.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv/python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv/stamp.json")

    def create(path, **options):
        path.mkdir(exist_ok=True)
        (path / "python").touch()

    monkeypatch.setattr(venv, "create", create)
    module.calls = []
    module.status = 0

    def run(*argv, **options):
        module.calls.append([str(arg) for arg in argv[1:]])
        return module.status

    monkeypatch.setattr(module, "run", run)
    return module


def installs(tasks):
    return [call for call in tasks.calls if "install" in call]


def test_the_first_run_installs_and_the_second_does_not(tasks, capsys):
    assert tasks.main("demo", "--plot", "figures") == 0
    assert "1 GB" in capsys.readouterr().out
    assert len(installs(tasks)) == 1
    assert f"{tasks.ROOT}[plot]" in installs(tasks)[0]
    assert tasks.calls[-1] == ["-m", "farkas", "demo", "--plot", "figures"]
    tasks.calls.clear()
    assert tasks.main("demo") == 0
    assert tasks.calls == [["-m", "farkas", "demo"]]
    assert not capsys.readouterr().out


def test_a_task_that_needs_more_installs_again_and_less_does_not(tasks):
    for task in ("demo", "test", "demo", "lint", "test", "conformance", "ci"):
        tasks.main(task)
    extras = [call[call.index("-e") + 1].rpartition("[")[2] for call in installs(tasks)]
    assert extras == ["plot]", "test]", "dev]"]


@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "constraints.txt"])
def test_a_changed_file_installs_again(tasks, name):
    tasks.main("test")
    (tasks.ROOT / name).write_text("changed")
    tasks.main("test")
    assert len(installs(tasks)) == 2


def test_a_failed_installation_leaves_no_stamp(tasks):
    tasks.status = 1
    with pytest.raises(SystemExit, match="pip says why above"):
        tasks.main("test")
    assert not tasks.STAMP.exists()
    tasks.status = 0
    tasks.main("test")
    assert tasks.STAMP.exists()


def test_an_interrupted_installation_invalidates_the_old_stamp(tasks, monkeypatch):
    tasks.main("demo")

    def interrupted(*argv, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tasks.main("test")
    assert tasks.rank_installed() == -1


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"extra": "dev"}'])
def test_a_damaged_stamp_counts_as_none(tasks, text):
    tasks.main("test")
    tasks.STAMP.write_text(text)
    assert tasks.rank_installed() == -1


def test_a_stamp_without_the_environment_counts_as_none(tasks):
    tasks.main("test")
    tasks.PYTHON.unlink()
    assert tasks.rank_installed() == -1


def test_a_project_that_was_moved_is_installed_again(tasks, monkeypatch, tmp_path):
    tasks.main("test")
    stamp = json.loads(tasks.STAMP.read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "constraints.txt"):
        (moved / name).write_text(name)
    monkeypatch.setattr(tasks, "ROOT", moved)
    assert tasks.fingerprint() != stamp["fingerprint"]


def test_a_python_without_venv_is_told_what_to_install(tasks, monkeypatch):
    def broken(path, **options):
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", broken)
    with pytest.raises(SystemExit, match="python3-venv"):
        tasks.main("test")


def test_an_old_python_is_refused(tasks, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer.*3\.10"):
        tasks.main("test")
    assert not tasks.calls


@pytest.mark.parametrize(("argv", "status"), [([], 0), (["--help"], 0), (["tset"], 2)])
def test_anything_else_prints_the_tasks(tasks, capsys, argv, status):
    assert tasks.main(*argv) == status
    assert "conformance" in capsys.readouterr().out
    assert not tasks.calls


def test_the_help_lists_every_task(tasks):
    for task in tasks.TASKS:
        assert f"\n  {task} " in tasks.__doc__


def test_bench_runs_the_one_that_is_named_or_all_and_their_table(tasks):
    (tasks.ROOT / "benchmarks").mkdir()
    for name in ("lasso", "elastic"):
        (tasks.ROOT / f"benchmarks/bench_{name}.py").touch()
    with pytest.raises(SystemExit, match="no NAME or one of: elastic, lasso"):
        tasks.main("bench", "ridge")
    tasks.main("bench", "lasso", "--quick")
    assert tasks.calls[-1] == ["benchmarks/bench_lasso.py", "--quick"]
    tasks.main("bench")
    scripts = ("bench_elastic", "bench_lasso", "overview")
    assert tasks.calls[-3:] == [[f"benchmarks/{name}.py"] for name in scripts]


def test_a_failing_command_fails_the_task_and_options_go_to_the_last(tasks):
    tasks.main("ci")
    tasks.status = 3
    assert tasks.main("ci", "-x") == 3
    assert [call[1] for call in tasks.calls[-4:]] == ["ruff", "ruff", "mypy", "pytest"]
    assert tasks.calls[-1] == [*tasks.PYTEST.split(), "-x"]
    assert "-x" not in tasks.calls[-2]


def test_it_runs_from_any_folder():
    run = subprocess.run(
        [sys.executable, ROOT / "tasks.py", "help"],
        cwd=ROOT.anchor,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0
    assert "python3 tasks.py TASK" in run.stdout
