"""The figures of the CIFAR experiments show what was logged, also while not everything is there yet."""
import unittest

import numpy as np

import synthetic
import synthetic_cifar
from coarsegrad import LogError, read_run
from coarsegrad.figures import bcgd_cifar10, compare_methods, figures_of, ste_cifar10, ste_diagnostics, train
from figures_test import FigureTest, drawn


def heights(fig):
    """gid -> height of every bar."""
    return {bar.get_gid(): bar.get_height() for ax in fig.axes for bar in ax.patches}


class TrainTest(FigureTest):
    def test_steps_and_epochs_are_drawn(self):
        run = read_run(synthetic_cifar.train_log(self.folder / "run.h5"))
        lines = drawn(train.curves(run))
        table = run.tables["epochs"]
        for name in ("loss", "learning_rate"):
            np.testing.assert_array_equal(lines[f"series/{name}"][0], run.series[name]["step"])
            np.testing.assert_array_equal(lines[f"series/{name}"][1], run.series[name]["value"])
        x, y = lines["series/loss/mean"]
        self.assertAlmostEqual(y[0], np.mean(run.series["loss"]["value"][:40]))
        self.assertAlmostEqual(x[-1], np.mean(run.series["loss"]["step"][-40:]))
        for part in ("", "held_out_", "test_"):
            np.testing.assert_array_equal(lines[f"epochs/{part}loss"], (table["epoch"], table[f"{part}loss"]))
        for part in ("held_out_", "test_"):
            np.testing.assert_array_equal(lines[f"epochs/{part}accuracy"][1], 100 * (1 - table[f"{part}accuracy"]))
        np.testing.assert_array_equal(lines["epochs/train_loss"], ([8], [0.12]))

    def test_the_star_is_at_the_best_held_out_epoch(self):
        run = read_run(synthetic_cifar.train_log(self.folder / "run.h5"))
        (star,) = [line for ax in train.curves(run).axes for line in ax.get_lines() if line.get_marker() == "*"]
        table = run.tables["epochs"]
        best = np.argmax(table["held_out_accuracy"])
        self.assertEqual(best, 6)
        np.testing.assert_array_equal(star.get_data(), ([7], [100 * (1 - table["test_accuracy"][best])]))

    def test_several_trainings_are_drawn_over_each_other(self):
        paths = [self.folder / f"{name}.h5" for name in ("a", "b", "c")]
        for rate, path in zip((0.1, 0.2, 0.2), paths):
            config = {"net": "resnet20", "dataset": "cifar10", "lr": rate, "threads": rate}
            synthetic_cifar.train_log(path, config=config, level=1 - rate)
        runs = [read_run(path) for path in paths]
        fig = train.curves(*runs)
        lines = drawn(fig)
        for run in runs:
            table = run.tables["epochs"]
            x, y = lines[f"{run.path}:series/loss/mean"]
            self.assertAlmostEqual(y[0], np.mean(run.series["loss"]["value"][:40]))
            x, y = lines[f"{run.path}:series/learning_rate"]
            np.testing.assert_array_equal(y, run.series["learning_rate"]["value"])
            for part in ("", "held_out_", "test_"):
                shown = lines[f"{run.path}:epochs/{part}loss"]
                np.testing.assert_array_equal(shown, (table["epoch"], table[f"{part}loss"]))
            shown = lines[f"{run.path}:epochs/test_accuracy"]
            np.testing.assert_array_equal(shown, (table["epoch"], 100 * (1 - table["test_accuracy"])))
        self.assertEqual(len(lines), 3 * 9)
        losses, errors = fig.axes[1], fig.axes[3]
        labels = [text.get_text() for text in losses.get_legend().get_texts()]
        self.assertEqual(labels, ["a (lr 0.1)", "b (lr 0.2)", "c (lr 0.2)"])
        parts = [text.get_text() for text in errors.get_legend().get_texts()]
        self.assertEqual(parts, ["batches, training mode", "trained on", "held out", "test"])
        looks = {(line.get_marker(), line._unscaled_dash_pattern) for line in errors.get_lines()}
        self.assertEqual(len(looks), 3 * 3)  # legible without colours
        self.assertEqual(fig._suptitle.get_text(), "ResNet-20 on CIFAR-10, 3 runs")

    def test_a_run_that_has_not_begun_is_named_beside_the_others(self):
        runs = [read_run(synthetic_cifar.train_log(self.folder / name)) for name in ("a.h5", "b.h5")]
        for name in ("loss", "learning_rate"):
            runs[1].series[name] = {column: values[:0] for column, values in runs[1].series[name].items()}
        fig = train.curves(*runs)
        self.assertFalse([gid for gid in drawn(fig) if "b.h5" in gid])
        labels = [text.get_text() for text in fig.axes[1].get_legend().get_texts()]
        self.assertEqual(labels, ["a", "b (no step yet)"])
        with self.assertRaisesRegex(LogError, "no series loss with values yet"):
            train.curves(runs[1], runs[1])

    def test_a_training_without_held_out_images_or_without_an_epoch_yet(self):
        run = read_run(synthetic_cifar.train_log(self.folder / "run.h5", held_out=False))
        self.assertNotIn("epochs/held_out_loss", drawn(train.curves(run)))
        run.tables["epochs"] = {name: column[:0] for name, column in run.tables["epochs"].items()}
        self.assertEqual(set(drawn(train.curves(run))), {"series/loss", "series/loss/mean", "series/learning_rate"})
        run.series.clear()
        with self.assertRaisesRegex(LogError, "no series loss with values yet"):
            train.curves(run)


class ComparisonTest(FigureTest):
    def test_ste_cifar10(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        summary, epochs = run.tables["summary"], run.tables["epochs"]
        bars = heights(ste_cifar10.comparison(run))
        self.assertEqual(len(bars), 12)
        lines = drawn(ste_cifar10.curves(run))
        self.assertEqual(len(lines), 12)
        for row, (ste, bits) in enumerate(zip(summary["ste"], summary["bits"])):
            name = f"{synthetic.STES[int(ste)]}/{int(bits)}"
            self.assertEqual(bars[f"summary/test_best/{name}"], 100 * (1 - summary["test_best_mean"][row]))
            self.assertEqual(bars[f"summary/train_loss/{name}"], summary["train_loss_mean"][row])
            rows = (epochs["ste"] == ste) & (epochs["bits"] == bits)
            np.testing.assert_array_equal(lines[f"epochs/loss/{name}/1"], (epochs["epoch"][rows], epochs["loss"][rows]))
            np.testing.assert_array_equal(lines[f"epochs/test/{name}/1"][1], 100 * (1 - epochs["test_accuracy"][rows]))

    def test_instability(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        table = run.tables["instability"]
        fig = ste_cifar10.instability(run)
        self.assertIn("4 bits: from the minimum of clipped ReLU on, learning rate 1e-05", fig._suptitle.get_text())
        lines = drawn(fig)
        self.assertEqual(len(lines), 9)
        for k, name in enumerate(synthetic.STES):
            for column in ("loss", "train_loss", "test_accuracy"):
                rows = (table["ste"] == k) & np.isfinite(table[column])
                values = table[column][rows]
                expected = 100 * (1 - values) if column == "test_accuracy" else values
                self.assertGreater(len(values), 5)
                np.testing.assert_array_equal(lines[f"instability/{column}/{name}"], (table["step"][rows], expected))

    def test_bcgd_cifar10(self):
        run = read_run(synthetic_cifar.bcgd_cifar10_log(self.folder / "run.h5"))
        fig = bcgd_cifar10.comparison(run)
        bars, summary = heights(fig), run.tables["summary"]
        self.assertEqual(len(bars), 4)
        for row, rule in enumerate(synthetic_cifar.RULES):
            self.assertEqual(bars[f"summary/train_loss/{rule}/1W4A"], summary["train_loss_mean"][row])
        labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
        self.assertEqual(labels, ["float", "BinaryConnect", "BCGD, ρ = 1e-05"])
        self.assertEqual(len(drawn(bcgd_cifar10.curves(run))), 8)  # 2 rules, 2 seeds, 2 quantities

    def test_compare_methods(self):
        run = read_run(synthetic_cifar.compare_methods_log(self.folder / "run.h5"))
        table = run.tables["summary"]
        fig = compare_methods.accuracy(run)
        series = {gid: line for gid, line in drawn(fig).items() if gid.startswith("summary/")}
        self.assertEqual(
            set(series),
            {f"summary/test_best/{name}" for name in ("binary_connect/float", "lbw_net/float", "bcgd/quantized")},
        )
        for name, rows in (("lbw_net/float", [4, 5]), ("bcgd/quantized", [1, 2, 3])):
            x, y = series[f"summary/test_best/{name}"]
            np.testing.assert_array_equal(y, 100 * table["test_best_mean"][rows])
            self.assertTrue(np.all(np.diff(x) == 1))
        # In the order of the bits, float last.
        ticks = [[tick.get_text() for tick in ax.get_xticklabels()] for ax in fig.axes]
        self.assertEqual(ticks, [["1W", "2W", "4W"], ["1W4A", "4W4A", "4A"]])
        table["test_best_mean"][:] = [0.1, np.nan, 0.9, 0.9, 0.9, 0.9]
        texts = [[text.get_text() for text in ax.texts] for ax in compare_methods.accuracy(run).axes]
        self.assertEqual(texts, [["binary connect 10 %"], ["bcgd diverged"]])
        lines = drawn(compare_methods.cost(run))
        np.testing.assert_array_equal(lines["summary/size/lbw_net"], ([20, 24], 100 * table["test_best_mean"][[4, 5]]))
        np.testing.assert_array_equal(lines["summary/speed/bcgd"][0], [1030, 1010, 1020])

    def test_a_cell_that_diverged_says_so(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        run.tables["summary"]["train_loss_mean"][0] = np.nan
        texts = [[text.get_text() for text in ax.texts] for ax in ste_cifar10.comparison(run).axes]
        self.assertEqual(texts, [[], [" diverged"]])


class DiagnosticsTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.run_log = read_run(synthetic_cifar.ste_diagnostics_log(self.folder / "run.h5"))
        self.table = self.run_log.tables["diagnostics"]

    def test_maps(self):
        fig = ste_diagnostics.maps(self.run_log)
        meshes = {mesh.get_gid(): mesh for ax in fig.axes for mesh in ax.collections if mesh.get_gid()}
        self.assertEqual(len(meshes), 4 * 3)
        for k, name in enumerate(synthetic.STES):
            for quantity in ste_diagnostics.QUANTITIES:
                rows = self.table["ste"] == k
                order = np.lexsort((self.table["epoch"][rows], self.table["layer"][rows]))
                expected = self.table[quantity][rows][order]
                shown = meshes[f"diagnostics/{quantity}/{name}/2"].get_array()
                np.testing.assert_array_equal(np.ma.filled(shown, np.nan).ravel(), expected)
        scales = [mesh.norm for gid, mesh in meshes.items() if "gradient_norm" in gid]
        self.assertEqual(len({(scale.vmin, scale.vmax) for scale in scales}), 1)  # panels can be compared

    def test_depth_shows_the_last_measurement(self):
        lines = drawn(ste_diagnostics.depth(self.run_log))
        self.assertEqual(len(lines), 4 * 3)
        for k, name in enumerate(synthetic.STES):
            for quantity in ste_diagnostics.QUANTITIES:
                rows = (self.table["ste"] == k) & (self.table["epoch"] == 10)
                gid = f"diagnostics/{quantity}/{name}/2/last"
                np.testing.assert_array_equal(lines[gid], (self.table["layer"][rows], self.table[quantity][rows]))

    def test_a_quantity_that_was_never_measured_is_left_out(self):
        self.table["cosine_to_descent"][:] = np.nan
        ste_diagnostics.maps(self.run_log)
        self.assertEqual(len(drawn(ste_diagnostics.depth(self.run_log))), 3 * 3)


class ModuleTest(FigureTest):
    def test_every_experiment_has_its_module(self):
        for module in (train, ste_cifar10, bcgd_cifar10, compare_methods, ste_diagnostics):
            name = module.__name__.rpartition(".")[2]
            path = getattr(synthetic_cifar, f"{name}_log")(self.folder / "run.h5")
            self.assertIs(figures_of(read_run(path)), module.FIGURES)


if __name__ == "__main__":
    unittest.main()
