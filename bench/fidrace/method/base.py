"""The interface of a training-acceleration method.

Most methods are arrays over timesteps and a few numbers, all functions of progress tau in [0, 1]: p[T] the density that
timesteps are drawn from, w[T] the weight on the eps-MSE of each example, the learning-rate multiplier and Adam's beta1, the
decay of the weights' average; and how the batch's uniforms are spread. Methods import neither torch nor the harness that
runs them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, dataclass_transform

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Prediction = Literal["eps", "x0", "v", "flow"]  # flow: the velocity eps - x0 of the path (1 - s) x0 + s eps
Evidence = Literal["published", "reconstructed", "inferred"]
Axis = Literal["iterations", "images", "seconds"]

# The aspects of training that a method may claim, in the order in which a composition names its parts, and the hooks that claim
# each. Those of TENSORS take tensors or parameters.
ASPECTS: Mapping[str, tuple[str, ...]] = {
    "timesteps": ("timestep_density", "timesteps"),
    "uniforms": ("uniforms", "timesteps"),  # code that turns uniforms into timesteps relies on how they are spread
    "weight": ("loss_weight",),
    "optimizer": ("optimizer",),
    "noise": ("couple",),
    "target": ("target",),
    "prediction": ("prediction",),
    "auxiliary": ("auxiliary",),
    "algorithm": ("build_optimizer",),
    "average": ("decay", "feedback"),
    "settings": ("settings",),
}
TENSORS = frozenset({"noise", "target", "auxiliary", "algorithm"})


@dataclasses.dataclass(frozen=True)
class NoiseSchedule:
    """What a method is prepared for: abar[T] (alpha-bar, float64, read-only), what the network predicts, the data's standard
    deviation, the horizon (the run's budget in iterations), and the decay of the task's average of weights."""

    abar: Floats
    prediction: Prediction = "eps"
    sigma_data: float = 0.5
    horizon: int = 1000
    ema_decay: float = 0.9999

    def __post_init__(self) -> None:
        own = self.abar.copy()  # the sampler has another copy: no method can change the diffusion
        own.setflags(write=False)
        object.__setattr__(self, "abar", own)

    @property
    def T(self) -> int:
        return len(self.abar)

    @property
    def snr(self) -> Floats:
        """Signal-to-noise ratio abar / (1 - abar), [T]."""
        return self.abar / (1 - self.abar)

    @property
    def log_snr(self) -> Floats:
        """ln of the signal-to-noise ratio, [T]; ln sigma of the variance-exploding form is minus half of it."""
        return np.log(self.snr)

    @property
    def own_weight(self) -> Floats | None:
        """w[T] on the eps-MSE of a loss that no method weights: None, 1 everywhere; of a flow 1 / (1 - s)^2, which is unit
        weight on its velocity, because an error e in eps is e / (1 - s) in the velocity."""
        return (1 + self.snr**-0.5) ** 2 if self.prediction == "flow" else None

    def density_over_log_snr(self, log_f: Floats) -> Floats:
        """p[T] with sum 1 from a density f over ln S, given as ln f[T] up to a constant: p proportional to f |d ln S / dt|.

        The Jacobian makes p independent of the noise schedule: it spends as much on a stretch of ln S as f does.
        """
        p = np.exp(log_f - log_f.max()) * np.abs(np.gradient(self.log_snr))
        return p / p.sum()


class Draw(Protocol):
    """What a hook may draw besides the batch: the same for every method of a seed, and whatever the number of ranks.
    labels[B]: the classes of the batch, or None."""

    labels: Any

    def normals(self, k: int = 1) -> Any:
        """The k-th further tensor of standard normals, of the batch's shape."""

    def uniforms(self, k: int = 1) -> Floats:
        """The k-th further array of uniforms in [0, 1), one for each example."""

    def images(self, count: int) -> Any:
        """x0[count, C, H, W] of `count` further training images, which count as read."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """A parameter's help text and the values it takes: low <= value <= high, or low < value < high if `open`."""

    help: str
    low: float = -np.inf
    high: float = np.inf
    open: bool = False

    def allow(self, value: float) -> bool:
        inside = self.low < value < self.high if self.open else self.low <= value <= self.high
        return inside and abs(value) < np.inf

    def __str__(self) -> str:
        left, right = "()" if self.open else "[]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


def param(default: Any, help: str, low: float = -np.inf, high: float = np.inf, open: bool = False) -> Any:
    """A parameter of a method: a dataclass field with its limits."""
    return dataclasses.field(default=default, metadata={"limits": Limits(help, low, high, open)})


def horizon_param() -> Any:
    """The parameter `horizon`, for a method whose answers before the budget depend on the budget."""
    return param(0, "iterations at which progress reaches 1; 0: the run's budget", low=0)


@dataclass_transform(field_specifiers=(param, horizon_param))
class Method:
    """One method. A subclass overrides the hooks of the aspects it claims; its fields are its parameters.

    `progress` in the hooks is min(n / horizon, 1) after n iterations. T: timesteps. B: examples of a batch.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    evidence: ClassVar[Evidence]
    claim: ClassVar[str] = ""
    axis: ClassVar[Axis] = "iterations"  # what it costs besides iterations: `faster` must hold there too
    keeps_noise: ClassVar[bool] = True  # False: the noise that it trains on is not N(0, I), which sampling starts from
    schedule: NoiseSchedule = dataclasses.field(init=False, repr=False, compare=False)

    def __init_subclass__(cls, *, name: str, source: str, evidence: Evidence, claim: str = "") -> None:
        cls.name, cls.source, cls.evidence, cls.claim = name, source, evidence, claim
        dataclasses.dataclass(cls)

    def prepare(self, schedule: NoiseSchedule) -> None:
        """Called once before training. Precompute here, after super().prepare(schedule)."""
        self.schedule = schedule

    def timestep_density(self, progress: float) -> Floats | None:
        """p[T] >= 0 with sum 1; None is uniform."""
        return None

    def timesteps(self, u: Floats, progress: float) -> Ints:
        """t[B] from the batch's uniforms u[B] in [0, 1); the default applies the inverse CDF of p."""
        return inverse_cdf(self.timestep_density(progress), u, self.schedule.T)

    def uniforms(self, u: Floats) -> Floats:
        """The uniforms in [0, 1) that become timesteps, from the global batch's independent ones u[B]."""
        return u

    def loss_weight(self, progress: float) -> Floats | None:
        """w[T] >= 0 on the eps-MSE of each example; None leaves the task's own loss: 1 everywhere, or the schedule's
        `own_weight`."""
        return None

    def optimizer(self, progress: float) -> tuple[float, float | None]:
        """The multiplier of the base learning rate, and Adam's beta1 (None keeps the task's)."""
        return 1.0, None

    def couple(self, x0: Any, eps: Any, draw: Draw) -> tuple[Ints | None, Any]:
        """The images and noise of the global batch, from independent x0 and eps [B, C, H, W], tensors on the run's device: the
        place in x0 of each example's image (None: its own), and its noise."""
        return None, eps

    def target(self, x0: Any, eps: Any, signal: Any, noise: Any, draw: Draw) -> tuple[Any, Any, Any]:
        """The noise that x_t is made with, and the x0 and eps that the network's target is made from, each [B, C, H, W], for
        the global batch; x_t = signal x0 + noise eps, with signal and noise [B, 1, 1, 1]."""
        return eps, x0, eps

    def prediction(self) -> Prediction | None:
        """What the network predicts, in training and in the sampler; None is the task's."""
        return None

    def auxiliary(self, predicted: Any, wanted: Any, taps: Mapping[str, Any], gather: Any) -> Any:
        """A further term of the loss, a tensor [b] of the examples or of no dimension, which no weight multiplies, from what
        the network predicts and its target [b, C, H, W] of this rank's examples, and the activations that `taps` names.
        `gather(z[b, ...])` is z of the global batch, with its gradient."""
        return 0.0

    taps: ClassVar[tuple[str, ...]] = ()  # the places of the network whose activations `auxiliary` sees

    def build_optimizer(self, groups: Mapping[str, Any], lr: float, betas: tuple[float, float], weight_decay: float) -> Any:
        """The optimizer, as torch's are: param_groups, step and state_dict; None is AdamW. `groups`: lists of the parameters by
        their role: `matrices` inside the network, `embedding`, `output` (the last layer's weight) and `vectors`. A group whose
        lr is another keeps that ratio to the task's, through its warm-up and any schedule."""
        return None

    def decay(self, n: int) -> float | None:
        """The share in [0, 1] that the average of the weights keeps of itself in its update after step n = 1, 2, ...; None is
        the task's. The averaged network is what is evaluated."""
        return None

    def feedback(self, n: int) -> bool:
        """Whether the average takes the place of the weights after step n."""
        return False

    def settings(self) -> Mapping[str, float]:
        """Fields of the task's optimizer that take the place of the task's own, by their dotted names."""
        return {}

    def observe(self, t: Ints, loss: Floats) -> None:
        """For adaptive methods: timesteps t[B] and unweighted eps-MSEs loss[B] of one iteration, in global sample order.

        Called once for every iteration, in order, possibly some tens of iterations late."""

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything that `observe` has changed, as numeric arrays; saved in checkpoints."""
        return {}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `state_dict` returned."""

    @classmethod
    def overrides(cls, hook: str) -> bool:
        return getattr(cls, hook) is not getattr(Method, hook)

    def aspects(self) -> tuple[str, ...]:
        """Aspects of training this method controls; may depend on its parameters (e.g. `logit-normal[weight=eps]` leaves the
        loss weight alone)."""
        return tuple(aspect for aspect, hooks in ASPECTS.items() if any(map(self.overrides, hooks)))

    @classmethod
    def parameters(cls) -> dict[str, "dataclasses.Field[Any]"]:
        return {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]

    @classmethod
    def depends_on_horizon(cls) -> bool:
        return "horizon" in cls.parameters()

    def progress(self, n: int) -> float:
        """tau in [0, 1] after n iterations."""
        return min(n / (getattr(self, "horizon", 0) or self.schedule.horizon), 1.0)

    def __str__(self) -> str:
        """The name in every table, with the parameters that differ from their defaults, in order of definition."""
        values = {key: getattr(self, key) for key in self.parameters()}
        changed = [f"{key}={value}" for key, value in values.items() if value != self.parameters()[key].default]
        return f"{self.name}[{','.join(changed)}]" if changed else self.name


def inverse_cdf(p: Floats | None, u: Floats, T: int) -> Ints:
    """t[B] with P(t) = p[t] from uniforms u[B] in [0, 1): the first t whose CDF exceeds u, so no t with p[t] = 0 is drawn."""
    return np.searchsorted(distribution(np.full(T, 1 / T) if p is None else p, T), u, side="right")


def distribution(p: Floats, T: int) -> Floats:
    """The distribution function [T] of p[T]; raises ValueError if p has another shape or does not sum to 1."""
    if np.shape(p) != (T,):
        raise ValueError(f"density of shape {np.shape(p)}, not ({T},)")
    cdf = np.cumsum(p)
    if not abs(cdf[-1] - 1) < 1e-9:  # NaN too
        raise ValueError(f"the density sums to {cdf[-1]:.12g}, not 1")
    return cdf / cdf[-1]
