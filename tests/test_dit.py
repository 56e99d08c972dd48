"""The diffusion transformer against diffusers' with the same weights, and as a task's network."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusers import DiTTransformer2DModel
from diffusers.models.embeddings import Timesteps
from torch import Tensor, nn

from fidrace.errors import InputError
from fidrace.spec.task import load_task
from fidrace.train.architectures import build_network
from fidrace.train.dit import DiT
from tests.conftest import TINY, Fidrace

SIZE, PATCH, DEPTH, HEADS, WIDTH, CLASSES = 8, 2, 3, 2, 32, 10
DIT = {"network.kind": "dit", "network.channels": WIDTH, "network.patch": PATCH, "network.depth": DEPTH, "network.heads": HEADS}
TRANSFORMER = [word for key, value in DIT.items() for word in ("--set", f"{key}={value}")]


def redrawn(network: nn.Module) -> nn.Module:
    """`network` with all weights drawn anew: at its own start it is zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network


def diffusers_with_the_weights_of(own: DiT) -> DiTTransformer2DModel:
    """Its sinusoids have another spacing than those of the paper's code, so they are exchanged; each of its blocks embeds
    timestep and class for itself."""
    theirs = DiTTransformer2DModel(
        num_attention_heads=HEADS, attention_head_dim=WIDTH // HEADS, in_channels=1, out_channels=2, num_layers=DEPTH,
        sample_size=SIZE, patch_size=PATCH, num_embeds_ada_norm=CLASSES, norm_eps=1e-6,
    ).eval()  # fmt: skip
    state = own.state_dict()
    ported = {"pos_embed.proj": "patches", "proj_out_1": "modulation", "proj_out_2": "head"}
    for k in range(DEPTH):
        theirs.transformer_blocks[k].norm1.emb.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
        here, there = f"blocks.{k}", f"transformer_blocks.{k}"
        ported |= {f"{there}.norm1.emb.timestep_embedder.linear_{n}": name for n, name in ((1, "time_in"), (2, "time_out"))}
        ported |= {f"{there}.norm1.linear": f"{here}.modulation", f"{there}.attn1.to_out.0": f"{here}.out"}
        ported |= {f"{there}.ff.net.0.proj": f"{here}.rise", f"{there}.ff.net.2": f"{here}.fall"}
    values = {f"{there}.{kind}": state[f"{here}.{kind}"] for there, here in ported.items() for kind in ("weight", "bias")}
    for k in range(DEPTH):
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", state[f"blocks.{k}.qkv.{kind}"].chunk(3), strict=True):
                values[f"transformer_blocks.{k}.attn1.to_{name}.{kind}"] = part
        table = theirs.transformer_blocks[k].norm1.emb.class_embedder.embedding_table.weight.detach().clone()
        table[:CLASSES] = state["label.weight"]
        values[f"transformer_blocks.{k}.norm1.emb.class_embedder.embedding_table.weight"] = table
    missing, unexpected = theirs.load_state_dict(values, strict=False)
    assert not unexpected
    assert all(name == "pos_embed.pos_embed" for name in missing)
    return theirs


def test_outputs_and_gradients_are_those_of_diffusers_with_the_same_weights() -> None:
    own = redrawn(
        DiT(
            image_size=SIZE,
            in_channels=1,
            out_channels=2,
            channels=WIDTH,
            patch=PATCH,
            depth=DEPTH,
            heads=HEADS,
            classes=CLASSES,
        )
    )
    assert isinstance(own, DiT)
    theirs = diffusers_with_the_weights_of(own)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, 1, SIZE, SIZE, generator=generator)
    t, labels = torch.tensor([0.0, 1.0, 250.5, 731.0, 999.0]), torch.tensor([0, 3, 3, 9, 5])

    def answer(network: nn.Module, **names: Tensor) -> tuple[Tensor, Tensor]:
        x = images.clone().requires_grad_()
        found = network(x, *names.values()) if network is own else network(x, **names).sample
        (gradient,) = torch.autograd.grad(found.square().sum(), x)
        return found, gradient

    for here, there in zip(
        answer(own, timestep=t, class_labels=labels), answer(theirs, timestep=t, class_labels=labels), strict=True
    ):
        assert there.abs().max() > 0.1
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5 * there.abs().max().item())


def test_it_begins_at_zero_and_recomputed_activations_change_nothing() -> None:
    task = load_task("digits", DIT)
    plain, recomputing = (build_network(task.network, (1, SIZE, SIZE), seed=0, checkpointing=flag) for flag in (False, True))
    x, t = torch.randn(2, 1, SIZE, SIZE), torch.tensor([10.0, 900.0])
    assert not plain(x, t).any()
    gradients = []
    for network in (plain, recomputing):
        redrawn(network)
        gradients.append(torch.autograd.grad(network(x, t).square().sum(), list(network.parameters())))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_it_is_raced_and_its_field_of_view_is_the_whole_image(fidrace: Fidrace, tmp_path: Path) -> None:
    fidrace("run", *TINY, *TRANSFORMER, "-m", "min-snr", "--seeds", "1", "--out", "s", "--target", "50")
    evals = pd.read_csv(tmp_path / "s" / "evals.csv")
    assert np.isfinite(evals[["fd", "val_loss"]]).all(axis=None)
    assert evals.groupby("method")["val_loss"].last().nunique() == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (DIT | {"network.patch": "none"}, "patch and depth"),
        (DIT | {"network.multipliers": [1, 2]}, "multipliers does not belong to a transformer"),
        ({"network.patch": 2}, "patch does not belong to a U-Net"),
        ({"network.multipliers": []}, "multipliers and res_blocks"),
    ],
)
def test_fields_of_another_kind_of_network_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_task("digits", changes)


@pytest.mark.parametrize(
    ("changes", "said"), [({"network.patch": 3}, "do not divide images"), ({"network.heads": 5}, "do not divide into 5 heads")]
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_network(load_task("digits", DIT | changes).network, (1, SIZE, SIZE), seed=0)
