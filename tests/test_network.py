"""The U-Net against the papers' parameter counts and against diffusers' model with the same weights."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from fidrace.spec.study import define_study
from fidrace.spec.task import Task, load_task, task_names
from fidrace.train.architectures import build_network
from fidrace.train.unet import UNet

STUDIES = Path(__file__).parents[1] / "studies"
PUBLISHED = {"cifar10": 52_546_438, "imagenet128": 421_529_606}
OTHERS = {
    "digits": 45_041,
    "digits-dit": 146_404,
    "digits-flow": 45_041,
    "digits-late": 45_041,
    "folder": 1_129_155,
    "imagenet64": 295_904_454,
    "mnist": 299_937,
}  # checked below, against diffusers'
FOLDER_121M = 121_063_942


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def on_meta(task: Task) -> nn.Module:
    with torch.device("meta"):
        return build_network(task.network, task.data.shape, seed=0, learned_sigma=task.diffusion.learned_sigma)


def test_every_packaged_task_has_its_number_of_parameters() -> None:
    assert {name: count(on_meta(load_task(name))) for name in task_names()} == PUBLISHED | OTHERS


def test_adm128_with_the_heads_of_its_released_weights_has_as_many_parameters() -> None:
    task = define_study(str(STUDIES / "adm128-4heads.toml")).task
    assert (task.network.heads, task.network.head_channels) == (4, None)
    assert count(on_meta(task)) == PUBLISHED["imagenet128"]


def test_the_large_network_of_a_folder_has_its_number_of_parameters() -> None:
    assert count(on_meta(define_study("folder-121m").task)) == FOLDER_121M


@pytest.mark.parametrize(
    ("task", "widths", "blocks", "levels", "more"),
    [
        ("digits", (8, 16), 1, "--", dict(in_channels=1, out_channels=1, norm_num_groups=4, attn_norm_num_groups=4)),
        ("folder", (16, 32, 64, 64), 1, "--a-", dict(out_channels=3, norm_num_groups=8, attn_norm_num_groups=8)),
        ("folder-121m", (128, 256, 384, 512), 3, "--aa", {}),
        ("imagenet64", (192, 384, 576, 768), 3, "raaa", dict(num_class_embeds=1000)),
        ("imagenet128", (256, 256, 512, 768, 1024), 2, "rraaa", dict(num_class_embeds=1000)),
        ("cifar10", (128, 256, 256, 256), 3, "-aa-", {}),
    ],
)
def test_diffusers_unet_of_the_same_sizes_has_as_many_parameters(
    task: str, widths: tuple[int, ...], blocks: int, levels: str, more: dict
) -> None:
    down = {"-": "DownBlock2D", "r": "ResnetDownsampleBlock2D", "a": "AttnDownBlock2D"}
    up = {"-": "UpBlock2D", "r": "ResnetUpsampleBlock2D", "a": "AttnUpBlock2D"}
    fields = dict(in_channels=3, out_channels=6, norm_num_groups=32, attn_norm_num_groups=32)
    if "r" in levels:
        fields |= dict(downsample_type="resnet", upsample_type="resnet")
    with torch.device("meta"):
        theirs = UNet2DModel(
            block_out_channels=widths,
            layers_per_block=blocks,
            down_block_types=[down[level] for level in levels],
            up_block_types=[up[level] for level in reversed(levels)],
            attention_head_dim=8,
            resnet_time_scale_shift="scale_shift",
            **fields | more,
        )
    assert count(theirs) == (PUBLISHED | OTHERS | {"folder-121m": FOLDER_121M})[task]


@pytest.mark.parametrize("resblock_updown", [False, True])
@pytest.mark.parametrize("scale_shift", [False, True])
def test_output_is_exactly_zero_at_initialisation(scale_shift: bool, resblock_updown: bool) -> None:
    network = UNet(
        image_size=8,
        in_channels=3,
        out_channels=6,
        channels=8,
        multipliers=(1, 2),
        res_blocks=1,
        attention_resolutions=(4,),
        heads=2,
        scale_shift=scale_shift,
        resblock_updown=resblock_updown,
        classes=5,
        norm_groups=4,
    )
    output = network(torch.randn(2, 3, 8, 8), torch.tensor([3.0, 700.0]), torch.tensor([0, 4]))
    assert output.shape == (2, 6, 8, 8)
    assert not output.any()


def copy_norm_conv(ours: nn.Module, theirs: nn.Module) -> None:
    ours.weight.data.copy_(theirs.weight.data.reshape(ours.weight.shape))  # type: ignore[operator]
    ours.bias.data.copy_(theirs.bias.data)  # type: ignore[operator]


def copy_res(ours: nn.Module, theirs: nn.Module) -> None:
    pairs = {
        "in_norm": "norm1",
        "in_conv": "conv1",
        "emb": "time_emb_proj",
        "out_norm": "norm2",
        "out_conv": "conv2",
        "skip": "conv_shortcut",
    }
    for mine, other in pairs.items():
        if not isinstance(getattr(ours, mine), nn.Identity):
            copy_norm_conv(getattr(ours, mine), getattr(theirs, other))


def interleaved(heads: int, *parts: Tensor) -> Tensor:
    """q, k and v stacked head by head, as OpenAI's fused layer has them."""
    return torch.stack([part.reshape(heads, -1, *part.shape[1:]) for part in parts], dim=1).flatten(0, 2)


def copy_attention(ours: nn.Module, theirs: nn.Module) -> None:
    copy_norm_conv(ours.norm, theirs.group_norm)  # type: ignore[arg-type]
    copy_norm_conv(ours.out, theirs.to_out[0])  # type: ignore[arg-type, index]
    layers = (theirs.to_q, theirs.to_k, theirs.to_v)
    ours.qkv.weight.data.copy_(interleaved(ours.heads, *(layer.weight.data for layer in layers))[..., None])  # type: ignore
    ours.qkv.bias.data.copy_(interleaved(ours.heads, *(layer.bias.data for layer in layers)))  # type: ignore


def copy_stage(ours: nn.ModuleList, theirs: nn.Module, index: int) -> None:
    copy_res(ours[0], theirs.resnets[index])  # type: ignore[index]
    if len(getattr(theirs, "attentions", ())):
        copy_attention(ours[1], theirs.attentions[index])  # type: ignore[index]


def copy_resampler(ours: nn.Module, theirs: nn.Module) -> None:
    copy_res(ours, theirs) if hasattr(theirs, "norm1") else copy_norm_conv(ours, theirs.conv)  # type: ignore[arg-type]


def ported(theirs: UNet2DModel, ours: UNet) -> UNet:
    """Our U-Net with the weights of theirs."""
    copy_norm_conv(ours.conv_in, theirs.conv_in)
    copy_norm_conv(ours.time_in, theirs.time_embedding.linear_1)
    copy_norm_conv(ours.time_out, theirs.time_embedding.linear_2)
    if ours.label is not None:
        ours.label.weight.data.copy_(theirs.class_embedding.weight.data)
    stages = iter(ours.down)
    for block in theirs.down_blocks:
        for index in range(len(block.resnets)):
            copy_stage(next(stages), block, index)
        if block.downsamplers:
            copy_resampler(next(stages)[0], block.downsamplers[0])
    copy_res(ours.middle[0], theirs.mid_block.resnets[0])
    copy_attention(ours.middle[1], theirs.mid_block.attentions[0])
    copy_res(ours.middle[2], theirs.mid_block.resnets[1])
    stages = iter(ours.up)
    for block in theirs.up_blocks:
        for index in range(len(block.resnets)):
            stage = next(stages)
            copy_stage(stage, block, index)
        if block.upsamplers:
            copy_resampler(stage[-1], block.upsamplers[0])
    copy_norm_conv(ours.out_norm, theirs.conv_norm_out)
    copy_norm_conv(ours.conv_out, theirs.conv_out)
    return ours


@pytest.mark.parametrize("out", [3, 6], ids=["eps", "eps-and-sigma"])
@pytest.mark.parametrize(("scale_shift", "updown", "classes"), [(False, False, None), (True, True, 7)], ids=["iddpm", "adm"])
def test_outputs_and_gradients_equal_diffusers_with_ported_weights(
    scale_shift: bool, updown: bool, classes: int | None, out: int
) -> None:
    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=out,
        block_out_channels=(32, 64),
        layers_per_block=2,
        norm_num_groups=32,
        down_block_types=("ResnetDownsampleBlock2D" if updown else "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D" if updown else "UpBlock2D"),
        attention_head_dim=16,
        attn_norm_num_groups=32,
        resnet_time_scale_shift="scale_shift" if scale_shift else "default",
        num_class_embeds=classes,
        downsample_type="resnet" if updown else "conv",
        upsample_type="resnet" if updown else "conv",
    )
    ours = UNet(
        image_size=16,
        in_channels=3,
        out_channels=out,
        channels=32,
        multipliers=(1, 2),
        res_blocks=2,
        attention_resolutions=(8,),
        head_channels=16,
        scale_shift=scale_shift,
        resblock_updown=updown,
        classes=classes,
    )
    assert count(ours) == count(theirs)
    ported(theirs, ours)
    x, t = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 500, 999])
    labels = None if classes is None else torch.tensor([0, 3, 6, 3])
    probe = torch.randn(4, out, 16, 16)
    results = []
    for output_of in (lambda z: ours(z, t, labels), lambda z: theirs(z, t, class_labels=labels).sample):
        z = x.clone().requires_grad_()
        output = output_of(z)
        (output * probe).mean().backward()
        results.append((output.detach(), z.grad))
    layers = [(ours.conv_in, theirs.conv_in), (ours.time_in, theirs.time_embedding.linear_1), (ours.conv_out, theirs.conv_out)]
    for mine, other in [*zip(*results, strict=True), *((one.weight.grad, two.weight.grad) for one, two in layers)]:
        scale = other.abs().max()
        torch.testing.assert_close(mine / scale, other / scale, rtol=0, atol=1e-5)


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    fields = dict(image_size=8, in_channels=1, out_channels=1, channels=8, multipliers=(1,), res_blocks=1, norm_groups=4)
    with pytest.raises(ValueError, match="heads"):
        UNet(heads=3, **fields)
    with pytest.raises(ValueError, match="halved"):
        UNet(**{**fields, "image_size": 6, "multipliers": (1, 1, 1)})
