"""The installed package beside somebody else's project.

`tox -e wheel` runs this on the wheel in an environment without torch; the suite runs it on the editable install.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
SCRIPTS = Path(sys.executable).parent
both_ways = pytest.mark.parametrize("command", [[SCRIPTS / "pytest"], [sys.executable, "-m", "pytest"]], ids=["pytest", "-m"])
TORCH = importlib.util.find_spec("torch") is not None

THEIRS = """
import bench
import methods.racing


def test_these_are_theirs():
    assert bench.OWNER == methods.racing.OWNER == "them"


def test_the_plugin_is_there_for_who_wants_it(request):
    assert request.config.getoption("fidrace_dir", "absent") is None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with names of its own that fidrace once took, and two tests."""
    for name in ("bench", "methods", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('OWNER = "them"\n')
    (tmp_path / "bench.py").write_text('raise RuntimeError("a script, which nobody imports")\n')
    (tmp_path / "methods" / "racing.py").write_text('OWNER = "them"\n')
    (tmp_path / "tests" / "test_theirs.py").write_text(THEIRS)
    return tmp_path


@pytest.fixture
def tables(project: Path) -> Path:
    """Published tables, copied to where they can be written."""
    printed = python(project, "-c", "from fidrace.packaged import published_tables as t; print(t()['digits'])")
    return Path(shutil.copytree(printed.stdout.strip(), project / "digits-here"))


def execute(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, words)], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def python(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return execute(folder, sys.executable, *words)


def fidrace(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return execute(folder, SCRIPTS / "fidrace", *words)


ONE_AFTER_ANOTHER = """
import json, sys
from fidrace.cli.main import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["fidrace", *words]
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    print(f"exit code {code or 0}", flush=True)
"""


def said_by(folder: Path, *lines: str) -> list[str]:
    """What each of these commands says, its exit code last; in one process, since most of a short command is its imports."""
    done = python(folder, "-c", ONE_AFTER_ANOTHER, json.dumps([line.split() for line in lines]))
    assert done.returncode == 0, done.stderr
    parts = re.findall(r"(.*?exit code \d)\n", done.stdout, flags=re.DOTALL)
    assert len(parts) == len(lines), done.stdout + done.stderr
    return parts


@both_ways
def test_a_project_with_a_bench_of_its_own_runs_its_tests(project: Path, command: list[object]) -> None:
    done = execute(project, *command, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@both_ways
def test_not_even_a_fidrace_py_of_its_own_stops_a_projects_tests(tmp_path: Path, command: list[object]) -> None:
    (tmp_path / "fidrace.py").write_text('OWNER = "them"\n')
    (tmp_path / "test_theirs.py").write_text("def test_one():\n    import fidrace\n    assert fidrace.OWNER == 'them'\n")
    (tmp_path / "test_gate.py").write_text("def test_two(fidrace_speedup):\n    pass\n")
    done = execute(tmp_path, *command, "-q", "test_theirs.py")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    done = execute(tmp_path, *command, "-q", "test_gate.py")
    assert "does a file fidrace.py hide the package?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_nothing_named_bench_or_methods_can_be_imported(tmp_path: Path) -> None:
    code = "from importlib.util import find_spec; print([find_spec(name) for name in ('bench', 'methods')])"
    assert python(tmp_path, "-I", "-c", code).stdout.strip() == "[None, None]"


def test_published_tables_are_scored_checked_and_reported_there(project: Path, tables: Path) -> None:
    done = fidrace(project, "score", tables)
    assert done.returncode == 0, done.stderr
    assert "1.22×" in done.stdout
    assert fidrace(project, "check", tables, "--require", "mdlrc>=1.1").returncode == 1
    holds, report, claims, published, methods, task = said_by(
        project,
        "check digits-here --require min-snr>=1.1",
        "report digits-here",
        "claims digits-here",
        "claims --published",
        "methods",
        "tasks digits",
    )
    assert all(said.endswith("exit code 0") for said in (holds, report, claims, published, methods, task))
    assert (tables / "report.html").stat().st_size > 1_000_000
    assert "1.00×–46.7×" in published
    assert "reverse-clts" in methods
    assert "fd_digits" in task


def test_published_tables_are_known_by_name_and_never_written(project: Path) -> None:
    done = fidrace(project, "score", "digits")
    assert done.returncode == 0, done.stderr
    assert "1.22×" in done.stdout
    assert fidrace(project, "leaderboard", "digits", "digits-late", "--out", "across").returncode == 0
    assert (project / "across" / "across-tasks.html").stat().st_size > 1_000_000
    code = "import fidrace; print(fidrace.__version__, fidrace.speedup_of('digits', 'min-snr').verdict)"
    assert python(project, "-c", code).stdout.split()[1:] == ["faster"]


def test_the_public_face_names_methods_and_studies(project: Path) -> None:
    code = (
        "import fidrace, sys; study = fidrace.define_study('controls'); method = fidrace.load_method('clts[sigma=0.3]+mdlrc');"
        "print(study.task.name, len(study.seeds), method, 'torch' in sys.modules, *dir(fidrace))"
    )
    printed = python(project, "-c", code).stdout.split()
    assert printed[:4] == ["digits", "5", "clts[sigma=0.3]+mdlrc", "False"]
    assert {"InputError", "load_method", "define_study", "load_study", "speedup_of", "__version__"} <= {*printed}
    assert "has no attribute 'scores'" in python(project, "-c", "import fidrace; fidrace.scores").stderr


@pytest.mark.skipif(TORCH, reason="this environment has torch; `tox -e wheel` has none")
@pytest.mark.parametrize("line", ["run", "analyze difficulty", "doctor", "methods clts --check"])
def test_a_verb_that_needs_torch_says_how_to_get_it(project: Path, line: str) -> None:
    done = fidrace(project, *line.split())
    assert done.returncode == 2
    assert "pip install 'fidrace[train]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (project / "results").exists()


def test_the_plugin_reads_its_folder_from_option_environment_and_file(project: Path, tables: Path) -> None:
    (project / "gates").mkdir()
    (project / "gates" / "test_gate.py").write_text(
        "def test_gate(fidrace_speedup, request):\n"
        "    assert fidrace_speedup('min-snr').ci_low > 1.1\n"
        "    assert request.config.rootpath.name == request.config.invocation_params.dir.name\n"
    )
    call = [sys.executable, "-m", "pytest", "-q", "gates"]
    assert "give --fidrace-dir=DIR" in execute(project, *call).stdout
    (project / "pytest.ini").write_text("[pytest]\n")
    assert execute(project, *call, "--fidrace-dir=digits-here").returncode == 0
    done = subprocess.run(call, cwd=project, env=ENVIRONMENT | {"FIDRACE_DIR": "digits-here"}, check=False, capture_output=True)
    assert done.returncode == 0
    (project / "pytest.ini").write_text("[pytest]\nfidrace_dir = digits-here\n")
    assert execute(project, *call).returncode == 0
    done = execute(project, *call, "--fidrace-dir=nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stdout
