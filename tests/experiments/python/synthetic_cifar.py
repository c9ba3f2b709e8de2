"""Logs of the CIFAR experiments with made-up numbers."""
import numpy as np

from synthetic import LABELS, STES, comparison_tables, ste_tables, write_log

CONFIG = {"net": "resnet20", "dataset": "cifar10", "lr": 0.1}
LAYERS = [f"activation{k}" for k in range(1, 20)]
RULES = ["binary_connect", "bcgd_1e-05"]


def train_log(path, held_out=True, config=CONFIG, epochs=8, level=0.9):
    rng = np.random.default_rng(5)
    step = np.arange(50 * epochs)
    progress = step / len(step)
    loss = 2.3 * np.exp(-3 * progress) + 0.05 + 0.1 * rng.random(len(step))
    rate = 0.4 * np.minimum(progress / 0.3, (1 - progress) / 0.7)
    epoch = np.arange(1.0, epochs + 1)
    unknown = np.full(epochs, np.nan)
    accuracy = level - 0.5 / epoch**1.5
    accuracy[-1] -= 0.01  # so that the best epoch is not the last one
    table = {
        "epoch": epoch,
        "loss": 2.3 * np.exp(-3 * epoch / epochs) + 0.1,
        "train_loss": np.append(unknown[1:], 0.12),
        "train_accuracy": np.append(unknown[1:], 0.96),
        "held_out_loss": 0.3 + 1.5 / epoch if held_out else unknown,
        "held_out_accuracy": accuracy if held_out else unknown,
        "test_loss": 0.32 + 1.5 / epoch,
        "test_accuracy": accuracy - 0.003,
    }
    return write_log(
        path, "train", {"epochs": table}, {"loss": (step, loss), "learning_rate": (step, rate)}, config=config
    )


def ste_cifar10_log(path):
    tables = ste_tables(seeds=1, level=0.91)
    tables["epochs"]["loss"] *= 10
    curve = np.arange(25.0, 1001, 25)
    epoch_ends = np.arange(0.0, 1001, 200)
    columns = {name: [] for name in ("ste", "bits", "step", "loss", "held_out_accuracy", "test_accuracy", "train_loss")}
    for k in range(len(STES)):
        growth = 1 + (k == 0) * np.sqrt(epoch_ends) / 8
        parts = (
            {"step": curve, "loss": 0.04 * (1 + (k == 0) * np.sqrt(curve) / 10) + 0.002 * np.sin(curve)},
            {
                "step": epoch_ends,
                "held_out_accuracy": 0.93 - 0.02 * growth,
                "test_accuracy": 0.92 - 0.02 * growth,
                "train_loss": 0.04 * growth,
            },
        )
        for part in parts:
            for name, values in columns.items():
                constant = {"ste": k, "bits": 4}.get(name, np.nan)
                values.extend(np.broadcast_to(part.get(name, constant), len(part["step"])))
    tables["instability"] = {name: np.array(values, float) for name, values in columns.items()}
    return write_log(
        path, "ste_cifar10", tables, config=CONFIG | {"instability-from": "clipped_relu", "instability-lr": 1e-5}
    )


def bcgd_cifar10_log(path):
    variants = [{"rule": rule, "weight_bits": 1, "activation_bits": 4} for rule in (0, 1)]
    tables = comparison_tables(variants, lambda v: v["rule"] == 0, seeds=2, level=0.89)
    tables["epochs"]["loss"] *= 10
    return write_log(path, "bcgd_cifar10", tables, config=CONFIG, labels={"rule": RULES})


def compare_methods_log(path):
    methods = ["binary_connect", "bcgd", "lbw_net"]
    variants = [
        {"method": m, "weight_bits": w, "activation_bits": a}
        for m, w, a in ((0, 1, 0), (1, 1, 4), (1, 4, 4), (1, 0, 4), (2, 2, 0), (2, 4, 0))
    ]
    tables = comparison_tables(variants, lambda v: v["weight_bits"] == 1, seeds=3, level=0.9)
    rows = np.arange(float(len(variants)))
    tables["summary"] |= {
        "images_per_second": 1000 + 10 * rows,
        "deployed_bytes": 4096 * (1 + rows),
        "stages": 1 + 0 * rows,
    }
    return write_log(path, "compare_methods", tables, config=CONFIG | {"epochs": 5}, labels={"method": methods})


def ste_diagnostics_log(path):
    rng = np.random.default_rng(6)
    columns = {
        name: []
        for name in (
            "ste",
            "bits",
            "layer",
            "epoch",
            "cosine_to_clipped",
            "cosine_to_descent",
            "gradient_norm",
            "active_share",
        )
    }
    for k in range(len(STES)):
        for layer in range(len(LAYERS)):
            for epoch in range(1, 11):
                depth = 1 - layer / len(LAYERS)  # how far the gradient has come when it is here
                noise = 0.02 * rng.standard_normal()
                row = {
                    "ste": k,
                    "bits": 2,
                    "layer": layer,
                    "epoch": epoch,
                    "cosine_to_clipped": 1.0 if k == 2 else 1 - (2 - k) * 0.45 * depth + noise,
                    "cosine_to_descent": 0.5 - 0.25 * (2 - k) * depth + noise if epoch % 5 == 0 else np.nan,
                    "gradient_norm": 10 ** ((2 - k) * 1.5 * depth - 2 - epoch / 20 + noise),
                    "active_share": 0.5 - 0.1 * (2 - k) * depth + noise,
                }
                for name, values in columns.items():
                    values.append(row[name])
    columns = {name: np.array(values, float) for name, values in columns.items()}
    return write_log(
        path, "ste_diagnostics", {"diagnostics": columns}, config=CONFIG, labels=LABELS | {"layer": LAYERS}
    )
