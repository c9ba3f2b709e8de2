"""The summary of a comparison as a table, its intervals, and the tables of the pages of results."""
import contextlib
import io
import math
import tempfile
import unittest
from pathlib import Path

import numpy as np

import synthetic
import synthetic_cifar
from coarsegrad import LogError, read_run
from coarsegrad.result_table import differences, main, markdown
from coarsegrad.statistics import difference_half_width, half_width, student_t_95

RESULTS = synthetic.EXPERIMENTS / "results"
PAGES = {  # logs -> the page whose tables are their summaries
    "mnist_ste/mnist_ste.h5": "mnist_ste/README.md",
    "cifar10/ste_cifar10.h5": "cifar10/README.md",
    "cifar10/bcgd_cifar10.h5": "cifar10/README.md",
    "compare_methods/compare_methods_mnist.h5": "compare_methods/README.md",
    "compare_methods/compare_methods_cifar10.h5": "compare_methods/README.md",
    "compare_methods/compare_methods_cifar10_preresnet.h5": "compare_methods/README.md",
}
LEFT_OUT = "tanh_sums"  # a row of the logs that is no method of this project


class DifferenceOfMeans(unittest.TestCase):
    def test_two_samples_of_one_deviation_have_the_degrees_of_freedom_of_both(self):
        self.assertAlmostEqual(difference_half_width(0.3, 5, 0.3, 5), student_t_95(8) * 0.3 * math.sqrt(2 / 5))

    def test_a_sample_without_spread_adds_nothing(self):
        self.assertAlmostEqual(difference_half_width(0.3, 3, 0, 3), half_width(0.3, 3))

    def test_degrees_of_freedom_are_rounded_down(self):
        # a = 4/3, b = 1/4: (a + b)^2 / (a^2 / 2 + b^2 / 3) = 2.76
        self.assertAlmostEqual(difference_half_width(2, 3, 1, 4), student_t_95(2) * math.sqrt(4 / 3 + 1 / 4))

    def test_one_run_has_no_interval_and_equal_runs_one_of_width_zero(self):
        self.assertTrue(math.isnan(difference_half_width(np.nan, 1, 0.3, 3)))
        self.assertTrue(math.isnan(difference_half_width(np.nan, 3, 0.3, 3)))
        self.assertEqual(difference_half_width(0, 3, 0, 3), 0)

    def test_it_holds_the_true_difference_in_95_of_100_cases(self):
        draws = np.random.default_rng(1).standard_normal((4000, 2, 3)) * np.array([[1], [3]])
        mean, deviation = draws.mean(axis=2), draws.std(axis=2, ddof=1)
        held = [abs(m[0] - m[1]) <= difference_half_width(d[0], 3, d[1], 3) for m, d in zip(mean, deviation)]
        self.assertGreater(np.mean(held), 0.94)
        self.assertLess(np.mean(held), 0.99)


class Tables(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def log(self, name, **options):
        return read_run(getattr(synthetic_cifar, f"{name}_log")(self.folder / f"{name}.h5", **options))

    def test_every_mean_has_half_the_width_of_its_interval_and_its_number_of_runs(self):
        run = self.log("ste_cifar10")
        table = run.tables["summary"]
        lines = markdown(run).splitlines()
        heading = "| ste | bits | n | test %, best held-out epoch | test %, last epoch | training loss |"
        self.assertEqual(lines[:2], [heading, "| --- | --- | --- | --- | --- | --- |"])
        self.assertEqual(len(lines), 3 + len(table["bits"]))
        (row,) = np.flatnonzero((table["ste"] == 1) & (table["bits"] == 4))
        numbers = [100, 100, 1]
        best, last, loss = (
            (unit * table[f"{name}_mean"][row], unit * table[f"{name}_half_width"][row])
            for unit, name in zip(numbers, ("test_best", "test_last", "train_loss"))
        )
        expected = f"| `relu` | 4A | 3 | {best[0]:.2f} ± {best[1]:.2f} | {last[0]:.2f} ± {last[1]:.2f} | "
        self.assertIn(f"{expected}{loss[0]:.5f} ± {loss[1]:.5f} |", lines)
        start = run.tables["float_epochs"]
        self.assertEqual(lines[2], f"| float start |  | 1 | {100 * start['test_accuracy'][-1]:.2f} |  | 0.00100 |")

    def test_one_run_has_no_interval_and_what_diverged_says_so(self):
        run = self.log("compare_methods", seeds=1)
        run.tables["summary"]["test_best_mean"][6] = np.nan
        run.tables["summary"]["images_per_second"][6] = np.nan
        text = markdown(run)
        self.assertNotIn("±", text)
        self.assertIn("| `pact` | 2W2A | 1 | diverged | ", text)
        self.assertTrue(text.endswith(" | 28.0 |  |"))
        self.assertIn(" | 8.0 | 1,010 (910 to 1,110) |", text)

    def test_differences_are_those_at_the_same_bits(self):
        run = self.log("ste_cifar10")
        table = run.tables["summary"]
        lines = differences(run, "clipped_relu").splitlines()
        self.assertEqual(
            [line.split(" | ")[:3] for line in lines[2:]],
            [[f"| `{name}`", bits, "3, 3"] for bits in ("2A", "4A") for name in ("identity", "relu")],
        )
        one, other = ((table["ste"] == k) & (table["bits"] == 2) for k in (0, 2))
        mean = 100 * (table["test_best_mean"][one] - table["test_best_mean"][other])[0]
        deviations = (table["test_best_sd"][rows][0] for rows in (one, other))
        half = 100 * difference_half_width(next(deviations), 3, next(deviations), 3)
        self.assertEqual(lines[2].split(" | ")[3], f"{mean:+.2f} ± {half:.2f}")
        with self.assertRaisesRegex(LogError, "no ste tanh .there are: .*relu"):
            differences(run, "tanh")

    def test_the_command(self):
        path = synthetic_cifar.bcgd_cifar10_log(self.folder / "run.h5")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            self.assertEqual(main([str(path)]), 0)
            self.assertEqual(main([str(path), "--against", "binary_connect"]), 0)
        expected = markdown(read_run(path)) + "\n" + differences(read_run(path), "binary_connect") + "\n"
        self.assertEqual(said.getvalue(), expected)
        other = synthetic_cifar.train_log(self.folder / "train.h5")
        for arguments, message in (
            ([str(other)], "no summary of a comparison"),
            ([str(path), "--against", "x"], "no rule x"),
        ):
            with contextlib.redirect_stderr(io.StringIO()) as failure:
                self.assertEqual(main(arguments), 1)
            self.assertRegex(failure.getvalue(), f"^result_table: .*{message}.*\n$")
        with contextlib.redirect_stderr(io.StringIO()) as failure, self.assertRaises(SystemExit) as end:
            main([])
        self.assertEqual(end.exception.code, 2)
        self.assertRegex(failure.getvalue(), "^result_table: .*FILE.h5\n$")


class Pages(unittest.TestCase):
    def test_the_tables_of_the_pages_are_what_the_logs_give(self):
        for log, page in PAGES.items():
            table = markdown(read_run(RESULTS / log))
            shown = "\n".join(line for line in table.splitlines() if not line.startswith(f"| `{LEFT_OUT}` |"))
            self.assertIn(f"\n{shown}\n", (RESULTS / page).read_text(), log)


if __name__ == "__main__":
    unittest.main()
