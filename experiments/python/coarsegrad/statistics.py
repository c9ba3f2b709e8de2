"""Intervals of means over few runs."""
import functools
import math

import numpy as np


@functools.cache
def student_t_95(degrees: int) -> float:
    """The number t that a variable with Student's t distribution of `degrees` >= 1 degrees of freedom is below in size
    with probability 0.95: the root of the finite sums for P(|T| < t) in Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _probability_below(angle, degrees) < 0.95 else (low, angle)
    return math.sqrt(degrees) * math.tan(low)


def half_width(deviation: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval of a mean of `count` values with this standard deviation (of n - 1), by
    Student's t; NaN for one value."""
    deviation, count = np.broadcast_arrays(np.asarray(deviation, float), count)
    t = np.array([student_t_95(int(n) - 1) if n > 1 else np.nan for n in count.ravel()]).reshape(count.shape)
    return t * deviation / np.sqrt(count)


def mean_and_half_width(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the first axis, and half the width of its 95 % interval."""
    count = len(values)
    deviation = np.std(values, axis=0, ddof=1) if count > 1 else np.full(np.shape(values)[1:], np.nan)
    return np.mean(values, axis=0), half_width(deviation, np.array(count))


def difference_half_width(first: float, first_count: float, second: float, second_count: float) -> float:
    """Half the width of the 95 % interval of the difference of two means, for the standard deviations (of n - 1) of what
    they are means of and its numbers, by Welch's t with its degrees of freedom rounded down; NaN where one of the numbers
    is one."""
    if min(first_count, second_count) < 2:
        return math.nan
    a, b = first**2 / first_count, second**2 / second_count
    if not a + b > 0:
        return a + b  # 0, or NaN
    degrees = (a + b) ** 2 / (a**2 / (first_count - 1) + b**2 / (second_count - 1))
    return student_t_95(int(degrees + 1e-9)) * math.sqrt(a + b)


def _probability_below(angle: float, degrees: int) -> float:
    """P(|T| < t) for t = sqrt(degrees) tan(angle)."""
    c, s = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = c if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees, 2):
        term *= c * c * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + s * total) if odd else s * total
