"""Figures of `mnist_ste`: LeNet-5 with quantized activations, one estimator against the other."""
import comparison as compared

KIND = compared.by_bits(lambda run: "LeNet-5 on MNIST")


def comparison(run):
    return compared.bars(run, KIND)


def curves(run):
    return compared.curves(run, KIND)


FIGURES = {"comparison": comparison, "curves": curves}
