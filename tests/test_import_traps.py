"""What an import must not do: take another metric, another checkpoint or another count for the one that was asked for."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from fidrace.storage.imports import read_imports
from tests.conftest import COMMAND, ENVIRONMENT, Fidrace, Refused
from tests.test_import import EVALUATOR, K_DIFFUSION, lines, table


@pytest.mark.parametrize(
    ("told", "unit", "progress"),
    [
        ({"dataset_info": {"gen_data_path": "run_step0050000"}}, "iteration", 50_000),
        ({"snapshot_pkl": "checkpoint-step50000.pt"}, "iteration", 50_000),
        ({"dataset_info": {"gen_data_path": "/data/deep-256/out_ep0012"}}, "epoch", 12),
    ],
)
def test_a_step_is_no_epoch(told: object, unit: str, progress: int, tmp_path: Path, fidrace: Fidrace) -> None:
    row = {"results": {"fid50k_full": 9.0}, "metric": "fid50k_full", "snapshot_pkl": None}
    (tmp_path / "log.jsonl").write_text(lines({**row, **told}))  # type: ignore[dict-item]
    fidrace("import", "jsonl", tmp_path / "log.jsonl", "--method", "m", "--out", tmp_path / "s")
    assert table(tmp_path / "s", unit, "fid") == [(progress, 9.0)]


@pytest.mark.parametrize("reader", ["csv", "jsonl"])
def test_columns_that_tell_how_fid_was_measured_are_facts(
    reader: str, tmp_path: Path, fidrace: Fidrace, refused: Refused
) -> None:
    rows = [
        {"method": method, "step": step, "fid": 5.0, "n": n, "cfg": 1.5}
        for method, n in (("a", 50_000), ("b", 2_000))
        for step in (1000, 2000)
    ]
    log = tmp_path / "log"
    log.write_text(lines(*rows) if reader == "jsonl" else pd.DataFrame(rows).to_csv(index=False))
    command = ("import", reader, log, "--out", tmp_path / "s")
    assert "n is 50000 for a (line 2) and 2000 for b (line 3)" in refused(*command)
    fidrace(*command, "--allow", "n")
    runs = pd.read_csv(tmp_path / "s" / "runs.csv")
    assert [*runs["n"]] == [50_000, 2_000]
    assert [*runs["guidance"]] == [1.5, 1.5]
    grown = [{"step": k, "fid": 5.0, "n": 64 * k} for k in range(1, 6)]  # more than three: it counts
    log.write_text(lines(*grown) if reader == "jsonl" else pd.DataFrame(grown).to_csv(index=False))
    fidrace("import", reader, log, "--method", "c", "--out", tmp_path / "t")


def test_a_checkpoint_without_a_distance_and_a_line_that_is_none_are_told(
    tmp_path: Path, fidrace: Fidrace, refused: Refused
) -> None:
    log = tmp_path / "fids.txt"
    names = [f"network-snapshot-00{kimg}.pkl" for kimg in (2500, 5000, 7500, 9999)]
    log.write_text(f"{names[0]}\n5.76\n{names[1]} 3.1 3.2 3.3\n{names[2]}\nFID: 2.5\n# {names[0]} again\n{names[3]}\n\r1.99\n")
    command = ("import", "edm", log, "--method", "edm", "--out", tmp_path / "s")
    told = fidrace(*command)
    assert table(tmp_path / "s", "kimg", "fid") == [(2500, 5.76), (9999, 1.99)]
    for said in (f"no distance of {names[1]}", f"no distance of {names[2]}", "'FID: 2.5' is not how edm prints a distance"):
        assert said in told.stderr
    log.write_text(f"{names[0]}\nTraceback\nnetwork-snapshot-latest.pkl\n1.97\n")
    assert "line 4: it follows network-snapshot-latest.pkl, whose progress is not known" in refused(*command)
    log.write_text("network-snapshot-0008388-0.100.pkl\nfid = 4.5\nphema-0016777-0.200.pkl\nfid = 3.53\n")
    assert "ema is 0.100" in refused(*command)
    log.write_text("model0400000.pt\nFID: 3.0\nDiT-XL-2-10400000-size-256-vae-ema-cfg-1.0-seed-0.npz\nFID: 8\n")
    assert "line 2: " in refused("import", "dit", log, "--method", "m", "--out", tmp_path / "t")
    log.write_text(
        "DiT-XL-2-10400000-size-256-vae-ema-cfg-1.0-seed-0.npz\nFID: 8\nSiT-XL-2-0400000-cfg-1.0-64-ODE-250-dopri5.npz\n"
    )
    fidrace("import", "dit", log, "--method", "m", "--out", tmp_path / "t")
    assert table(tmp_path / "t", "iteration", "fid") == [(10_400_000, 8)]
    log.write_text("SiT-XL-2-0400000-cfg-1.5-64-ODE-250-dopri5.npz\nFID: 8\n")
    fidrace("import", "dit", log, "--method", "sit", "--out", tmp_path / "u")
    (run,) = read_imports(tmp_path / "u").runs
    assert run.facts == {"guidance": "1.5", "sampler": "ode-dopri5", "sampling_steps": "250"}
    log.write_text("ema_0.9999_050000.pt\n5.5\n")  # EDM's evaluation of another program's checkpoints
    fidrace("import", "edm", log, "--method", "m", "--progress", "step=ema_[0-9.]+_([0-9]+)", "--out", tmp_path / "v")
    assert table(tmp_path / "v", "iteration", "fid") == [(50_000, 5.5)]


def test_another_metric_is_not_taken_for_fid(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "log.csv"
    for metric in ("confidence", "sfid", "rFID"):
        log.write_text(f'"Step","a - {metric}"\n"1","0.5"\n')
        assert "0 kinds of distance" in refused("import", "wandb", log, "--out", tmp_path / "s")
    log.write_text('"Step","a - fd_dinov2"\n"1","300"\n')
    fidrace("import", "wandb", log, "--out", tmp_path / "s")
    log.write_text('"Step","b - eval/fid"\n"1","30"\n')
    assert "metric is fd_dinov2 for a" in refused("import", "wandb", log, "--out", tmp_path / "s")
    log.write_text("step,fid,FID\n1,2,3\n")
    assert "2 columns of distances (fid, FID)" in refused("import", "csv", log, "--method", "m", "--out", tmp_path / "t")
    log.write_text('{"step": 1, "fid": 9, "fid": 5}\n')
    assert "line 1: 'fid' is given twice" in refused("import", "jsonl", log, "--method", "m", "--out", tmp_path / "t")
    log.write_text("method;step;fid\nm;1.000;54.7\nm;2.000;38.2\n")
    assert "a thousand or a fraction?" in refused("import", "csv", log, "--out", tmp_path / "t")
    log.write_text('{"_step": 10, "trainer/global_step": 1000, "fid": 9}\n')
    command = ("import", "wandb", log, "--method", "m", "--out", tmp_path / "t")
    assert "does 'trainer/global_step' count training?" in refused(*command)
    fidrace(*command, "--columns", "step=trainer/global_step")
    assert table(tmp_path / "t", "iteration") == [(1000,)]


def test_the_lowest_of_several_distances_is_told_and_keeps_its_own_numbers(tmp_path: Path, fidrace: Fidrace) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,fid,precision\n500,20,0.1\n1000,10,0.1\n1000,9,0.8\n2000,8,0.9\n")
    fidrace("import", "csv", log, "--method", "m", "--repeats", "min", "--out", tmp_path / "s")
    assert table(tmp_path / "s", "fid", "precision") == [(20, 0.1), (9, 0.8), (8, 0.9)]
    told = fidrace("score", tmp_path / "s", "--baseline", "m", "--target", "8.5").stdout
    assert "the lowest of several distances" in " ".join(told.replace("│", " ").split())


def test_what_a_file_and_a_person_say_must_agree(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "log.csv"
    log.write_text("method,seed,step,fid\nm,1.0,1000,9\nm,1.0,2000,-8\n")
    command = ("import", "csv", log, "--out", tmp_path / "s")
    assert f"{log}: line 3: m seed 1 has a distance below 0" in refused(*command)
    assert not (tmp_path / "s").exists()
    log.write_text("method,seed,step,fid\nm,1.0,1000,9\nm,1.0,2000,8")
    assert "says that the seed is 1, and not 0" in refused(*command, "--seed", "0")
    assert "--fact n=50k: write a number" in refused(*command, "--fact", "n=50k")
    assert "the last line has no end" in fidrace(*command, "--seed", "01", "--fact", "n=5e4").stderr
    assert read_imports(tmp_path / "s").runs[0].facts == {"n": "50000"}
    fidrace(*command, "--fact", "n=50000")  # the same again
    log.write_text("run,step,fid\nlr=1e-4,1,2\n")
    fidrace("import", "csv", log, "--columns", "method=run", "--rename", "lr=1e-4=slow:3", "--out", tmp_path / "t")
    assert table(tmp_path / "t", "method", "seed") == [("slow", "3")]


def test_a_comment_that_is_cut_off_costs_no_row(tmp_path: Path, fidrace: Fidrace) -> None:
    log = tmp_path / "x_metrics.csv"
    log.write_text(K_DIFFUSION + "# done")
    fidrace("import", "k-diffusion", log, "--method", "m", "--out", tmp_path / "s")
    assert len(table(tmp_path / "s", "fid")) == 2


def test_a_refused_import_takes_nothing_from_another_one_at_the_same_time(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("method,step,fid\na,1,2\na,2,1\n")
    bad.write_text("method,step,fid\nb,1,2\nb,2,-1\n")
    commands = [[*COMMAND, "import", "csv", str(log), "--out", str(tmp_path / "s")] for log in (bad, good, bad)]
    running = [subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.DEVNULL) for words in commands]
    assert [process.wait() for process in running] == [2, 0, 2]
    assert table(tmp_path / "s", "method") == [("a",), ("a",)]
    assert json.loads((tmp_path / "s" / "imported.json").read_text())["runs"][0]["method"] == "a"


def test_imported_runs_go_to_folders_of_their_own(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "eval_ema_0.9999_050000.txt"
    log.write_text(EVALUATOR.format(fid=3, precision=1))
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.json").write_text("{}")
    assert "holds runs that were not imported" in refused("import", "openai", log, "--method", "m", "--out", tmp_path / "study")
    fidrace("import", "openai", log, "--method", "m", "--out", tmp_path / "s")
    assert "imported runs are not merged" in refused("merge", tmp_path / "s", tmp_path / "s", "--out", tmp_path / "both")
