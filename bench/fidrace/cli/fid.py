"""`fidrace fid`: the distance of samples that another trainer drew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fidrace.cli import options
from fidrace.cli.shared import require_training
from fidrace.errors import InputError

if TYPE_CHECKING:
    from fidrace.storage.atomic import Row


def fid(
    samples: Annotated[Path, typer.Argument(metavar="SAMPLES", help="A folder or .zip of images, or an .npz with arr_0.")],
    ref: Annotated[
        str,
        typer.Option(metavar="REF", help="What they are compared with: an .npz of mu and sigma, images as SAMPLES, or a task."),
    ],
    features: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="inception (default), thumb8, digits or mnist; a task as REF has its own."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Append the result to DIR/fidrace.jsonl, which `fidrace import jsonl` reads."),
    ] = None,
    at: Annotated[int | None, typer.Option(metavar="STEP", help="With --run: the optimizer steps of the checkpoint.")] = None,
    method: Annotated[str | None, typer.Option(metavar="METHOD", help="With --run: the run's method.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="With --run: the run's seed.")] = None,
    device: options.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of a line.")] = False,
) -> None:
    """Measure samples that another program drew.

    FID with its standard error; KID, precision and recall take a reference with images. Distances compare only with the same
    reference, features and number of samples.

    \b
    Examples:
      fidrace fid samples.npz --ref VIRTUAL_imagenet64_labeled.npz
      fidrace fid samples/ --ref training-images/ --features thumb8
      fidrace fid samples.npz --ref digits --run runs/edm-0 --at 5000
    """
    import json

    require_training("fidrace fid")
    check_run(run, at, method, seed)
    import torch

    from fidrace.evaluate.image_sets import read_image_set
    from fidrace.evaluate.sample_distance import reference_of
    from fidrace.execute.local import devices

    images = read_image_set(samples)
    reference = reference_of(ref, check_features(features), torch.device(devices(device)[0]))
    row = reference.measure(images)
    if run is not None and at is not None:
        from fidrace.torch.log import log

        name = "fid" if reference.metric == "fid" else "fd"
        told = {"method": method, "seed": seed, name: row["fd"], "metric": reference.metric, "n": len(images)}
        more = {key: value for key, value in row.items() if key != "fd"}
        log(run, step=at, **{key: value for key, value in (told | more).items() if value is not None})
    if as_json:
        print(json.dumps({"metric": reference.metric, "samples": len(images), **row}))
    else:
        print(line_of(reference.metric, len(images), row))


def check_features(name: str | None) -> str | None:
    """The features' name; raises InputError for one that is not known."""
    from typing import get_args

    from fidrace.errors import nearest
    from fidrace.spec.measurement import QualityConfig

    known = get_args(QualityConfig.model_fields["features"].annotation)
    if name is not None and name not in known:
        raise InputError(f"--features {name}: not known{nearest(name, known)}")
    return name


def check_run(run: Path | None, at: int | None, method: str | None, seed: int | None) -> None:
    """Raise InputError unless --run and what belongs to it are given together."""
    given = {"--at": at, "--method": method, "--seed": seed}
    for name, value in given.items():
        if run is None and value is not None:
            raise InputError(f"{name}: says of which run a result is; give --run DIR too")
    if run is not None and at is None:
        raise InputError("--run: give --at STEP too, the optimizer steps of the checkpoint")


def line_of(metric: str, count: int, row: "Row") -> str:
    """One line for a person."""
    parts = [f"{metric} {row['fd']:.4g} ± {row['fd_se']:.2g}"]
    if "kid" in row:
        parts.append(f"KID {row['kid']:.4g}")
    parts += [f"{name} {row[name]:.3f}" for name in ("precision", "recall", "memorised") if name in row]
    return f"{', '.join(parts)}; {count:,} samples"
