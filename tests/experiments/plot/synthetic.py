"""Writes logs with the layout of a real run and made-up numbers, for tests that must not wait for an experiment."""
import sys
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "experiments" / "plot"))


STES = ["identity", "relu", "clipped_relu"]
ENDS = ["global_minimum", "spurious_minimum", "saddle", "unsettled"]
LABELS = {"ste": STES, "end": ENDS}


def write_log(path, experiment, tables=None, series=None, inputs=None, schema="coarsegrad-run/1"):
    """tables: name -> column -> array; series: name -> (step, value); inputs: name -> array."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(
            {"schema": np.bytes_(schema), "experiment": np.bytes_(experiment), "status": np.bytes_("finished")}
        )
        for name, columns in (tables or {}).items():
            for column, values in columns.items():
                dataset = file.create_dataset(f"tables/{name}/{column}", data=values, maxshape=(None,), chunks=(64,))
                dataset.attrs.update({"unit": "1", "description": column})
                if column in LABELS:
                    dataset.attrs["labels"] = LABELS[column]
        for name, (step, value) in (series or {}).items():
            group = file.create_group(f"series/{name}")
            group.attrs.update({"unit": "1", "description": name})
            for column, values in (("step", step), ("wall_seconds", np.arange(len(step)) * 0.5), ("value", value)):
                group.create_dataset(column, data=values, maxshape=(None,), chunks=(64,))
        for name, values in (inputs or {}).items():
            file.create_dataset(f"inputs/{name}", data=values)
    return path


def estimator_table(rng, scale, closed_form=True, angles=25):
    """The columns of one estimator of coarse_gradient."""
    theta = np.linspace(0, np.pi, angles + 2)[1:-1]
    curves = {"correlation": scale * np.sin(theta), "norm": scale * np.cos(theta / 2), "loss": 0.2 + 0.1 * theta}
    table = {"theta": theta, "bound_ratio": scale * np.exp(theta) if closed_form else np.full(angles, np.nan)}
    for name, curve in curves.items():
        table[f"{name}_se"] = np.full(angles, 0.01 * scale)
        table[f"{name}_mc"] = curve + table[f"{name}_se"] * rng.standard_normal(angles)
        table[name] = curve if closed_form or name == "loss" else np.full(angles, np.nan)
    return table


def coarse_gradient_log(path):
    rng = np.random.default_rng(1)
    closed = {"identity": 0.4, "relu": 0.2, "clipped_relu": 0.12}
    sampled = {"tanh": 0.25, "sigmoid": 0.1, "leaky_relu": 0.22, "swish_sign": 0.3}
    tables = {name: estimator_table(rng, scale) for name, scale in closed.items()}
    tables |= {name: estimator_table(rng, scale, closed_form=False) for name, scale in sampled.items()}
    samples = np.tile([1e2, 1e3, 1e4, 1e5], 3)
    tables["sample_size"] = {
        "ste": np.repeat([0.0, 1, 2], 4),
        "samples": samples,
        "rms_error": 3 / np.sqrt(samples),
        "rms_error_se": 0.1 / np.sqrt(samples),
    }
    return write_log(path, "coarse_gradient", tables, inputs={"v": np.ones(4), "v_star": np.array([1, 0.6, -0.4, 0.5])})


def coarse_descent_log(path):
    rng = np.random.default_rng(2)
    tables = {}
    step = np.arange(0, 500, 10)
    for name in STES:
        rate = rng.uniform(0.005, 0.02, size=6)
        decay = np.exp(-np.outer(rate, step)).ravel()
        tables[name] = {
            "run": np.repeat(np.arange(6.0), len(step)),
            "step": np.tile(step, 6),
            "loss": decay,
            "theta": 3 * decay,
            "norm_w": 1 + decay,
            "distance_v": 2 * decay,
        }
        tables[f"{name}_runs"] = {
            "run": np.arange(6.0),
            "end": np.array([0.0, 0, 0, 1, 2, 3]),
            "monotone": np.array([1.0, 1, 1, 1, 0, 1]),
        }
    eta = np.linspace(0, 1, 51)
    sizes = np.array([10, 100, 1000, 20000])
    tables["one_step"] = {
        "samples": np.repeat(sizes, len(eta)),
        "eta": np.tile(eta, len(sizes)),
        "loss": np.concatenate([(eta - 0.6) ** 2 + rng.standard_normal(len(eta)) / n for n in sizes]),
    }
    tables["one_step_variation"] = {
        "samples": np.repeat(sizes, 5),
        "draw": np.tile(np.arange(5.0), len(sizes)),
        "excess_variation": np.concatenate([rng.uniform(0, 5 / n, 5) for n in sizes]),
    }
    return write_log(path, "coarse_descent", tables)


def spurious_minimum_log(path):
    step = np.arange(0, 400, 2)
    tables = {}
    for k, name in enumerate(STES):
        loss = np.where((step > 73) & (k == 0), 0.6, 0.289) * np.ones(len(step))
        theta = np.where((step > 73) & (k == 0), 0.05, 3.1) * np.ones(len(step))
        tables[name] = {
            "rescaled": np.repeat([0.0, 1.0], len(step)),
            "step": np.tile(step, 2),
            "loss": np.concatenate([loss, np.full(len(step), 0.289)]),
            "theta": np.concatenate([theta, np.full(len(step), 3.1)]),
            "norm_w": np.concatenate([np.abs(1 - step / 73), np.ones(len(step))]),
        }
    nan = np.nan
    tables["escape"] = {
        "ste": [0.0, 0, 0, 1, 2, 0],
        "rescaled": [0.0, 0, 0, 0, 0, 1],
        "eta": [0.05, 0.01, 0.05, 0.05, 0.05, 0.05],
        "norm_w0": [1.0, 1, 2, 1, 1, 1],
        "predicted_step": [72.3, 361.4, 144.6, nan, nan, nan],
        "escape_step": [73.0, 362, 145, nan, nan, nan],
        "predicted_jump": [0.307, 0.307, 0.307, nan, nan, nan],
        "jump": [0.3071, 0.3069, 0.3072, nan, nan, nan],
    }
    return write_log(path, "spurious_minimum", tables)


def mnist_ste_log(path):
    rng = np.random.default_rng(3)
    cells = [(ste, bits, seed) for seed in (1, 2, 3) for bits in (2, 4) for ste in (0, 1, 2)]
    epoch = np.arange(1.0, 6)
    columns = {
        "ste": [],
        "bits": [],
        "seed": [],
        "epoch": [],
        "loss": [],
        "held_out_accuracy": [],
        "test_accuracy": [],
        "train_loss": [],
    }
    for ste, bits, seed in cells:
        accuracy = 0.99 - 0.004 * (ste == 0) / bits - 0.002 / epoch + 3e-4 * rng.standard_normal(5)
        rows = {
            "ste": ste,
            "bits": bits,
            "seed": seed,
            "epoch": epoch,
            "held_out_accuracy": accuracy,
            "loss": (0.02 + 0.05 * (ste == 0)) / epoch / bits,
            "test_accuracy": accuracy - 1e-4,
            "train_loss": np.array([np.nan] * 4 + [0.004 * (1 + 3 * (ste == 0)) / bits]),
        }
        for name, values in rows.items():
            columns[name].extend(np.broadcast_to(values, 5))
    columns = {name: np.array(values, float) for name, values in columns.items()}
    pairs = [(ste, bits) for bits in (2, 4) for ste in (0, 1, 2)]
    last = columns["epoch"] == 5

    def over_seeds(column, reduce):
        return np.array(
            [reduce(columns[column][last & (columns["ste"] == s) & (columns["bits"] == b)]) for s, b in pairs]
        )

    summary = {
        "ste": np.array([s for s, _ in pairs], float),
        "bits": np.array([b for _, b in pairs], float),
        "seeds": np.full(6, 3.0),
    }
    for name, column in (("train_loss", "train_loss"), ("test_best", "test_accuracy"), ("test_last", "test_accuracy")):
        summary[f"{name}_mean"], summary[f"{name}_sd"] = over_seeds(column, np.mean), over_seeds(column, np.std)
    float_epochs = {
        "epoch": epoch,
        "loss": 0.1 / epoch,
        "held_out_accuracy": 0.992 - 0.01 / epoch,
        "test_accuracy": 0.9925 - 0.01 / epoch,
        "train_loss": np.array([np.nan] * 4 + [1e-3]),
    }
    return write_log(path, "mnist_ste", {"epochs": columns, "float_epochs": float_epochs, "summary": summary})
