"""One assembly: a cell of compare_methods is what train trains by the name of its method."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["BIN"])
DATA = ["--dataset", "drawn_digits", "--images", 192, "--held-out", 32, "--net", "lenet5", "--quiet"]
STEPS = ["--batch", 8, "--epochs", 1, "--schedule", "cosine", "--weight-decay", 1e-4]  # 20 of them
LR, ADAM_LR = 0.02, 1e-3
# Epochs that the schedule of a method is made for, which a comparison stretches to its budget.
MADE_FOR = {"binary_relax": 200, "prox_quant": 300}


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


ONE_BIT = ["binary_connect", "prox_quant", "bwn", "xnor_net", "bnn", "bop"]
TWO_BITS = ["ste", "bcgd", "binary_relax", "twn", "dorefa", "telcnn", "pact", "lsq", "statquant", "lbw_net", "aqe"]


class Cells(unittest.TestCase):
    def test_a_cell_is_what_train_trains(self):
        rows = re.search(r"--method VALUE .*?one of (.*?) \(default", " ".join(run(BIN / "train", "--help").split()))
        self.assertEqual(set(rows.group(1).split(", ")), {"own", "float", *ONE_BIT, *TWO_BITS})
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for bits, methods in ((1, ONE_BIT), (2, TWO_BITS)):
                out = folder / f"{bits}.h5"
                flags = [
                    *("--methods", ",".join(methods), "--bits", bits, "--no-own-bits", "--layers", "own", "--lr", LR),
                    *("--seeds", 1, "--float-epochs", 1, "--speed-rounds", 0, "--out", out),
                ]
                flags += ["--bop-lr", ADAM_LR] if "bop" in methods else []
                run(BIN / "compare_methods", *DATA, *STEPS, *flags)
                cells = folder / f"{bits}.h5.cells"
                for method in methods:
                    with self.subTest(method):
                        self.compare(method, cells, folder / "t.h5")

    def compare(self, method, cells, out):
        """The only cell of a method, and `train` from the same float network."""
        (cell,) = cells.glob(f"{method}-*-seed1.last.safetensors")
        weights, activations = re.search(r"-(\d+)w(\d+)a-", cell.name).groups()
        parts = [] if weights == "0" else ["--weights.bits", weights]
        parts += [] if activations == "0" else ["--activations.bits", activations]
        parts += ["--relaxation.every", 1 / MADE_FOR[method]] if method in MADE_FOR else []
        parts += ["--lr", ADAM_LR if method == "bop" else LR, "--init", cells / "float.safetensors", "--out", out]
        run(BIN / "train", *DATA, *STEPS, "--method", method, *parts)
        self.assertEqual(weights_of(out.with_suffix(".last.safetensors")), weights_of(cell))
        for left in out.parent.glob("t.*"):
            left.unlink()


def weights_of(path):
    """What the file holds behind its header."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


if __name__ == "__main__":
    unittest.main()
