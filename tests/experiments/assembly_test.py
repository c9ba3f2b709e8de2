"""One assembly: a cell of compare_methods is what train trains by the name of its method."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["BIN"])
DATA = ["--dataset", "drawn_digits", "--images", 192, "--held-out", 32, "--net", "lenet5", "--quiet"]
STEPS = ["--batch", 8, "--epochs", 1, "--schedule", "cosine", "--weight-decay", 1e-4, "--momentum", 0.9]  # 20 of them
LR, ADAM_LR = 0.02, 1e-3
# Epochs that the schedule of a method is made for, which a comparison stretches to its budget.
MADE_FOR = {"binary_relax": 200, "prox_quant": 300}


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Cells(unittest.TestCase):
    def test_a_cell_is_what_train_trains(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            said = run(
                BIN / "compare_methods", *DATA, *STEPS, "--lr", LR, "--bop-lr", ADAM_LR, "--seeds", 1, "--bits", 0,
                "--layers", "own", "--float-epochs", 1, "--speed-rounds", 0, "--out", folder / "c.h5"
            )  # fmt: skip
            cells = folder / "c.h5.cells"
            own = {}  # the first cell of each method has the fewest bits
            for method in re.findall(r"(?m)^(\w+)-\d+w\d+a-seed1: ", said):
                own.setdefault(method, []).append(method)
            self.assertEqual(len(own), 16)
            for method in own:
                with self.subTest(method):
                    for cell in sorted(cells.glob(f"{method}-*w*a-seed1.last.safetensors")):
                        weights, activations = re.search(r"-(\d+)w(\d+)a-", cell.name).groups()
                        bits = [
                            *(["--weights.bits", weights] if weights != "0" else ["--weights", "none"]),
                            *(["--activations.bits", activations] if activations != "0" else ["--activations", "relu"]),
                        ]
                        if method in MADE_FOR:
                            bits += ["--relaxation.every", 1 / MADE_FOR[method]]
                        run(
                            BIN / "train", *DATA, *STEPS, "--lr", ADAM_LR if method == "bop" else LR, "--method", method,
                            *bits, "--init", cells / "float.safetensors", "--out", folder / "t.h5"
                        )  # fmt: skip
                        self.assertEqual(weights_of(folder / "t.last.safetensors"), weights_of(cell), cell.name)
                        for left in folder.glob("t.*"):
                            left.unlink()


def weights_of(path):
    """What the file holds behind its header."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


if __name__ == "__main__":
    unittest.main()
