"""compare_methods on drawn digits: what it logs, and going on where it was broken off."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import numpy as np

from check_log import check_log, open_log, status, tables_of

MAIN = os.environ["COMPARE_METHODS"]
FLAGS = {
    "--dataset": "drawn_digits",
    "--images": 160,
    "--held-out": 40,
    "--batch": 20,
    "--epochs": 3,
    "--float-epochs": 1,
    "--seeds": 2,
    "--methods": "bcgd,binary_relax,telcnn,lsq",
    "--bits": 2,
}


class CompareMethods(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def command(self, name, changes={}):
        flags = FLAGS | {"--out": os.path.join(self.folder.name, name)} | changes
        return [MAIN, "--quiet", *(str(word) for flag in flags.items() for word in flag)]

    def whole(self, name, changes={}):
        done = subprocess.run(self.command(name, changes), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        log = os.path.join(self.folder.name, name)
        check_log(log)
        with open_log(log) as file:
            self.assertEqual(status(file), "finished")
            return {
                table: {column: data[:] for column, data in group.items()} for table, group in tables_of(file).items()
            }, done.stdout

    def test_table_and_going_on(self):
        tables, shown = self.whole("whole.h5")
        summary = tables["summary"]
        variants = list(zip(summary["method"], summary["weight_bits"], summary["activation_bits"]))
        # bcgd at 1W4A and at the paper's others, binary_relax at 1 and 2 bits, telcnn at 2 and 4, lsq at 2, 3 and 4
        self.assertEqual(
            sorted(variants),
            [
                (0, 0, 4),
                (0, 1, 4),
                (0, 2, 2),
                (0, 2, 4),
                (0, 4, 4),
                (1, 1, 0),
                (1, 2, 0),
                (2, 2, 2),
                (2, 4, 4),
                (3, 2, 2),
                (3, 3, 3),
                (3, 4, 4),
            ],
        )
        self.assertTrue(all(summary["seeds"] == 2))
        size = dict(zip(variants, summary["deployed_bytes"]))
        self.assertLess(size[0, 1, 4], size[0, 2, 4])
        self.assertLess(size[0, 2, 4], size[0, 4, 4])
        self.assertLess(size[0, 4, 4], size[0, 0, 4] / 5)
        self.assertTrue(all(0 < summary["slowest"]) and all(summary["slowest"] <= summary["images_per_second"]))
        self.assertTrue(all(summary["images_per_second"] <= summary["fastest"]))
        # The last stage of telcnn is one epoch: what earlier ones reached with more bits is not its best.
        telcnn = summary["method"] == 2
        self.assertEqual(summary["test_best_mean"][telcnn].tolist(), summary["test_last_mean"][telcnn].tolist())
        stages = dict(zip(variants, summary["stages"]))
        self.assertEqual((stages[0, 1, 4], stages[2, 2, 2], stages[2, 4, 4]), (1, 9, 7))
        self.assertIn("telcnn", shown)
        rows = tables["epochs"]["method"]
        self.assertEqual(sum(rows == 1), 2 * 2 * 3)  # seeds, bits, epochs
        # The same command, stopped in the middle, gives the same tables but for the clock's.
        process = subprocess.Popen(self.command("broken.h5"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        cells = pathlib.Path(self.folder.name) / "broken.h5.cells"
        while process.poll() is None and len(list(cells.glob("*.json"))) < 6:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        again, _ = self.whole("broken.h5")
        for table, columns in tables.items():
            for column, values in columns.items():
                if column not in ("images_per_second", "slowest", "fastest"):
                    self.assertEqual(again[table][column].tobytes(), values.tobytes(), (table, column))
        # Another seed more, and one method less, are other cells of the same sweep; another budget is not.
        fewer, _ = self.whole("broken.h5", {"--methods": "lsq", "--seeds": 1, "--speed-rounds": 0})
        self.assertEqual(len(fewer["summary"]["method"]), 3)
        self.assertTrue(all(np.isnan(fewer["summary"]["images_per_second"])))
        refused = subprocess.run(
            self.command("broken.h5", {"--epochs": 4}), capture_output=True, text=True, check=False
        )
        self.assertEqual(refused.returncode, 2)
        self.assertIn("epochs = 3, given 4", refused.stderr)
        self.assertIn(
            "bcgd", json.loads((pathlib.Path(self.folder.name) / "whole.json").read_text())["config"]["methods"]
        )

    def test_an_unknown_method_lists_the_known_ones(self):
        done = subprocess.run(
            self.command("x.h5", {"--methods": "bcgd,nonsense"}), capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 2)
        for name in ("dorefa", "telcnn", "statquant", "bop"):
            self.assertIn(name, done.stderr)


if __name__ == "__main__":
    unittest.main()
