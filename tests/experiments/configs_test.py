"""Every configuration in experiments/configs is accepted by its main, resolves to what it says, and starts on drawn
images."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import h5py

from check_log import check_log, open_log, status

BIN = pathlib.Path(os.environ["BIN"])
SANITIZED = os.environ["SANITIZED"] == "1"
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "configs"
MAINS = ["train", "compare_methods", "mnist_ste", "ste_cifar10", "bcgd_cifar10", "fast_cifar10", "ste_diagnostics"]
# The number of steps, images and channels; everything else is as in the file.
TRAIN = {"--images": 20, "--held-out": 4, "--batch": 8, "--epochs": 1}
SWEEP = {"--seeds": 1, "--float-epochs": 1}
SMALLER = {
    "train": TRAIN,
    "compare_methods": TRAIN | SWEEP | {"--methods": "bcgd,dorefa"},
    "bcgd_cifar10": TRAIN | SWEEP,
    "fast_cifar10": TRAIN | {"--dataset": "drawn_shapes", "--held-out": 0, "--seeds": 1, "--width": 4},
    "ste_cifar10": TRAIN | SWEEP | {"--instability": 1, "--instability-batches": 1},
    "ste_diagnostics": TRAIN | {"--float-epochs": 1, "--probe": 8, "--directions": 1, "--every": 1},
    "mnist_ste": SWEEP | {"--digits": "drawn", "--images": 100, "--held-out": 80, "--batch": 10, "--epochs": 1},
}


def files():
    return sorted(CONFIGS.rglob("*.json"))


def main_of(path):
    """The file name begins with its main."""
    return next(main for main in MAINS if path.name.startswith(main + "_"))


def one_of_each_kind():
    """Of each folder, main and network the first one."""
    kinds = {(path.parent, main_of(path), json.loads(path.read_text()).get("net")): path for path in reversed(files())}
    return sorted(kinds.values())


def said(resolved, wanted):
    """Of a resolved part what a configuration says of it: its name, or some of its options."""
    if isinstance(resolved, dict):
        return {key: resolved[key] for key in wanted} if isinstance(wanted, dict) else resolved["name"]
    return resolved


class Configs(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_config(self, path, changes):
        log = os.path.join(self.folder.name, "x.h5")
        flags = {"--config": path, "--out": log} | changes
        command = [BIN / main_of(path), "--quiet", *(str(word) for flag in flags.items() for word in flag)]
        return log, subprocess.run(command, capture_output=True, text=True, check=False)

    def test_each_starts(self):
        started = one_of_each_kind() if SANITIZED else files()
        if SANITIZED:
            print(f"skipped: {len(files()) - len(started)} configurations that differ in numbers, under sanitizers")
        for path in started:
            with self.subTest(str(path.relative_to(CONFIGS))):
                self.setUp()
                wanted = json.loads(path.read_text())
                self.assertGreater(len(wanted.pop("comment")), 40)
                changes = dict(SMALLER[main_of(path)])
                if "search-epochs" in wanted:
                    changes["--search-epochs"] = 1
                if "net" in wanted:
                    changes |= {
                        "--dataset": "drawn_digits" if wanted["net"] == "lenet5" else "drawn_shapes",
                        "--width": 0 if wanted["net"] == "lenet5" else 8,
                    }
                log, done = self.run_config(path, changes)
                self.assertEqual(done.returncode, 0, done.stderr)
                check_log(log)
                with open_log(log) as file:
                    self.assertEqual(status(file), "finished")
                    resolved = json.loads(file.attrs["config"])
                for key, value in wanted.items():
                    if "--" + key not in changes:
                        self.assertEqual(said(resolved[key], value), value, key)
        print(f"{len(files())} configurations")
        self.assertGreater(len(files()), 20)

    def test_what_is_wrong_is_one_line(self):
        whole = json.loads((CONFIGS / "paper-bcgd" / "train_resnet20_1w4a.json").read_text())
        path = pathlib.Path(self.folder.name) / "train_x.json"
        for change, text in [
            ({"learning-rate": 0.1}, "unknown key 'learning-rate'"),
            ({"lr": "fast"}, 'lr: given "fast"'),
            ({"lr": "3"}, 'lr: given "3"'),
            ({"lr": None}, "lr: given null"),
            ({"epochs": 0}, "expected an integer from 1"),
            ({"epochs": 1.5}, "expected an integer"),
            ({"batch": -1}, "expected an integer"),
            ({"activations": {"name": "trained", "bits": 33}}, "from 1 to 8"),
            ({"net": "resnet21"}, "resnet20"),
            ({"activations": {"name": "uniform", "surrogate": "sgn"}}, "clipped_relu"),
            ({"activations": {"name": "trained", "alpha-rule": "best"}}, "three_valued"),
            ({"milestones": [80, "x"]}, "milestones"),
            ({"milestones": [140, 80]}, "ascending"),
            ({"comment": 3}, "unknown key 'comment'"),
            ({"relaxation": {"name": "blend", "rho": 2}}, "relaxation: rho: given 2, expected a number from 0 to 1"),
            ({"weights": "nothing"}, "lloyd"),
            ({"weights": {"bits": 3}}, "lloyd"),
            ({"weights": {"name": "binary", "bits": 3}}, "weights: bits: given 3, expected 1"),
            ({"weights": {"name": "twn", "steps": 3}}, "weights: options: given 'steps'"),
            ({"weights": {"name": "twn", "bits": {}}}, "nested too deep"),
            ({"weights.bits": 3}, 'expected weights: {"name": ..., "bits": ...}'),
            ({"layers": ["conv1"]}, "expected LAYER: SETTING"),
            ({"activations": {"name": "trained", "surrogate": "relu"}}, "given 'surrogate'"),
            ({"nesterov": True, "momentum": 0}, "nesterov"),
            ({"warmup-epochs": 1000}, "warmup-epochs"),
        ]:
            with self.subTest(change):
                path.write_text(json.dumps(whole | {"dataset": "drawn_shapes", "images": 200} | change))
                log, done = self.run_config(path, {})
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(text, done.stderr)
                self.assertEqual(os.listdir(self.folder.name), [path.name])


if __name__ == "__main__":
    unittest.main()
