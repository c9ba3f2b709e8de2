"""Writes logs with the layout of a real run and made-up numbers, for tests that must not wait for an experiment."""
import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
sys.path.insert(0, str(EXPERIMENTS / "python"))
# For another process that finds the package in the source tree and leaves nothing there.
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(EXPERIMENTS / "python"), PYTHONDONTWRITEBYTECODE="1")

STES = ["identity", "relu", "clipped_relu"]
ENDS = ["global_minimum", "spurious_minimum", "saddle", "unsettled"]
LABELS = {"ste": STES, "end": ENDS}
T = {1: np.nan, 2: 12.70620473617471, 3: 4.302652729911275}  # Student's t of that many values, 95 %


def write_log(
    path, experiment, tables=None, series=None, inputs=None, schema="coarsegrad-run/1", config=None, labels=LABELS
):
    """tables: name -> column -> array; series: name -> (step, value); inputs: name -> array; config: setting -> value;
    labels: column, or table/column -> names that it indexes."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(
            {
                "schema": np.bytes_(schema),
                "experiment": np.bytes_(experiment),
                "status": np.bytes_("finished"),
                "git_commit": "unknown",
            }
        )
        file.attrs["config"] = json.dumps(config or {})
        for name, columns in (tables or {}).items():
            for column, values in columns.items():
                dataset = file.create_dataset(f"tables/{name}/{column}", data=values, maxshape=(None,), chunks=(64,))
                dataset.attrs.update({"unit": "1", "description": column})
                if known := labels.get(f"{name}/{column}", labels.get(column)):
                    dataset.attrs["labels"] = known
        for name, (step, value) in (series or {}).items():
            group = file.create_group(f"series/{name}")
            group.attrs.update({"unit": "1", "description": name})
            for column, values in (("step", step), ("wall_seconds", np.arange(len(step)) * 0.5), ("value", value)):
                group.create_dataset(column, data=values, maxshape=(None,), chunks=(64,))
        for name, values in (inputs or {}).items():
            file.create_dataset(f"inputs/{name}", data=values)
    return path


def estimator_table(rng, scale, known=True, angles=25):
    """The columns of one estimator of coarse_gradient."""
    theta = np.linspace(0, np.pi, angles + 2)[1:-1]
    curves = {"correlation": scale * np.sin(theta), "norm": scale * np.cos(theta / 2), "loss": 0.2 + 0.1 * theta}
    table = {"theta": theta, "bound_ratio": scale * np.exp(theta) if known else np.full(angles, np.nan)}
    for name, curve in curves.items():
        table[f"{name}_se"] = np.full(angles, 0.01 * scale)
        table[f"{name}_mc"] = curve + table[f"{name}_se"] * rng.standard_normal(angles)
        table[name] = curve if known or name == "loss" else np.full(angles, np.nan)
    return table


def coarse_gradient_log(path):
    rng = np.random.default_rng(1)
    known = {"identity": 0.4, "relu": 0.2, "clipped_relu": 0.12, "tanh": 0.25, "sigmoid": 0.1, "leaky_relu": 0.22}
    tables = {name: estimator_table(rng, scale) for name, scale in known.items()}
    tables["swish_sign"] = estimator_table(rng, 0.3, known=False)  # as a log of 0.1 has it
    samples = np.tile([1e2, 1e3, 1e4, 1e5], 3)
    tables["sample_size"] = {
        "ste": np.repeat([0.0, 1, 2], 4),
        "samples": samples,
        "rms_error": 3 / np.sqrt(samples),
        "rms_error_se": 0.1 / np.sqrt(samples),
    }
    return write_log(path, "coarse_gradient", tables, inputs={"v": np.ones(4), "v_star": np.array([1, 0.6, -0.4, 0.5])})


def theorem2_tables(rng, lengths=(1.0, 5.0), runs=3, steps=40):
    """Runs from starts that fulfil the conditions of Theorem 2; the first one of the identity leaves them at length 5."""
    cells = [(ste, length, run) for ste in range(3) for length in lengths for run in range(runs)]
    left = [ste == 0 and length == 5 and run == 0 for ste, length, run in cells]
    step = np.arange(0.0, 10 * steps, 10)
    keys = {name: np.array([cell[k] for cell in cells], float) for k, name in enumerate(("ste", "norm_w0", "run"))}
    decay = np.array([np.exp(-rng.uniform(0.005, 0.02) * step) for _ in cells])
    path = {name: np.repeat(values, steps) for name, values in keys.items()} | {
        "step": np.tile(step, len(cells)),
        "cross": (1.77 - decay).ravel(),
        "theta": (np.where(left, 2.0, 1.4)[:, None] * decay).ravel(),
        "slack": decay.ravel(),
    }
    ends = keys | {
        "end": np.array([3.0 * is_left for is_left in left]),
        "kept": np.array([float(not is_left) for is_left in left]),
        "monotone": np.array([float(not is_left) for is_left in left]),
    }
    return {"theorem2": path, "theorem2_runs": ends}


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
    tables |= theorem2_tables(rng)
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


def comparison_tables(variants, quality, seeds=3, epochs=5, level=0.99):
    """The tables of a comparison. variants: one dict of key columns each; quality: variant -> how much it
    loses, 0 for the best."""
    rng = np.random.default_rng(3)
    epoch = np.arange(1.0, epochs + 1)
    unknown = [np.nan] * (epochs - 1)
    cells = []
    for seed in range(1, seeds + 1):
        for variant in variants:
            worse = quality(variant)
            accuracy = level - 0.004 * worse - (1 - level) / 5 / epoch + 3e-4 * rng.standard_normal(epochs)
            cells.append(
                variant
                | {
                    "seed": seed,
                    "epoch": epoch,
                    "loss": (0.02 + 0.05 * worse) / epoch,
                    "held_out_accuracy": accuracy,
                    "test_accuracy": accuracy - 1e-4,
                    "train_loss": np.array(unknown + [0.002 * (1 + 3 * worse) * (1 + 0.1 * rng.random())]),
                }
            )
    table = {
        column: np.concatenate([np.broadcast_to(np.asarray(cell[column], float), epochs) for cell in cells])
        for column in cells[0]
    }
    summary = {column: np.array([variant[column] for variant in variants], float) for column in variants[0]}
    summary["seeds"] = np.full(len(variants), float(seeds))
    for name, column in (("train_loss", "train_loss"), ("test_best", "test_accuracy"), ("test_last", "test_accuracy")):
        last = [[cell[column][-1] for cell in cells if variant.items() <= cell.items()] for variant in variants]
        deviation = np.std(last, axis=1, ddof=1) if seeds > 1 else np.full(len(variants), np.nan)
        summary[f"{name}_mean"], summary[f"{name}_sd"] = np.mean(last, axis=1), deviation
        summary[f"{name}_half_width"] = T[seeds] * deviation / np.sqrt(seeds)
    float_epochs = {
        "epoch": epoch,
        "loss": 0.1 / epoch,
        "held_out_accuracy": level + 0.002 - 0.01 / epoch,
        "test_accuracy": level + 0.0025 - 0.01 / epoch,
        "train_loss": np.array(unknown + [1e-3]),
    }
    return {"epochs": table, "float_epochs": float_epochs, "summary": summary}


def ste_tables(control=False, **options):
    """Three estimators at 2 and 4 bits, and maybe the float control."""
    variants = [{"ste": 3, "bits": 0}] if control else []
    variants += [{"ste": ste, "bits": bits} for bits in (2, 4) for ste in (0, 1, 2)]
    return comparison_tables(variants, lambda v: (v["ste"] == 0) / v["bits"] if v["bits"] else -0.1, **options)


def search_table(variants, quality, rates, decays, level=0.9):
    """A search of rates and decays: the variant `quality` names loses most at rates far from 0.1; the largest rate makes
    the first variant diverge."""
    rows = []
    for number, variant in enumerate(variants):
        trials = []
        for rate in rates:
            for decay in decays:
                accuracy = level - 0.1 * quality(variant) - 0.03 * np.log10(rate / 0.1) ** 2 - 10 * decay
                if number == 0 and rate == max(rates):
                    accuracy = np.nan
                trials.append(
                    variant
                    | {
                        "lr": rate,
                        "weight_decay": decay,
                        "held_out_accuracy": accuracy,
                        "test_accuracy": accuracy - 0.005,
                        "chosen": 0.0,
                    }
                )
        trials[int(np.nanargmax([trial["held_out_accuracy"] for trial in trials]))]["chosen"] = 1.0
        rows += trials
    return {column: np.array([row[column] for row in rows], float) for column in rows[0]}


def mnist_ste_log(path):
    return write_log(path, "mnist_ste", ste_tables())
