"""How many samples and sampler steps an evaluation of `digits` takes: FD, its standard error and the time of each choice.

    python tests/slow/digits_sampling.py RUN_DIR      a run's folder with its ema.safetensors

The last table is in docs/digits.md.
"""

import sys
from pathlib import Path
from time import perf_counter

import torch

from fidrace.data.base import quantise
from fidrace.data.loading import load_data
from fidrace.evaluate.features import load_features
from fidrace.evaluate.frechet import Moments, Reference, frechet_with_error
from fidrace.method.noise_schedule import noise_schedule
from fidrace.spec.random_streams import Streams
from fidrace.spec.task import SamplerConfig, load_task
from fidrace.storage import checked_tensors as sealed
from fidrace.train.architectures import build_network
from fidrace.train.diffusion import Diffusion
from fidrace.train.noise import draw_normals
from fidrace.train.sampler import sample


def main(run: Path) -> None:
    torch.set_num_threads(1)
    task = load_task("digits")
    data = load_data(task.data)
    network = build_network(task.network, data.train.shape[1:], seed=0)
    network.load_state_dict(sealed.read(run / "ema.safetensors")[0])
    features = load_features(task.quality, torch.device("cpu"))
    moments = Moments.of(features(torch.from_numpy(data.train)))
    reference = Reference.from_moments(moments.mean, moments.covariance)
    diffusion = Diffusion(noise_schedule(task.diffusion.schedule, task.diffusion.timesteps), task.diffusion.prediction)
    heldout = frechet_with_error(reference, features(torch.from_numpy(data.heldout)))
    print(f"the 297 held-out digits themselves: {heldout[0]:.2f} ± {heldout[1]:.2f}")
    print("samples  steps      fd     se   se/fd  seconds")
    for samples in (250, 500, 1000, 2000):
        latents = draw_normals(Streams(0), "latents", 0, (samples, 1, 8, 8))
        for steps in (4, 6, 8, 10, 20, 50):
            start = perf_counter()
            drawn = sample(SamplerConfig(steps=steps), network, diffusion, latents, Streams(0))
            images = torch.from_numpy(quantise(drawn.numpy(), data.levels))
            fd, se = frechet_with_error(reference, features(images))
            print(f"{samples:7}  {steps:5}  {fd:6.2f}  {se:5.2f}  {se / fd:6.1%}  {perf_counter() - start:7.2f}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
