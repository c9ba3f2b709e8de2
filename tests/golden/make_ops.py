#!/usr/bin/env python3
"""Writes ops.json: values and gradients of ops as PyTorch computes them, in double.

    python3 tests/golden/make_ops.py        (PyTorch 1.13, Debian's python3-torch)

Images go from N C H W to N H W C and weights of convolutions from O I kh kw to O kh kw I on the way out.
Inputs are multiples of 1/64, so that they are the same numbers in float and in double.
"""
import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def grid(*shape, scale=2.0, low=None):
    """Random multiples of 1/64, about as large as N(0, scale^2), all different from each other per tensor."""
    n = int(torch.tensor(shape).prod())
    steps = torch.randperm(n) - n // 2
    x = torch.round(steps * (64 * 4 * scale / max(n, 1))) / 64
    if low is not None:
        x = x - x.min() + low
    return x.reshape(shape)


def channels_last(t):
    return t.permute(0, 2, 3, 1).contiguous() if t.dim() == 4 else t


def stored(t):
    t = channels_last(t.detach())
    return {"shape": list(t.shape), "values": t.flatten().tolist()}


def case(op, f, inputs, options=None, state=None):
    """One entry: f(*inputs) and, with a gradient `seed` at its output, the gradient of every input. `state`
    are tensors that f changes in place (running statistics): stored before and after."""
    before = {name: stored(t) for name, t in (state or {}).items()}
    leaves = [t.clone().requires_grad_() for t in inputs]
    y = f(*leaves)
    seed = grid(*y.shape, scale=1.0) if y.dim() else torch.tensor(1.0)
    y.backward(seed)
    return {
        "op": op,
        "options": options or {},
        "inputs": [stored(t) for t in inputs],
        "seed": stored(seed),
        "output": stored(y),
        "gradients": [stored(t.grad) for t in leaves],
        "before": before,
        "after": {name: stored(t) for name, t in (state or {}).items()},
    }


def conv_cases():
    for x, w, o in [
        ((2, 3, 5, 4), (2, 3, 3, 3), dict(stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1)),
        ((1, 2, 5, 6), (3, 2, 3, 3), dict(stride=[2, 1], padding=[1, 2], dilation=[1, 1], groups=1)),
        ((1, 2, 7, 6), (2, 2, 3, 2), dict(stride=[1, 2], padding=[1, 0], dilation=[2, 3], groups=1)),
        ((2, 4, 4, 3), (6, 2, 2, 2), dict(stride=[1, 1], padding=[1, 1], dilation=[1, 1], groups=2)),
        ((1, 3, 4, 5), (3, 1, 3, 3), dict(stride=[2, 2], padding=[1, 1], dilation=[1, 1], groups=3)),
        ((2, 3, 3, 3), (4, 3, 1, 1), dict(stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1)),
    ]:
        yield case("conv2d", lambda a, b, c: F.conv2d(a, b, c, **o), [grid(*x), grid(*w, scale=0.5), grid(w[0])], o)


def pool_cases():
    for shape, o in [
        ((2, 3, 4, 6), dict(kernel=[2, 2], stride=[2, 2], padding=[0, 0])),
        ((1, 2, 5, 6), dict(kernel=[3, 3], stride=[2, 2], padding=[1, 1])),
        ((1, 2, 6, 5), dict(kernel=[3, 2], stride=[1, 2], padding=[0, 1])),
    ]:
        arguments = (o["kernel"], o["stride"], o["padding"])
        yield case("max_pool2d", lambda x: F.max_pool2d(x, *arguments), [grid(*shape)], o)
        yield case("avg_pool2d", lambda x: F.avg_pool2d(x, *arguments), [grid(*shape)], o)


def norm_cases():
    for shape in [(7, 3), (2, 3, 3, 4)]:
        for affine in (False, True):
            for training in (True, False):
                o = dict(eps=1e-5, momentum=0.1, training=training)
                state = {"mean": grid(3), "var": grid(3, low=0.5)}
                parts = [grid(*shape), grid(3), grid(3)][: 3 if affine else 1]

                def norm(x, weight=None, bias=None):
                    return F.batch_norm(x, state["mean"], state["var"], weight, bias, **o)

                yield case("batch_norm", norm, parts, o, state)


def loss_cases():
    labels = torch.tensor([2, 0, 3, 1, 2])
    yield case("log_softmax", lambda x: F.log_softmax(x, 1), [grid(4, 5, scale=3.0)])
    for smoothing in (0.0, 0.1):
        o = dict(label_smoothing=smoothing, labels=labels.tolist())
        yield case(
            "cross_entropy",
            lambda x: F.cross_entropy(x, labels, label_smoothing=smoothing),
            [grid(5, 4, scale=3.0)],
            o,
        )
    yield case("mse_loss", F.mse_loss, [grid(3, 4), grid(3, 4)])


def main():
    cases = [case("linear", F.linear, [grid(4, 5), grid(3, 5, scale=0.5), grid(3)])]
    for group in (conv_cases, pool_cases, norm_cases, loss_cases):
        cases += list(group())
    text = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    path = pathlib.Path(__file__).with_name("ops.json")
    path.write_text(f'{{"made_by":"make_ops.py","torch":"{torch.__version__}","cases":[\n{text}\n]}}\n')
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
