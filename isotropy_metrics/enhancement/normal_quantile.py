"""The quantile function of the standard normal distribution, from operations that every export of torch knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# numerators and denominators, highest power first
CENTRAL = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4)
    + (1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4)
    + (5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)
TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0)
    + (3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1)
    + (6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)


def normal_quantile(levels: Tensor) -> Tensor:
    """Φ⁻¹ of levels from 1e-10 to 1 − 1e-10, in float64, to 1e-15 of its value.

    Algorithm AS 241 (Wichura 1988, https://doi.org/10.2307/2347330), less its branch for levels below 1e-10. It stands
    for `torch.special.ndtri`, which ONNX does not have.
    """
    from_middle = levels - 0.5
    central = from_middle * _ratio(CENTRAL, 0.180625 - from_middle * from_middle)
    outer = levels.minimum(1 - levels).log().neg().sqrt()
    tail = from_middle.sign() * _ratio(TAIL, outer - 1.6)
    return central.where(from_middle.abs() <= 0.425, tail)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Tensor) -> Tensor:
    numerator, denominator = (_polynomial(each, x) for each in coefficients)
    return numerator / denominator


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    first, *others = coefficients
    value = x * first + others[0]
    for coefficient in others[1:]:
        value = value * x + coefficient
    return value
