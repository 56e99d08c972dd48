"""The studies of a consistency series, by their homes.

`seeds`: the baseline and the methods with every seed; `again`: one baseline run a second time; `start-K`: a baseline run with
the initial weights of seed K and the data order of another seed; and one study for each other architecture.
"""

import re
from dataclasses import replace

from fidrace.analyses.consistency.pairs import AGAIN, SEEDS, START
from fidrace.errors import InputError
from fidrace.spec.network import NetworkConfig
from fidrace.spec.study import Study
from fidrace.spec.user_input import parse_assignment, validate

RING = 3  # seeds whose initial weights another seed's run gets; each costs a run


def plan_studies(base: Study, networks: list[str]) -> dict[str, Study]:
    """Studies by home; `networks` as given to --network, or [] for two that follow from the task's own. Raises InputError if
    there are fewer than two seeds, or if a network cannot be used."""
    own = base.own_task.network
    if len(base.seeds) < 2:
        raise InputError("consistency compares networks of different seeds: --seeds takes at least 2")
    if own.init is not None:
        raise InputError("--set network.init: consistency chooses initial weights itself; leave it out")
    if base.own_task.diffusion.schedule == "flow":
        raise InputError("consistency compares networks by DDIM, and this task's are flows: choose another task")
    ring = base.seeds[:RING]
    studies = {SEEDS: base, AGAIN: baseline_study(base, own, ring[:1])}
    for seed, start in zip(ring, (*ring[1:], ring[0]), strict=True):
        studies[f"{START}{start}"] = baseline_study(base, own.model_copy(update={"init": start}), (seed,))
    for text in networks or [f"channels={2 * own.channels}", f"res_blocks={own.res_blocks + 1}"]:
        name, network = parse_architecture(own, text)
        if name in studies:
            raise InputError(f"--network {text}: listed twice")
        studies[name] = baseline_study(base, network, base.seeds)
    return studies


def baseline_study(base: Study, network: NetworkConfig, seeds: tuple[int, ...]) -> Study:
    """The baseline alone, which is the first of the methods, on `network`."""
    task = base.own_task.model_copy(update={"network": network})
    return replace(base, task=task, resolved=base.resolved[:1], seeds=seeds, contrasts=())


def parse_architecture(own: NetworkConfig, text: str) -> tuple[str, NetworkConfig]:
    """`channels=16,res_blocks=2` as a folder name and a network; raises InputError if it cannot be read, or is the task's
    own."""
    changes = {}
    for part in re.split(r",(?![^\[{]*[\]}])", text):  # not at commas inside brackets
        if "=" not in part.strip("= "):
            raise InputError(f"--network {text}: write FIELD=VALUE[,FIELD=VALUE], for instance channels=16")
        key, value = parse_assignment(part)
        changes[key.removeprefix("network.")] = value
    if "init" in changes:
        raise InputError(f"--network {text}: init is not an architecture; consistency chooses initial weights itself")
    fields = {field: value for field, value in (own.model_dump() | changes).items() if value != "none"}
    network = validate(NetworkConfig, fields, f"--network {text}")
    if network == own:
        raise InputError(f"--network {text}: this is the task's own network")
    return "+".join(re.sub(r"[^\w.]+", "-", f"{key}={value}").strip("-.") for key, value in changes.items()), network
