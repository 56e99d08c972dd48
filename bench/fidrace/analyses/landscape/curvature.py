"""Curvature: the ends of a Hessian's spectrum and its trace, from products with vectors alone.

H[P, P] the Hessian of a scalar loss in the P parameters of a network, never formed; v[P] a vector, float64, in the order of
`parameters`. A product is one more backward pass through the gradient (Pearlmutter, Neural Computation 6, 1994).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor, nn

from fidrace.errors import InputError
from fidrace.method.base import Floats

Product = Callable[[Floats], Floats]

# Of a Ritz vector's residual, relative to its eigenvalue. The eigenvalue's own error is about the square of that, so float32's
# rounding in the products dominates.
TOLERANCE = 1e-4
RESTARTS = 100  # of Lanczos, each some 20 products; spectra of networks took at most 10


def hessian_product(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Product:
    """v -> H v, through the graph of `loss`, which stays in memory as long as the product does. Parameters that the loss does
    not depend on have zeros."""
    gradient = flatten(torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True))

    def product(v: Floats) -> Floats:
        direction = torch.from_numpy(np.ravel(v)).to(gradient)
        parts = torch.autograd.grad(gradient, parameters, direction, retain_graph=True, materialize_grads=True)
        return flatten(parts).double().cpu().numpy()

    return product


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All elements in one row, tensor after tensor."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def check_eigenvalues(count: int, size: int) -> None:
    """Raise InputError unless Lanczos can find `count` eigenvalues of `size`."""
    if not 0 < count < size:
        raise InputError(f"--eigenvalues {count}: choose 1 to {size - 1}, since the network has {size} parameters")


def largest_eigenvalues(product: Product, size: int, count: int, start: Floats) -> Floats:
    """The `count` algebraically largest eigenvalues, in descending order; NaN if Lanczos does not converge. By ARPACK's
    implicitly restarted Lanczos from start[P]. Raises InputError if P is not above `count`."""
    check_eigenvalues(count, size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        values = eigsh(operator, count, which="LA", tol=TOLERANCE, maxiter=RESTARTS, v0=start, return_eigenvectors=False)
    except ArpackNoConvergence:
        return np.full(count, np.nan)
    return np.sort(values)[::-1]


def smallest_eigenvalue(product: Product, size: int, top: float, start: Floats) -> float:
    """The algebraically smallest eigenvalue; `top` is the largest.

    Computed as top minus the largest eigenvalue of top I - H, so it is accurate relative to the spread of the spectrum, and
    Lanczos converges even if it lies near zero among many others, where rounding in the products would otherwise stop it.
    """
    return top - float(largest_eigenvalues(lambda v: top * np.ravel(v) - product(v), size, 1, start)[0])


def estimate_trace(product: Product, probes: Floats) -> tuple[float, float]:
    """The trace and its standard error from probes[M, P] of independent signs: each z^T H z has the trace as its mean and the
    variance 2 sum_{i != j} H_ij^2 (Hutchinson, Communications in Statistics 19, 1990)."""
    values = np.array([probe @ product(probe) for probe in probes])
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def rademacher_probes(random: np.random.Generator, count: int, size: int) -> Floats:
    """`count` probes [M, P] of -1 and 1."""
    return random.choice([-1.0, 1.0], size=(count, size))
