"""How many samples and sampler steps an evaluation of `digits` takes: FD, its standard error and the time of each choice.

    python tests/slow/sampling.py RUN_DIR [TASK [KEY=VALUE ...]]      a run's folder with its ema.safetensors

The last tables are in docs/digits.md and docs/mnist.md.
"""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from fidrace.data.base import quantise, select_images
from fidrace.data.loading import load_data
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import SamplerConfig, load_task
from fidrace.spec.user_input import parse_assignment
from fidrace.storage import checked_tensors as sealed
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion
from fidrace.train.noise import draw_normals
from fidrace.train.sampler import sample


def main(run: Path, name: str = "digits", *changes: str) -> None:
    torch.set_num_threads(1)
    task = load_task(name, dict(map(parse_assignment, changes)))
    data = load_data(task.data)
    network = build_network(task.network, data.train.shape[1:], seed=0)
    network.load_state_dict(sealed.read(run / "ema.safetensors")[0])
    features = load_features(task.quality, torch.device("cpu"))
    moments = Moments.of(features(select_images(data.train, np.arange(len(data.train)))))
    reference = Reference.from_moments(moments.mean, moments.covariance)
    diffusion = Diffusion(noise_schedule(task.diffusion.schedule, task.diffusion.timesteps), task.diffusion.prediction)
    heldout = frechet_with_error(reference, features(select_images(data.heldout, np.arange(len(data.heldout)))))
    print(f"the {len(data.heldout)} held-out images themselves: {heldout[0]:.2f} ± {heldout[1]:.2f}")
    print("samples  steps      fd     se   se/fd  seconds")
    for samples in (250, 500, 1000, 2000):
        latents = draw_normals(Streams(0), "latents", 0, (samples, *data.train.shape[1:]))
        for steps in (4, 6, 8, 10, 20, 50):
            start = perf_counter()
            drawn = sample(SamplerConfig(steps=steps), network, diffusion, latents, Streams(0))
            images = torch.from_numpy(quantise(drawn.numpy(), data.levels))
            fd, se = frechet_with_error(reference, features(images))
            print(f"{samples:7}  {steps:5}  {fd:6.2f}  {se:5.2f}  {se / fd:6.1%}  {perf_counter() - start:7.2f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
