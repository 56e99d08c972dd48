"""Networks by kind: UNet2DModel from a task's fields, activation checkpointing, and what is refused before training."""

import sys
from collections.abc import Iterator

import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from fidrace.errors import InputError
from fidrace.spec.network import NetworkConfig
from fidrace.spec.task import load_task
from fidrace.train.architectures import build_network, check_network
from tests.test_network import count, on_meta, ported

WIDTHS = dict(channels=16, multipliers=(1, 2, 2), res_blocks=1, attention_resolutions=(8,), norm_groups=8)
IDDPM = dict(**WIDTHS, heads=2, scale_shift=True)
ADM = dict(**WIDTHS, head_channels=8, scale_shift=True, resblock_updown=True, classes=5)
IMAGE = (3, 16, 16)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small lose by threads, by far where other processes have the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def inputs(classes: int | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(1)
    labels = None if classes is None else torch.tensor([0, 4, 2, 2])
    return torch.randn(4, *IMAGE, generator=generator), torch.tensor([0.0, 0.25, 500.0, 999.0]), labels


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        (
            IDDPM,
            dict(
                down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=16,
                resnet_time_scale_shift="scale_shift",
            ),
        ),
        (
            ADM,
            dict(
                down_block_types=("ResnetDownsampleBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
                up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
                attention_head_dim=8,
                resnet_time_scale_shift="scale_shift",
                downsample_type="resnet",
                upsample_type="resnet",
                num_class_embeds=5,
            ),
        ),
        (
            dict(WIDTHS, attention_resolutions=()),
            dict(down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3, attention_head_dim=None),
        ),
    ],
    ids=["iddpm", "adm", "one-head"],
)
def test_kind_diffusers_is_the_unet2dmodel_that_one_would_write_by_hand(fields: dict, arguments: dict) -> None:
    built = build_network(NetworkConfig(kind="diffusers", **fields), IMAGE, seed=0, learned_sigma=True)
    by_hand = UNet2DModel(
        in_channels=3,
        out_channels=6,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attn_norm_num_groups=8,
        **arguments,
    )
    built.unet.load_state_dict(by_hand.state_dict())  # type: ignore[union-attr]
    x, t, labels = inputs(fields.get("classes"))
    assert torch.equal(built(x, t, labels), by_hand(x, t, class_labels=labels).sample)


@pytest.mark.parametrize("fields", [IDDPM, ADM], ids=["iddpm", "adm"])
def test_both_kinds_are_one_network_once_they_have_the_same_weights(fields: dict) -> None:
    theirs = build_network(NetworkConfig(kind="diffusers", **fields), IMAGE, seed=0, learned_sigma=True)
    ours = build_network(NetworkConfig(**fields), IMAGE, seed=0, learned_sigma=True)
    x, t, labels = inputs(fields.get("classes"))
    assert not ours(x, t, labels).any()
    assert theirs(x, t, labels).std() > 0.01  # no zero-initialised output: the docstring says so
    torch.testing.assert_close(ported(theirs.unet, ours)(x, t, labels), theirs(x, t, labels), rtol=1e-4, atol=1e-5)  # type: ignore


@pytest.mark.parametrize("task", ["cifar10", "imagenet64", "imagenet128"])
def test_packaged_networks_have_as_many_parameters_as_either_kind(task: str) -> None:
    changed = load_task(task, {"network.kind": "diffusers"})
    assert count(on_meta(changed)) == count(on_meta(load_task(task)))


@pytest.mark.parametrize("kind", ["unet", "diffusers"])
def test_initial_weights_are_of_the_seed_alone(kind: str) -> None:
    def weights(seed: int) -> Tensor:
        torch.rand(seed + 1)  # other draws before it
        return torch.cat([p.flatten() for p in build_network(NetworkConfig(kind=kind, **IDDPM), IMAGE, seed).parameters()])

    before = torch.get_rng_state()
    first = weights(3)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))
    torch.set_rng_state(before)
    torch.rand(4)
    expected = torch.rand(1)
    torch.set_rng_state(before)
    weights(3)
    assert torch.equal(torch.rand(1), expected)  # it draws from a stream of its own


def trained(network: nn.Module, classes: int | None) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and gradients at weights that are nowhere zero, with one dropout."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.manual_seed(3)
    output = network(*inputs(classes))
    output.square().mean().backward()
    return output.detach(), {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("kind", ["unet", "diffusers"])
@pytest.mark.parametrize("fields", [IDDPM, ADM], ids=["iddpm", "adm"])
def test_checkpointing_changes_no_bit_of_outputs_and_gradients(fields: dict, kind: str) -> None:
    config = NetworkConfig(kind=kind, dropout=0.3, **fields)
    kept, again = (build_network(config, IMAGE, seed=0, checkpointing=checkpointing) for checkpointing in (False, True))
    assert kept.state_dict().keys() == again.state_dict().keys()
    assert kind == "unet" or again.unet.is_gradient_checkpointing  # type: ignore[union-attr]
    (output, gradients), (same, same_gradients) = trained(kept, config.classes), trained(again, config.classes)
    assert torch.equal(output, same)
    assert all(torch.equal(gradients[name], same_gradients[name]) for name in gradients)
    assert not torch.equal(output, kept(*inputs(config.classes)))  # there is dropout


def kept_bytes(task: str, checkpointing: bool = False, batch: int = 2) -> float:
    """Bytes an example that the packaged task's network holds for its backward pass, all in float32."""
    config, size = load_task(task).network, load_task(task).data.size or 0
    with torch.device("meta"):
        network = build_network(config, (3, size, size), 0, learned_sigma=True, checkpointing=checkpointing)
        weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
        storages = {}

        def keep(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
            return tensor

        labels = torch.zeros(batch, dtype=torch.long) if config.classes else None
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(torch.empty(batch, 3, size, size), torch.empty(batch), labels)
    assert output.requires_grad
    return sum(storage.nbytes() for key, storage in storages.items() if key not in weights) / batch


def test_checkpointing_keeps_a_fifth_of_the_activations_at_most() -> None:
    assert kept_bytes("imagenet64", checkpointing=True) < kept_bytes("imagenet64") / 5


@pytest.mark.parametrize("task", ["imagenet64", "imagenet128"])
def test_a_microbatch_fits_a_card_of_80_gb_even_in_float32(task: str) -> None:
    weights = 5 * 4 * count(on_meta(load_task(task)))  # weights, gradients, two moments, average
    assert weights + (load_task(task).speed.microbatch or 0) * kept_bytes(task) < 70e9


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(config=dict(attention_head_dimm=8)), "no argument 'attention_head_dimm'; did you mean 'attention_head_dim'?"),
        (dict(config=dict(act_fn="sigh")), "refuses its arguments: .*sigh"),
        (dict(config=dict(layers_per_block="two")), "refuses its arguments: TypeError"),
        (dict(config=dict(in_channels=1)), "in_channels cannot be set: it follows from the data"),
        (dict(config=dict(num_class_embeds=3)), "it follows from network.classes"),
        (dict(config=dict(time_embedding_type="fourier")), "no value at timestep 0"),
        (dict(config=dict(class_embed_type="timestep")), "does not take 3x16x16 images: ValueError: class_labels"),
        (dict(config=dict(time_embedding_type="learned", num_train_timesteps=1000)), "does not take 3x16x16 images"),
        (dict(heads=3), r"do not divide into 3 heads \(channels of the blocks with attention: \[32\]\)"),
        (dict(multipliers=(1, 2, 3), heads=2), r"2 heads at \[32, 48\] channels are of \[16, 24\]"),
        (dict(heads=1, head_channels=12), "do not divide into heads of 12"),
        (dict(multipliers=(1,) * 6), "does not take 3x16x16 images"),
    ],
)
def test_what_unet2dmodel_cannot_be_is_refused_in_one_line(changes: dict, named: str) -> None:
    with pytest.raises(InputError, match=named) as refusal:
        check_network(NetworkConfig(kind="diffusers", **{**IDDPM, **changes}), IMAGE)
    assert "\n" not in str(refusal.value)


def test_an_argument_in_config_replaces_the_derived_one() -> None:
    config = NetworkConfig(kind="diffusers", **{**IDDPM, "heads": 3}, config=dict(attention_head_dim=8, act_fn="relu"))
    check_network(config, IMAGE)
    network = build_network(config, IMAGE, seed=0)
    assert (network.unet.config.attention_head_dim, network.unet.config.act_fn) == (8, "relu")  # type: ignore[union-attr]


def test_without_diffusers_its_kind_is_refused_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InputError, match=r"pip install 'fidrace\[diffusers\]'") as refusal:
        build_network(NetworkConfig(kind="diffusers", **IDDPM), IMAGE, seed=0)
    assert "\n" not in str(refusal.value)
    build_network(NetworkConfig(**IDDPM), IMAGE, seed=0)


def test_images_that_do_not_fit_the_unet_are_refused_before_training() -> None:
    with pytest.raises(InputError, match="cannot be halved 2 times"):
        check_network(NetworkConfig(**IDDPM), (3, 18, 18))
    check_network(NetworkConfig(**IDDPM), (3, 16, 16), learned_sigma=True)
