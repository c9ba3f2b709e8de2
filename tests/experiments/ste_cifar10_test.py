"""ste_cifar10 on drawn images: the float control, the search of rates, and where estimators go from a minimum."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

from check_log import check_log, open_log, status, tables_of

MAIN = pathlib.Path(os.environ["BIN"]) / "ste_cifar10"
FLAGS = {
    "--dataset": "drawn_shapes",
    "--images": 140,
    "--held-out": 20,
    "--batch": 20,
    "--width": 4,
    "--float-epochs": 2,
    "--epochs": 2,
    "--ste": "identity,clipped_relu",
    "--threads": 1,
}
INSTABILITY = {"--instability": 2, "--instability-seeds": 2, "--instability-batches": 3, "--loss-window": 3}
EQUAL = 2  # the control's number among the labels


class SteCifar10(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = pathlib.Path(self.folder.name) / "run.h5"

    def run_main(self, changes, code=0):
        flags = FLAGS | {"--out": self.out} | changes
        words = []
        for flag, value in flags.items():  # a switch is True, False takes a flag away
            if value is not False:
                words += [flag] if value is True else [flag, str(value)]
        done = subprocess.run([MAIN, "--quiet", *words], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def tables(self):
        check_log(self.out)
        with open_log(self.out) as file:
            self.assertEqual(status(file), "finished")
            return {name: {c: data[:] for c, data in group.items()} for name, group in tables_of(file).items()}

    def cell(self, name):
        return pathlib.Path(f"{self.out}.cells") / name

    def test_the_float_net_is_trained_on_as_the_variants_are(self):
        said = self.run_main({"--seeds": 2})
        tables = self.tables()
        summary, epochs = tables["summary"], tables["epochs"]
        self.assertEqual(list(zip(summary["ste"], summary["bits"])), [(2, 0), (0, 2), (1, 2), (0, 4), (1, 4)])
        self.assertEqual(sum(epochs["ste"] == 2), 2 * 2)  # seeds, epochs
        self.assertIn("float-control-seed1: resnet20; weights float; activations float", said)
        self.assertEqual(json.loads(self.out.with_suffix(".json").read_text())["cells"][0]["ste"], "float")
        self.assertNotIn("search", tables)
        self.assertEqual(len(tables["instability"]["step"]), 0)
        # Without it the others are the same.
        self.run_main({"--seeds": 2, "--no-float-control": True})  # from the same cells
        without = self.tables()["summary"]
        for column, values in without.items():
            np.testing.assert_array_equal(values, summary[column][1:], column)

    def test_the_float_net_and_its_control_may_end(self):
        said = self.run_main({"--seeds": 1, "--bits": 2, "--float-end": 1.5})
        self.assertIn("float: resnet20; weights float; activations clipped_relu, end 1.5", said)
        self.assertIn("float-control-seed1: resnet20; weights float; activations clipped_relu, end 1.5", said)
        net = self.cell("float.safetensors")
        self.out = self.out.with_name("again.h5")
        wrong = self.run_main({"--float-net": net, "--float-epochs": False}, code=2)
        self.assertIn("float-end: given 0, expected 1.5", wrong)
        self.assertIn("float-end: given 1e-05, expected 0 or at least", self.run_main({"--float-end": 1e-5}, code=2))

    def test_every_estimator_has_its_rate(self):
        self.run_main({"--seeds": 1, "--bits": 2, "--rate-factors": "0.1,1", "--search-epochs": 1})
        tables = self.tables()
        search, summary = tables["search"], tables["summary"]
        self.assertEqual(search["ste"].tolist(), [0, 0, 1, 1, 2, 2])
        self.assertEqual(search["bits"].tolist(), [2, 2, 2, 2, 0, 0])
        for ste, lr in zip(summary["ste"], summary["lr"]):
            (chosen,) = np.flatnonzero((search["ste"] == ste) & (search["chosen"] == 1))
            self.assertEqual(lr, search["lr"][chosen])
            self.assertEqual(
                search["held_out_accuracy"][chosen], max(search["held_out_accuracy"][search["ste"] == ste])
            )

    def test_each_estimator_goes_on_at_all_bits_and_the_control_by_steps_as_long(self):
        said = self.run_main(INSTABILITY)
        table, lengths = self.tables()["instability"], self.tables()["instability_lengths"]
        self.assertIn("goes on with", said)
        self.assertEqual(
            set(zip(table["ste"], table["bits"], table["seed"])),
            {(ste, bits, seed) for ste in (0, 1, EQUAL) for bits in (2, 4) for seed in (1, 2)},
        )
        for bits in (2, 4):
            here = lengths["bits"] == bits
            self.assertEqual(lengths["layer"][here].tolist(), list(range(21)))  # the network and its layers
            np.testing.assert_array_equal(lengths["ratio"], lengths["identity"] / lengths["own"])
            whole = lengths["ratio"][here][0]
            self.assertGreater(whole, 1)
            control = (table["ste"] == EQUAL) & (table["bits"] == bits)
            np.testing.assert_allclose(table["lr"][control], 1e-5 * whole, rtol=1e-12)
            starts = table["train_loss"][(table["bits"] == bits) & (table["step"] == 0)]
            self.assertEqual(len(set(starts)), 1)  # one minimum
        self.assertEqual(set(table["lr"][table["ste"] != EQUAL]), {1e-5})
        one = (table["ste"] == 0) & (table["bits"] == 2) & (table["seed"] == 1)
        self.assertEqual(table["step"][one].tolist(), [0, 3, 6, 6, 9, 12, 12])
        self.assertTrue(all(np.isfinite(table["train_loss"][np.isnan(table["loss"])])))
        two = one | ((table["ste"] == 0) & (table["bits"] == 2) & (table["seed"] == 2))
        last = table["loss"][two & (table["step"] == 3)]
        self.assertNotEqual(last[0], last[1])  # seeds differ

    def test_the_minima_may_come_from_files_and_nothing_else_is_trained(self):
        self.run_main({"--seeds": 1} | INSTABILITY)
        own = self.tables()
        nets = [self.cell(f"clipped_relu-{bits}bit-seed1.last.safetensors") for bits in (2, 4)]
        self.out = self.out.with_name("files.h5")
        from_files = {"--seeds": 0, "--instability-nets": ",".join(map(str, nets)), "--float-epochs": False}
        self.run_main(INSTABILITY | from_files)
        tables = self.tables()
        self.assertEqual(len(tables["epochs"]["epoch"]), 0)
        for name in ("instability", "instability_lengths"):
            for column, values in own[name].items():
                self.assertEqual(tables[name][column].tobytes(), values.tobytes(), (name, column))
        swapped = {"--instability-nets": ",".join(map(str, nets[::-1]))}
        for text, changes in (
            ("with uniform, 4 bits, expected uniform, 2 bits", INSTABILITY | from_files | swapped),
            ("given 1, expected one for each", INSTABILITY | from_files | {"--instability-nets": nets[0]}),
            ("seeds: given 0, expected more", {"--seeds": 0}),
            ("instability-from: given relu, expected one of --ste", INSTABILITY | {"--instability-from": "relu"}),
            ("held out by seed", INSTABILITY | from_files | {"--held-out": 30}),
        ):
            self.out = self.out.with_name("wrong.h5")
            self.assertIn(text, self.run_main(changes, code=2))
            self.assertFalse(self.out.exists())


if __name__ == "__main__":
    unittest.main()
