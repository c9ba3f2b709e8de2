#!/usr/bin/python3
"""Writes optim.json: what PyTorch's optimizers, schedules and clipping do, step by step.

Needs PyTorch (Debian: python3-torch); run once, and again when a case is added:
    tests/golden/make_optim.py > tests/golden/optim.json
Gradients are given, not computed, so that each step is compared by itself. Two parameters: "w" is in the group with the
full rate and weight decay, "alpha" in one with rate factor 0.1 and no decay, and alpha has no gradient in some steps.
"""
import json
import warnings

import torch

STEPS = 8
NO_ALPHA_GRADIENT = (0, 4)
RATE_FACTOR = 0.1

torch.manual_seed(1)
START = {"w": torch.randn(5, dtype=torch.float64), "alpha": torch.randn(2, dtype=torch.float64)}
# Rounded to float, so that both precisions get the same numbers.
START = {name: value.float().double() for name, value in START.items()}
GRADIENTS = [{name: torch.randn(value.shape).double() for name, value in START.items()} for _ in range(STEPS)]

OPTIMIZERS = {
    "sgd": ("SGD", dict(lr=0.1)),
    "sgd weight decay": ("SGD", dict(lr=0.1, weight_decay=0.01)),
    "sgd momentum": ("SGD", dict(lr=0.05, momentum=0.9)),
    "sgd momentum weight decay": ("SGD", dict(lr=0.05, momentum=0.9, weight_decay=0.01)),
    "sgd nesterov": ("SGD", dict(lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.001)),
    "adam": ("Adam", dict(lr=0.01)),
    "adam weight decay": ("Adam", dict(lr=0.02, weight_decay=0.1)),
    "adam betas": ("Adam", dict(lr=0.01, betas=(0.5, 0.9), eps=0.1)),
}


def numbers(tensor):
    return [float(v) for v in tensor.flatten()]


def trajectory(kind, options, dtype):
    """The parameters after each step. The rate is halved after half of the steps, as a schedule would."""
    params = {name: value.to(dtype, copy=True).requires_grad_() for name, value in START.items()}
    groups = [
        {"params": [params["w"]]},
        {"params": [params["alpha"]], "lr": options["lr"] * RATE_FACTOR, "weight_decay": 0},
    ]
    optimizer = getattr(torch.optim, kind)(groups, **options)
    rows = []
    for step in range(STEPS):
        if step == STEPS // 2:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
        for name, param in params.items():
            missing = name == "alpha" and step in NO_ALPHA_GRADIENT
            param.grad = None if missing else GRADIENTS[step][name].to(dtype, copy=True)
        optimizer.step()
        rows.append({name: numbers(param.detach()) for name, param in params.items()})
    return rows


def rates(steps, lr, make):
    """The learning rate in steps 0, 1, ... under the scheduler that make(optimizer) returns."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    result = []
    for _ in range(steps):
        result.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return result


def schedules():
    s = torch.optim.lr_scheduler
    return {
        "constant": rates(5, 0.3, lambda o: s.LambdaLR(o, lambda _: 1)),
        "step": rates(12, 0.3, lambda o: s.StepLR(o, 4, 0.1)),
        "multi_step": rates(12, 0.3, lambda o: s.MultiStepLR(o, [3, 4, 9], 0.2)),
        "cosine": rates(11, 0.3, lambda o: s.CosineAnnealingLR(o, 10, 0.01)),
        "one_cycle": rates(
            19,
            0.3,
            lambda o: s.OneCycleLR(
                o, 0.5, 20, pct_start=0.3, div_factor=10, final_div_factor=100, cycle_momentum=False
            ),
        ),
        "warmup": rates(12, 0.3, lambda o: s.SequentialLR(o, [s.LinearLR(o, 0.25, 1, 4), s.StepLR(o, 3, 0.5)], [4])),
    }


def clipping(dtype, clip):
    params = [value.to(dtype, copy=True).requires_grad_() for value in START.values()]
    for param, gradient in zip(params, GRADIENTS[0].values()):
        param.grad = gradient.to(dtype, copy=True)
    norm = clip(params)
    return {"norm": None if norm is None else float(norm), "gradients": [numbers(p.grad) for p in params]}


def pretty(value, indent=0):
    """JSON with one row of numbers per line."""
    pad = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {pretty(item, indent + 1)}" for key, item in value.items()]
        return "{" + pad + ("," + pad).join(items) + "}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "[" + pad + ("," + pad).join(pretty(item, indent + 1) for item in value) + "]"
    return json.dumps(value)


def main():
    warnings.filterwarnings("ignore")
    utils = torch.nn.utils
    cases = {
        "norm 0.5": lambda p: utils.clip_grad_norm_(p, 0.5),
        "norm 100": lambda p: utils.clip_grad_norm_(p, 100),
        "value 0.3": lambda p: utils.clip_grad_value_(p, 0.3),
    }
    dtypes = {"float": torch.float32, "double": torch.float64}
    golden = {
        "pytorch": torch.__version__,
        "start": {name: numbers(value) for name, value in START.items()},
        "gradients": [{name: numbers(value) for name, value in row.items()} for row in GRADIENTS],
        "no_alpha_gradient": NO_ALPHA_GRADIENT,
        "rate_factor": RATE_FACTOR,
        "optimizers": {
            name: {"options": options, **{t: trajectory(kind, options, dtype) for t, dtype in dtypes.items()}}
            for name, (kind, options) in OPTIMIZERS.items()
        },
        "schedules": schedules(),
        "clipping": {name: {t: clipping(dtype, clip) for t, dtype in dtypes.items()} for name, clip in cases.items()},
    }
    print(pretty(golden))


if __name__ == "__main__":
    main()
