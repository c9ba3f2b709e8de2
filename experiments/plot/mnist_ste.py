"""Figures of `mnist_ste`: LeNet-5 with quantized activations, one estimator against the other."""
import numpy as np
from matplotlib.ticker import MaxNLocator

from style import BLACK, estimator_style, figure, in_order

HATCHES = ("//", "", "..", "xx", "\\\\", "++", "oo", "**", "--", "||", "OO")


def comparison(run):
    """Bars of test error and training loss, grouped by bits, with the standard deviation over seeds."""
    ste, (bits, seeds) = run.names("summary", "ste"), run.table("summary", "bits", "seeds")
    best, best_sd, loss, loss_sd = run.table(
        "summary", "test_best_mean", "test_best_sd", "train_loss_mean", "train_loss_sd"
    )
    float_test, float_held_out, float_loss = run.table(
        "float_epochs", "test_accuracy", "held_out_accuracy", "train_loss"
    )
    names, widths = in_order(set(ste)), np.unique(bits)
    fig, (left, right) = figure(columns=2, height=4.2)
    panels = (
        (left, "test_best", 100 * (1 - best), 100 * best_sd, 100 * (1 - float_test[np.argmax(float_held_out)])),
        (right, "train_loss", loss, loss_sd, float_loss[-1]),
    )
    for ax, gid, mean, deviation, float_value in panels:
        for k, name in enumerate(names):
            label, colour, _, _ = estimator_style(name, k)
            rows = np.flatnonzero(ste == name)
            places = np.searchsorted(widths, bits[rows]) + (k - (len(names) - 1) / 2) * 0.8 / len(names)
            bars = ax.bar(
                places,
                mean[rows],
                0.72 / len(names),
                yerr=deviation[rows],
                color=colour,
                alpha=0.85,
                hatch=HATCHES[k % len(HATCHES)],
                edgecolor=BLACK,
                linewidth=0.8,
                capsize=4,
                label=label,
            )
            for bar, row in zip(bars, rows):
                bar.set_gid(f"summary/{gid}/{name}/{int(bits[row])}")
        ax.axhline(float_value, color=BLACK, linestyle=(0, (5, 2)), linewidth=1.2, label="float")
        ax.set_xticks(range(len(widths)), [f"{int(b)} bit{'s' if b > 1 else ''}" for b in widths])
        ax.grid(axis="x", visible=False)
        ax.set_xlabel("activations")
    left.set_ylabel("test error, best held-out epoch (%)")
    right.set_ylabel("training loss, last epoch (1)")
    fig.suptitle(f"LeNet-5 on MNIST, mean ± standard deviation over {int(seeds[0])} seeds", fontsize=10.5)
    left.set_ylim(top=1.3 * left.get_ylim()[1])
    left.legend(ncol=2, loc="upper left", handlelength=1.8)
    return fig


def curves(run):
    """Every run over its epochs: the loss it trains on, and the test error; one column for each number of bits."""
    ste, (bits, seed, epoch) = run.names("epochs", "ste"), run.table("epochs", "bits", "seed", "epoch")
    loss, test = run.table("epochs", "loss", "test_accuracy")
    widths = np.unique(bits)
    fig, axes = figure(columns=len(widths), rows=2, sharex=True, sharey="row", squeeze=False, height=6.2)
    for column, width in zip(axes.T, widths):
        for k, name in enumerate(in_order(set(ste))):
            label, colour, marker, dashes = estimator_style(name, k)
            for number in np.unique(seed):
                rows = (ste == name) & (bits == width) & (seed == number)
                for ax, values, quantity in ((column[0], loss, "loss"), (column[1], 100 * (1 - test), "test")):
                    (line,) = ax.plot(
                        epoch[rows],
                        values[rows],
                        color=colour,
                        linestyle=dashes,
                        marker=marker,
                        markersize=4,
                        markerfacecolor="white",
                        linewidth=1.1,
                        label=label if number == seed[0] else None,
                    )
                    line.set_gid(f"epochs/{quantity}/{name}/{int(width)}/{int(number)}")
        column[0].set_title(f"{int(width)} bit{'s' if width > 1 else ''}")
        column[0].set_yscale("log")
        column[1].set_xlabel("epoch of the fine-tuning")
        column[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0][0].set_ylabel("mean loss of the batches (1)")
    axes[1][0].set_ylabel("test error (%)")
    axes[1][0].legend(handlelength=3)
    return fig


FIGURES = {"comparison": comparison, "curves": curves}
