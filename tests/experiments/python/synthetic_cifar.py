"""Logs of the CIFAR experiments with made-up numbers."""
import numpy as np

from synthetic import LABELS, STES, comparison_tables, search_table, ste_tables, write_log

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


def instability_table(seeds):
    """Three estimators and the control from one minimum, at 2 and 4 bits."""
    rng = np.random.default_rng(8)
    curve = np.arange(25.0, 1001, 25)
    epoch_ends = np.arange(0.0, 1001, 200)
    rows = []
    for bits in (2, 4):
        for ste in range(4):
            worse = {0: 1.0, 1: 0.2, 2: 0.0, 3: 0.1}[ste] * 4 / bits
            for seed in range(1, seeds + 1):
                noise = 1 + 0.02 * rng.standard_normal()
                same = {"ste": ste, "bits": bits, "seed": seed, "lr": 9e-4 if ste == 3 else 1e-5}
                for step in curve:
                    loss = 0.04 * (1 + worse * np.sqrt(step) / 10) * noise + 0.002 * np.sin(step)
                    rows.append(same | {"step": step, "loss": loss})
                for step in epoch_ends:
                    growth = (1 + worse * np.sqrt(step) / 8) * noise
                    rows.append(
                        same
                        | {
                            "step": step,
                            "held_out_accuracy": 0.93 - 0.02 * growth,
                            "test_accuracy": 0.92 - 0.02 * growth,
                            "train_loss": 0.04 * growth,
                        }
                    )
    columns = (*same, "step", "loss", "held_out_accuracy", "test_accuracy", "train_loss")
    return {name: np.array([row.get(name, np.nan) for row in rows], float) for name in columns}


def ste_cifar10_log(path, seeds=3):
    """With a float control, a search of rates and the instability with its control."""
    tables = ste_tables(control=True, seeds=seeds, level=0.91)
    tables["epochs"]["loss"] *= 10
    variants = [{"ste": ste, "bits": bits} for bits in (2, 4) for ste in (0, 1, 2)] + [{"ste": 3, "bits": 0}]
    tables["search"] = search_table(
        variants, lambda v: (3 - v["ste"]) ** 2 / 9 / max(v["bits"], 1), (1e-3, 1e-2, 1e-1, 1.0), (0.0, 1e-3)
    )
    tables["instability"] = instability_table(seeds)
    labels = {"ste": [*STES, "float"], "instability/ste": [*STES, "clipped_relu_equal_length"]}
    config = {"instability": 5, "instability-from": "clipped_relu", "instability-lr": 1e-5, "search-epochs": 10}
    return write_log(path, "ste_cifar10", tables, config=CONFIG | config, labels=labels)


def bcgd_cifar10_log(path):
    variants = [{"rule": rule, "weight_bits": 1, "activation_bits": 4} for rule in (0, 1)]
    tables = comparison_tables(variants, lambda v: v["rule"] == 0, seeds=2, level=0.89)
    tables["epochs"]["loss"] *= 10
    return write_log(path, "bcgd_cifar10", tables, config=CONFIG, labels={"rule": RULES})


METHODS = ["binary_connect", "bcgd", "lbw_net", "pact", "float"]


def compare_methods_log(path, seeds=3):
    """1W and 2W2A have two methods each, the other bits one; the float control is the last method."""
    variants = [
        {"method": m, "weight_bits": w, "activation_bits": a}
        for m, w, a in ((4, 0, 0), (0, 1, 0), (2, 1, 0), (2, 4, 0), (1, 0, 4), (1, 2, 2), (3, 2, 2))
    ]

    def quality(variant):
        return 0 if variant["method"] == 4 else 1 + (variant["method"] == 2) - (variant["method"] == 3)

    tables = comparison_tables(variants, quality, seeds=seeds, level=0.9)
    rows = np.arange(float(len(variants)))
    tables["summary"] |= {
        "images_per_second": 1000 + 10 * rows,
        "slowest": 900 + 10 * rows,
        "fastest": 1100 + 10 * rows,
        "deployed_bytes": 4096 * (1 + rows),
        "stages": 1 + 0 * rows,
    }
    tables["search"] = search_table(variants, quality, (0.03, 0.1, 0.3), (1e-4,))
    config = CONFIG | {"epochs": 5, "search-epochs": 2}
    return write_log(path, "compare_methods", tables, config=config, labels={"method": METHODS})


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
