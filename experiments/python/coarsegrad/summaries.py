"""What the summary of a comparison says: its variants, their bits, and the intervals of their means."""
import numpy as np

from .logs import LogError, Run
from .statistics import half_width

CONTROL = "float"  # the label of the float control among the variants
KEYS = ("ste", "rule", "method")  # columns whose labels tell variants apart


def key_of(run: Run) -> str:
    """The column of the summary that tells its variants apart. Raises LogError for a log without one."""
    for key in KEYS:
        if f"tables/summary/{key}" in run.labels:
            return key
    raise LogError(
        f"{run.path}: no summary of a comparison (a table summary with {', '.join(KEYS[:-1])} or {KEYS[-1]})"
    )


def bits_in_words(weights: float, activations: float) -> str:
    """The bits of a variant, 2W4A; what is float, 0 bits, is not named."""
    return "".join(f"{int(bits)}{what}" for bits, what in ((weights, "W"), (activations, "A")) if bits > 0)


def settings_of(run: Run, table: str) -> np.ndarray:
    """The bits of each row of a table in words; "" for the float control."""
    if "weight_bits" in run.tables.get(table, {}):
        pairs = zip(*run.table(table, "weight_bits", "activation_bits"))
    else:
        pairs = ((0, bits) for bits in run.table(table, "bits")[0])
    return np.array([bits_in_words(*pair) for pair in pairs])


def half_widths(run: Run, quantity: str) -> np.ndarray:
    """Half the widths of the 95 % intervals of a quantity's means, for every row of the summary; NaN for one run."""
    return half_width(*run.table("summary", f"{quantity}_sd", "seeds"))


def float_net(run: Run) -> tuple[float, float]:
    """The float net's test accuracy in its best held-out epoch, and its training loss after the last one; NaN where
    there is no float net."""
    try:
        test, held_out, loss = run.table("float_epochs", "test_accuracy", "held_out_accuracy", "train_loss")
    except LogError:
        return np.nan, np.nan
    best = len(test) - 1 if np.all(np.isnan(held_out)) else np.nanargmax(held_out)
    return test[best], loss[-1]


def mean_in_words(mean: float, around: float, decimals: int = 2, sign: str = "") -> str:
    """A mean, with half the width of its interval where there is one; NaN is that of a training that diverged. The sign +
    is put before what is not negative where `sign` asks for it."""
    if np.isnan(mean):
        return "diverged"
    text = f"{mean:{sign}.{decimals}f}"
    return f"{text} ± {around:.{decimals}f}" if np.isfinite(around) else text
