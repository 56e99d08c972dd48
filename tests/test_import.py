"""`fidrace import`: each format's own keys, as its program writes them, become the table that a person would have typed."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fidrace.storage.imports import read_imports
from tests.conftest import Fidrace, Refused

EVALUATOR = "warming up TensorFlow...\nInception Score: 9.41\nFID: {fid}\nsFID: 4.402\nPrecision: {precision}\nRecall: 0.5702\n"
K_DIFFUSION = "step,time,loss,fid,kid\n10000,2911.4,0.0388,54.75,0.0242\n20000,5822.1,0.0371,38.81,0.0106\n"


def table(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    """The rows of evals.csv in these columns."""
    evals = pd.read_csv(folder / "evals.csv", dtype={"seed": str}, keep_default_na=False)
    return [*evals[[*columns]].itertuples(index=False, name=None)]


def facts(folder: Path) -> dict[str, str]:
    (run,) = read_imports(folder).runs
    return run.facts


def lines(*objects: Any) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def test_k_diffusions_metrics(tmp_path: Path, fidrace: Fidrace) -> None:
    log = tmp_path / "edm_metrics.csv"
    log.write_text(K_DIFFUSION.replace("\n", "\r\n") + "15000,4000,0.04,44.0,0.02\r\n20000,5900,0.04,37.5,0.01\r\n2500")
    told = fidrace("import", "k-diffusion", log, "--method", "edm", "--seed", "1", "--fact", "n=2000", "--out", tmp_path / "s")
    rows = table(tmp_path / "s", "method", "seed", "iteration", "fid", "train_seconds", "kid")
    assert rows == [
        ("edm", "1", 10000, 54.75, 2911.4, 0.0242),
        ("edm", "1", 15000, 44.0, 4000, 0.02),
        ("edm", "1", 20000, 37.5, 5900, 0.01),
    ]
    assert "training resumes at 15000; 1 evaluation of what it gave up left out" in told.stderr
    assert "line 6 has no end" in told.stderr
    assert facts(tmp_path / "s") == {"n": "2000"}


def test_flow_matchings_log_counts_epochs_from_nought(tmp_path: Path, fidrace: Fidrace) -> None:
    run = tmp_path / "run"
    run.mkdir()
    epochs = [{"train_loss": 0.17, "epoch": n, **({"eval_fid": 9.0 - n / 20} if n % 50 == 49 else {})} for n in range(100)]
    (run / "log.txt").write_text(lines(*epochs))
    options = {"batch_size": 32, "accum_iter": 2, "world_size": 8, "seed": 3, "fid_samples": 50000, "cfg_scale": 0.2}
    options |= {"ode_method": "midpoint", "ode_options": {"step_size": 0.01}, "use_ema": True}
    (run / "args.json").write_text(json.dumps(options))
    fidrace("import", "flow-matching", run, "--method", "ot", "--out", tmp_path / "s", "--fact", "epoch_images=50000")
    assert table(tmp_path / "s", "seed", "epoch", "images", "fid") == [("3", 50, 2.5e6, 6.55), ("3", 100, 5e6, 4.05)]
    told = {"batch": "512", "n": "50000", "sampler": "midpoint", "guidance": "0.2", "ema": "0.999", "sampling_steps": "100"}
    assert facts(tmp_path / "s") == told | {"epoch_images": "50000"}


def test_openais_evaluator_by_file_names_or_by_names_in_one_log(tmp_path: Path, fidrace: Fidrace) -> None:
    for step, fid in ((50_000, 12.5), (100_000, 7.25)):
        name = f"eval_ema_0.9999_{step:06}.txt"
        (tmp_path / name).write_text(EVALUATOR.format(fid=fid, precision=0.69))
    files = sorted(tmp_path.glob("eval_*"))
    fidrace("import", "openai", *files, "--method", "adm", "--fact", "batch=128", "--out", tmp_path / "files")
    log = tmp_path / "log.txt"
    log.write_text("".join(f"+ evaluate ema_0.9999_{file.stem[-6:]}.pt\n{file.read_text()}" for file in files[::-1]))
    fidrace("import", "openai", log, "--method", "adm", "--fact", "batch=128", "--out", tmp_path / "log")
    rows = [(50_000, 12.5, 0.69, 0.5702, 128 * 50_000), (100_000, 7.25, 0.69, 0.5702, 128 * 100_000)]
    for name in ("files", "log"):
        assert table(tmp_path / name, "iteration", "fid", "precision", "recall", "images") == rows
        assert facts(tmp_path / name) == {"ema": "0.9999", "batch": "128"}


def test_dits_file_names_tell_steps_guidance_and_the_seed_of_sampling(
    tmp_path: Path, fidrace: Fidrace, refused: Refused
) -> None:
    log = tmp_path / "fids.log"
    name = "\x1b[34mDiT-XL-2-{step:07}-size-256-vae-ema-cfg-{cfg}-seed-{seed}.npz\x1b[0m\n"
    shown = [(400_000, "1.0", 0, 19.5), (400_000, "1.0", 1, 19.7), (800_000, "1.0", 0, 14.0), (400_000, "1.5", 0, 5.0)]
    log.write_text(
        "".join(
            name.format(step=step, cfg=cfg, seed=seed) + EVALUATOR.format(fid=fid, precision=0.6)
            for step, cfg, seed, fid in shown
        )
    )
    command = ("import", "dit", log, "--method", "dit", "--out", tmp_path / "s")
    assert "guidance is 1.0" in refused(*command)
    assert "2 distances at 400000: 19.5" in refused(*command, "--where", "guidance=1.0")
    assert not (tmp_path / "s").exists()
    fidrace(*command, "--where", "guidance=1", "--repeats", "mean")
    assert table(tmp_path / "s", "iteration", "fid") == [(400_000, 19.6), (800_000, 14.0)]
    assert facts(tmp_path / "s")["guidance"] == "1"


def test_edms_bare_numbers_its_snapshots_and_its_clock(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    run, fids = tmp_path / "00000-cifar10", tmp_path / "fids.txt"
    run.mkdir()
    (run / "training_options.json").write_text(json.dumps({"batch_size": 512, "seed": 7, "total_kimg": 200000}))
    ticks = [
        {"Progress/kimg": {"num": 1, "mean": kimg, "std": 0}, "Timing/total_sec": {"num": 1, "mean": 2 * kimg, "std": 0}}
        for kimg in (0.0, 2508.8, 10_000.0)
    ]
    (run / "stats.jsonl").write_text(lines(*ticks) + '{"Loss/loss": {"num": 50')
    fids.write_text("out/network-snapshot-002500.pkl\n5.76\nout/network-snapshot-005000.pkl 2.1\n")
    command = ("import", "edm", run, fids, "--method", "edm", "--out", tmp_path / "s")
    fidrace(*command)
    assert table(tmp_path / "s", "seed", "kimg", "fid", "train_seconds") == [("7", 2500, 5.76, 5000), ("7", 5000, 2.1, 10_000)]
    fids.write_text(fids.read_text() + "network-snapshot-002500.pkl\n5.70\n5.80\n")
    assert "3 distances at 2500: 5.76" in refused(*command, "--replace")
    fidrace(*command, "--replace", "--repeats", "min")
    assert table(tmp_path / "s", "kimg", "fid")[0] == (2500, 5.7)


def test_one_run_of_edm2_is_many_curves_and_two_metrics(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "metrics.txt"
    both = "network-snapshot-{kimg:07}-{ema}.pkl\nfid = {fid}\nfd_dinov2 = 68.6\n"
    shown = [(8388, "0.050", 3.5), (8388, "0.100", 3.6), (16777, "0.050", 2.5)]
    log.write_text("".join(both.format(kimg=kimg, ema=ema, fid=fid) for kimg, ema, fid in shown))
    command = ("import", "edm", log, "--method", "edm2", "--out", tmp_path / "s")
    assert "2 kinds of distance (it has fid, fd_dinov2)" in refused(*command)
    assert "ema is 0.050" in refused(*command, "--columns", "fid=fid")
    fidrace(*command, "--columns", "fid=fid", "--where", "ema=0.050")
    assert table(tmp_path / "s", "kimg", "fid", "metric") == [(8388, 3.5, "fid"), (16777, 2.5, "fid")]


def test_nvlabs_metric_files_in_the_wild(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "metric-fid50k_full.jsonl"
    row = {"results": {"fid50k_full": 16.5}, "metric": "fid50k_full", "total_time_str": "3m 02s", "snapshot_pkl": None}
    path = {"dataset_info": {"gen_data_path": "./samples/cauchy_ep0001375"}, "timestamp": 1706812676.4}
    log.write_text(lines(row | path, row | path))
    command = ("import", "jsonl", log, "--method", "cauchy", "--out", tmp_path / "s")
    fidrace(*command)
    assert table(tmp_path / "s", "epoch", "fid", "metric") == [(1375, 16.5, "fid")]
    assert facts(tmp_path / "s") == {"n": "50000", "reference": "full"}
    log.write_text(lines(row | {"snapshot_pkl": "network-snapshot-002500.pkl"}))
    fidrace(*command, "--replace")
    assert table(tmp_path / "s", "kimg", "images", "fid") == [(2500, 2.5e6, 16.5)]
    log.write_text(lines(row))
    assert "line 1: its progress stands nowhere" in refused(*command, "--replace")
    fidrace(*command, "--replace", "--progress", "epoch=([0-9]+)k", code=2)  # not in the name of the metric
    log.write_text("// epoch 1400\n" + lines(row | {"results": {"fid50k_full": float("nan")}}) + "// epoch 1500\n" + lines(row))
    fidrace(*command, "--replace")
    assert table(tmp_path / "s", "epoch", "fid") == [(1400, "nan"), (1500, "16.5")]
    log.write_text("//B/2 1200 50k\n" + lines(row))
    fidrace(*command, "--replace", "--progress", "epoch=B/2 ([0-9]+)")
    assert table(tmp_path / "s", "epoch", "fid") == [(1200, 16.5)]
    log.write_text(lines(row, row | path, row | {"dataset_info": {"gen_data_path": "samples/huber_ep0001375"}}))
    assert "holds 2 runs (cauchy, huber), and --method names one" in refused(*command, "--replace")
    told = fidrace(*command, "--replace", "--where", "run=cauchy")
    assert "line 1: the progress stands nowhere; left out" in told.stderr
    log.write_text(lines(row | path, row | {"results": {"fid10k": 20.0}} | path))
    assert "2 kinds of distance (it has fid50k_full, fid10k)" in refused(*command, "--replace")


def test_rows_of_two_tasks_are_not_one_run(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log = tmp_path / "table.csv"
    log.write_text("Task,method,step,fid\nffhq,a,10,3.0\nffhq,a,20,2.0\ncelebA,a,30,1.0\n")
    command = ("import", "csv", log, "--out", tmp_path / "s")
    assert "take one with --where task=ffhq" in refused(*command)
    fidrace(*command, "--where", "task=ffhq")
    assert table(tmp_path / "s", "iteration", "fid") == [(10, 3.0), (20, 2.0)]


def test_json_lines_with_names_of_their_own(tmp_path: Path, fidrace: Fidrace) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(lines({"it": 10, "eval": {"FID": 30.0}}, {"it": 15}, {"it": 20, "eval": {"FID": 20.0}}))
    fidrace("import", "jsonl", log, "--columns", "step=it,fid=eval.FID", "--method", "m", "--out", tmp_path / "s")
    assert table(tmp_path / "s", "iteration", "fid") == [(10, 30.0), (20, 20.0)]


def test_event_files_as_tensorboard_writes_them(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "run")) as writer:  # type: ignore[no-untyped-call]
        for step in (1000, 2000, 3000):
            writer.add_scalar("loss", 0.1, step)  # type: ignore[no-untyped-call]
            writer.add_scalar("eval/fid", 60_000 / step, step)  # type: ignore[no-untyped-call]
    command = ("import", "tensorboard", tmp_path / "run", "--method", "m", "--out", tmp_path / "s")
    fidrace(*command)
    assert table(tmp_path / "s", "iteration", "fid") == [(1000, 60.0), (2000, 30.0), (3000, 20.0)]
    (file,) = (tmp_path / "run").iterdir()
    file.write_bytes(file.read_bytes()[:-20])  # cut within the last event
    told = fidrace(*command, "--columns", "kimg=step,fid=eval/fid", "--replace")
    assert table(tmp_path / "s", "kimg", "fid") == [(1000, 60.0), (2000, 30.0)]
    assert "cut off or damaged after" in told.stderr
    assert "did you mean 'eval/fid'" in refused(*command, "--columns", "fid=eval/fad", "--replace")
    with SummaryWriter(str(tmp_path / "speed")) as writer:  # type: ignore[no-untyped-call]
        for value in (3.0, 2.0):
            writer.add_scalar("fid", value)  # type: ignore[no-untyped-call]
    message = refused("import", "tensorboard", tmp_path / "speed", "--method", "m", "--out", tmp_path / "t")
    assert "this log was written without steps" in message


def test_a_chart_and_a_history_of_weights_and_biases(tmp_path: Path, fidrace: Fidrace) -> None:
    chart = tmp_path / "wandb_export.csv"
    chart.write_text(
        '"Step","edm-0 - fid","edm-0 - fid__MIN","edm-0 - fid__MAX","mine-0 - fid","mine-0 - fid__MIN","mine-0 - fid__MAX"\n'
        '"1000","60","60","60","50","49","51"\n"2000","30","30","30","",,\n"3000","20","20","20","15","15","15"\n'
    )
    rename = ("--rename", "edm-0=edm:0", "--rename", "mine-0=mine:0")
    told = fidrace("import", "wandb", chart, *rename, "--out", tmp_path / "s")
    rows = [("edm", 1000, 60), ("edm", 2000, 30), ("edm", 3000, 20), ("mine", 1000, 50), ("mine", 3000, 15)]
    assert table(tmp_path / "s", "method", "iteration", "fid") == rows
    assert "'mine-0 - fid' is sampled" in told.stderr
    history = tmp_path / "history.jsonl"
    history.write_text(lines({"_step": 1000, "_runtime": 5.0, "fid": 60}, {"_step": 2000, "loss": 1.0, "fid": None}))
    fidrace("import", "wandb", history, "--method", "third", "--out", tmp_path / "s")
    assert table(tmp_path / "s", "method", "iteration", "fid")[-1] == ("third", 1000, 60)


def test_a_published_table_with_a_column_for_each_method(tmp_path: Path, fidrace: Fidrace) -> None:
    """FDM's README: EDM on CIFAR-10 by million images, from its CSV to a page with factors in two commands."""
    source = tmp_path / "fdm.csv"
    source.write_text(
        "dataset,mimg,edm,edm-fdm\ncifar10,50,5.76,2.17\ncifar10,100,1.99,1.93\ncifar10,150,1.92,1.83\ncifar10,200,1.88,1.79\n"
        "ffhq,50,3.21,3.27\n"
    )
    fidrace("import", "csv", source, "--where", "dataset=cifar10", "--wide", "edm,edm-fdm", "--out", tmp_path / "fdm")
    fidrace("report", tmp_path / "fdm", "--baseline", "edm", "--target", "2.0")
    page = (tmp_path / "fdm" / "report.html").read_text()
    assert "between 0.5x and 2x by the grid alone; 1 % more fid in the baseline moves it from 1.18x to 1.26x" in page
    assert "no headline: these runs were imported" in page
    told = fidrace("score", tmp_path / "fdm", "--baseline", "edm", "--target", "2.0").stdout
    assert "1.18×" in told
    assert "evaluation not described" in " ".join(told.split())


def test_runs_that_were_measured_differently_are_refused_by_name(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}_metrics.csv").write_text(K_DIFFUSION)
    one = ("import", "k-diffusion", tmp_path / "a_metrics.csv", "--method", "a", "--out", tmp_path / "s")
    two = ("import", "k-diffusion", tmp_path / "b_metrics.csv", "--method", "b", "--out", tmp_path / "s")
    fidrace(*one, "--fact", "n=2000", "--fact", "guidance=1.5")
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    assert "n is 2000 for a (line 2) and 50000 for b (line 3)" in refused(*two, "--fact", "n=50000")
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    fidrace(*two, "--fact", "n=50000", "--fact", "guidance=1.5", "--allow", "n")
    fidrace("score", tmp_path / "s", "--baseline", "a", "--target", "40")
    notes = pd.read_csv(tmp_path / "s" / "speedups.csv")["flags"][0]
    missing = "evaluation not described (reference_n, sampler, sampling_steps, batch, ema)"
    assert notes.startswith(f"imported; {missing}; n differs; ")


def test_the_same_import_again_changes_nothing_and_another_run_of_the_name_is_refused(
    tmp_path: Path, fidrace: Fidrace, refused: Refused
) -> None:
    log = tmp_path / "a_metrics.csv"
    log.write_text(K_DIFFUSION)
    command = ("import", "k-diffusion", log, "--method", "a", "--out", tmp_path / "s")
    fidrace(*command)
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    fidrace(*command)
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    assert "--replace" in refused(*command, "--status", "diverged")
    log.write_text(K_DIFFUSION.replace("38.81", "38.82"))
    assert "holds a already, with other content (k-diffusion from a_metrics.csv); --replace" in refused(*command)
    (tmp_path / "s" / "imported.json").unlink()  # as a killed import leaves it
    fidrace(*command)
    assert table(tmp_path / "s", "fid") == [(54.75,), (38.82,)]


def test_units_that_differ_are_brought_to_images(tmp_path: Path, fidrace: Fidrace, refused: Refused) -> None:
    log, fids = tmp_path / "a_metrics.csv", tmp_path / "fids.txt"
    log.write_text(K_DIFFUSION)
    fids.write_text("network-snapshot-002500.pkl 5.76\n")
    fidrace("import", "edm", fids, "--method", "edm", "--out", tmp_path / "s")
    command = ("import", "k-diffusion", log, "--method", "k", "--out", tmp_path / "s")
    assert "say --fact batch=N of k" in refused(*command)
    fidrace(*command, "--fact", "batch=1024")
    rows = [("edm", 2.5e6), ("k", 1024e4), ("k", 2048e4)]
    assert table(tmp_path / "s", "method", "images") == rows


@pytest.mark.parametrize(
    ("name", "content", "reader", "likely"),
    [
        ("x_metrics.csv", K_DIFFUSION, "openai", "k-diffusion"),
        ("log.txt", lines({"train_loss": 0.1, "epoch": 0, "eval_fid": 3.0}), "edm", "flow-matching"),
        ("stats.jsonl", lines({"Progress/kimg": 1.0, "Timing/total_sec": 2}), "jsonl", "edm"),
        ("eval.txt", EVALUATOR.format(fid=3, precision=1), "k-diffusion", "openai"),
        ("fids.txt", "network-snapshot-000100.pkl\n3.0\n", "jsonl", "edm"),
        ("export.csv", '"Step","run - fid"\n"1","2"\n', "csv", "wandb"),
        ("history.jsonl", lines({"_step": 1, "fid": 2.0}), "dit", "wandb"),
        ("table.csv", "method,step,fid\na,1,2\n", "tensorboard", "csv"),
        ("metric.jsonl", lines({"results": {"fid50k": 1.0}}), "flow-matching", "jsonl"),
    ],
)
def test_a_format_that_is_mistaken_for_another_is_named(
    name: str, content: str, reader: str, likely: str, tmp_path: Path, refused: Refused
) -> None:
    (tmp_path / name).write_text(content)
    message = refused("import", reader, tmp_path / name, "--method", "m", "--out", tmp_path / "s")
    assert f"it looks like {likely}: `fidrace import {likely} " in message
    assert not (tmp_path / "s").exists()
