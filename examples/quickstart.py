# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # fidrace in a notebook
#
# Does a training method reach a target Fréchet distance in fewer iterations than the baseline, and is the difference real?
# Racing needs `pip install 'fidrace[train]'`; all that reads tables needs `pip install fidrace` alone.

# %% [markdown]
# ## Race two methods
# Min-SNR against the baseline: 8×8 digits, three seeds, 100 iterations, a minute on two cores. It is a demonstration, and its
# table will say so: the target is `post hoc`, the grid `coarse`. A race of `fidrace run digits` has 500 iterations, and a target
# that was set before any method was raced.

# %%
# !fidrace run digits -m min-snr --seeds 3 --budget 100 --set budget.evaluations=5 --set quality.samples=200 --set ema.decay=0.9 --target 70 --out quickstart

# %% [markdown]
# The command wrote tables, pictures and a page into the folder `quickstart`. Here they are as DataFrames:

# %%
import fidrace

study = fidrace.load_study("quickstart")
study

# %%
study.plot("fd")

# %% [markdown]
# ## Read the table
# A verdict needs the interval to exclude 1 and the adjusted p to be below 0.05. `docs/tables.md` explains every column.

# %%
study.speedups[["method", "pairs", "speedup", "ci_low", "ci_high", "p_holm", "verdict", "flags"]]

# %%
study.evals.groupby(["method", "iteration"])["fd"].mean().unstack("method")

# %% [markdown]
# The published race has ten seeds. Its tables come with the package:

# %%
published = fidrace.load_study("digits")
published

# %%
published.plot("speedup")

# %% [markdown]
# ## Use a method in a loop of your own
# Three lines: make the race, pass your timesteps through it, step inside it (`docs/your-loop.md`).

# %%
import torch

import fidrace.torch as fr

network = torch.nn.Sequential(torch.nn.Linear(3, 64), torch.nn.SiLU(), torch.nn.Linear(64, 2))
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
alphas_cumprod = torch.linspace(1, 0, 1002, dtype=torch.float64)[1:-1]
draws = torch.Generator().manual_seed(0)

race = fr.discrete("min-snr", alphas_cumprod, horizon=200, seed=0, trained="eps")
for _ in range(200):
    x0 = torch.randn(64, 2, generator=draws) * 0.5
    noise = torch.randn(64, 2, generator=draws)
    t, w = race(torch.randint(0, 1000, (64,), generator=draws))
    level = alphas_cumprod[t].float()[:, None]
    noisy = level.sqrt() * x0 + (1 - level).sqrt() * noise
    losses = (network(torch.cat([noisy, level], dim=1)) - noise).square().mean(dim=1)
    optimizer.zero_grad()
    (w * losses).mean().backward()
    with race.step(optimizer, losses):
        optimizer.step()
losses.mean().item()

# %% [markdown]
# ## Judge a log that fidrace did not make
# Nine formats can be read (`docs/import.md`). One curve each has no interval, and the table says what can be said without one.

# %%
from pathlib import Path

halving = {"edm": 9000, "mine": 7000}  # invented: steps in which the distance falls by half
rows = [
    f"{method},{step},{5 + 60 * 0.5 ** (step / pace)}" for method, pace in halving.items() for step in range(0, 60_001, 3000)
]
Path("log.csv").write_text("\n".join(["model,iternum,FID", *rows, ""]))
# !fidrace import csv log.csv --columns step=iternum,fid=FID,method=model --out imported

# %%
fidrace.load_study("imported", 8.0, baseline="edm")
