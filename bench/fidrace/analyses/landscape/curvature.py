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

# Of a Ritz vector's residual, relative to its eigenvalue. An eigenvalue's own error is about the square of that, so that what
# is left is float32's rounding in the products.
TOLERANCE = 1e-4
RESTARTS = 100  # of Lanczos, each some 20 products; spectra of networks took at most 10


def hessian_product(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Product:
    """v -> H v, by the graph of `loss`, which is kept for as long as the product is. A parameter that the loss does not
    depend on has zeros."""
    gradient = flat(torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True))

    def product(v: Floats) -> Floats:
        direction = torch.from_numpy(np.ravel(v)).to(gradient)
        parts = torch.autograd.grad(gradient, parameters, direction, retain_graph=True, materialize_grads=True)
        found: Floats = flat(parts).double().cpu().numpy()
        return found

    return product


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """All elements in one row, tensor after tensor."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def check_eigenvalues(count: int, size: int) -> None:
    """Raise InputError unless Lanczos can give `count` eigenvalues of `size`."""
    if not 0 < count < size:
        raise InputError(f"--eigenvalues {count}: of {size} parameters, from 1 to {size - 1} can be had")


def largest(product: Product, size: int, count: int, start: Floats) -> Floats:
    """The `count` largest eigenvalues (algebraically), the largest first; NaN where Lanczos does not converge. By ARPACK's
    implicitly restarted Lanczos from start[P]. Raises InputError where P is too small for so many."""
    check_eigenvalues(count, size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        found = eigsh(operator, count, which="LA", tol=TOLERANCE, maxiter=RESTARTS, v0=start, return_eigenvectors=False)
    except ArpackNoConvergence:
        return np.full(count, np.nan)
    return np.sort(found)[::-1]


def smallest(product: Product, size: int, top: float, start: Floats) -> float:
    """The smallest eigenvalue, which is the most negative one where there are such; `top` is the largest.

    It is top minus the largest of top I - H: so it is accurate relative to the spread of the spectrum, and where it is next to
    zero, in the thick of the others, rounding in the products does not keep Lanczos from converging.
    """
    return top - float(largest(lambda v: top * np.ravel(v) - product(v), size, 1, start)[0])


def trace(product: Product, probes: Floats) -> tuple[float, float]:
    """The trace and its standard error from probes[M, P] of independent signs: each z^T H z has the trace as its mean and the
    variance 2 sum_{i != j} H_ij^2 (Hutchinson, Communications in Statistics 19, 1990)."""
    values = np.array([probe @ product(probe) for probe in probes])
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def signs(random: np.random.Generator, count: int, size: int) -> Floats:
    """`count` probes [M, P] of -1 and 1."""
    return random.choice([-1.0, 1.0], size=(count, size))
