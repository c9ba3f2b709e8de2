"""Figures of `mnist_ste`: LeNet-5 with quantized activations, one estimator against the other."""
from matplotlib.figure import Figure

from ..logs import Run
from . import comparison as compared

KIND = compared.by_bits(lambda run: "LeNet-5 on MNIST")


def comparison(run: Run) -> Figure:
    """The test error and the training loss of every variant."""
    return compared.bars(run, KIND)


def curves(run: Run) -> Figure:
    """The loss and the test error of every run over its epochs."""
    return compared.curves(run, KIND)


FIGURES = {"comparison": comparison, "curves": curves}
