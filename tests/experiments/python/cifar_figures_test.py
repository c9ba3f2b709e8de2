"""The figures of the CIFAR experiments show what was logged, also while not everything is there yet."""
import json
import unittest

import numpy as np

import synthetic
import synthetic_cifar
from coarsegrad import LogError, read_run
from coarsegrad.figures import bcgd_cifar10, compare_methods, figures_of, ste_cifar10, ste_diagnostics, train
from figures_test import FigureTest, drawn


def heights(fig):
    """gid -> height of every bar."""
    return {bar.get_gid(): bar.get_height() for ax in fig.axes for bar in ax.patches if bar.get_gid()}


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
        fig = ste_cifar10.comparison(run)
        bars = heights(fig)
        lines = drawn(ste_cifar10.curves(run))
        self.assertEqual(
            len(lines), (2 * 3 + 2) * 3 * 2
        )  # (bits * STEs + the control beside both) * seeds * quantities
        for row, (ste, bits) in enumerate(zip(summary["ste"], summary["bits"])):
            if bits == 0:
                continue
            name = f"{synthetic.STES[int(ste)]}/{int(bits)}"
            self.assertEqual(bars[f"summary/test_best/{name}"], 100 * (1 - summary["test_best_mean"][row]))
            self.assertEqual(bars[f"summary/train_loss/{name}"], summary["train_loss_mean"][row])
            rows = (epochs["ste"] == ste) & (epochs["bits"] == bits) & (epochs["seed"] == 2)
            np.testing.assert_array_equal(lines[f"epochs/loss/{name}/2"], (epochs["epoch"][rows], epochs["loss"][rows]))
            np.testing.assert_array_equal(lines[f"epochs/test/{name}/2"][1], 100 * (1 - epochs["test_accuracy"][rows]))
        rows = (epochs["ste"] == 3) & (epochs["seed"] == 3)
        for bits in (2, 4):
            np.testing.assert_array_equal(lines[f"epochs/loss/float/{bits}/3"][1], epochs["loss"][rows])

    def test_the_float_control_is_a_line_with_its_interval(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        summary = run.tables["summary"]
        for ax, quantity, shown in zip(
            ste_cifar10.comparison(run).axes, ("test_best", "train_loss"), (lambda x: 100 * (1 - x), lambda x: x)
        ):
            mean, half = summary[f"{quantity}_mean"][0], summary[f"{quantity}_half_width"][0]
            lines = {line.get_gid(): line.get_ydata() for line in ax.get_lines() if line.get_gid()}
            self.assertEqual(lines[f"summary/{quantity}/float"][0], shown(mean))
            (band,) = [patch for patch in ax.patches if patch.get_gid() is None]
            ends = np.sort(np.unique(band.get_xy()[:, 1]))
            np.testing.assert_allclose(ends, np.sort([shown(mean - half), shown(mean + half)]))
        single = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "one.h5", seeds=1))
        fig = ste_cifar10.comparison(single)
        self.assertIn("one run each (n = 1), no interval", fig._suptitle.get_text())
        self.assertEqual([patch for ax in fig.axes for patch in ax.patches if patch.get_gid() is None], [])

    def test_the_search_shows_the_best_decay_at_each_rate(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        table = run.tables["search"]
        fig = ste_cifar10.search(run)
        lines = {gid: line for gid, line in drawn(fig).items() if gid.startswith("search/")}
        self.assertEqual(len(lines), 2 * 2 * 4)  # bits, quantities, STEs and the control
        for bits in (2, 4):
            for name, ste in (("identity", 0), ("clipped_relu", 2), ("float", 3)):
                best = (table["ste"] == ste) & (table["weight_decay"] == 0) & np.isfinite(table["held_out_accuracy"])
                best &= table["bits"] == (bits if ste < 3 else 0)
                for quantity in ("held_out", "test"):
                    expected = (table["lr"][best], 100 * table[f"{quantity}_accuracy"][best])
                    np.testing.assert_array_equal(lines[f"search/{quantity}/{name}/{bits}"], expected)
        self.assertEqual(len(lines["search/test/identity/2"][0]), 3)  # it diverged at the largest rate
        self.assertIn("n = 1", fig._suptitle.get_text())
        del run.tables["search"]
        self.assertIsNone(ste_cifar10.search(run))

    def test_instability(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        table = run.tables["instability"]
        fig = ste_cifar10.instability(run)
        self.assertIn(
            "from the minimum of clipped ReLU on, learning rate 1e-05\nmean, 95 % interval (t), n = 3",
            fig._suptitle.get_text(),
        )
        titles = [f"{bits} bits; steps as long at rate 0.0009" for bits in (2, 4)]
        self.assertEqual([ax.get_title() for ax in fig.axes[:2]], titles)
        lines = drawn(fig)
        self.assertEqual(len(lines), 2 * 4 * 3)  # bits, STEs and the control, quantities
        for bits in (2, 4):
            for k, name in enumerate([*synthetic.STES, "clipped_relu_equal_length"]):
                for column in ("loss", "train_loss", "test_accuracy"):
                    rows = (table["ste"] == k) & (table["bits"] == bits) & np.isfinite(table[column])
                    values = table[column][rows].reshape(3, -1)
                    values = 100 * (1 - values) if column == "test_accuracy" else values
                    self.assertGreater(values.shape[1], 5)
                    step, mean = lines[f"instability/{column}/{name}/{bits}"]
                    np.testing.assert_array_equal(step, table["step"][rows].reshape(3, -1)[0])
                    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-12)
        band = fig.axes[0].collections[0].get_paths()[0].vertices[:, 1]
        rows = (table["ste"] == 0) & (table["bits"] == 2) & np.isfinite(table["loss"])
        losses = table["loss"][rows].reshape(3, -1)
        half = synthetic.T[3] * losses.std(axis=0, ddof=1) / np.sqrt(3)
        self.assertAlmostEqual(max(band), max(losses.mean(axis=0) + half))
        self.assertAlmostEqual(min(band), min(losses.mean(axis=0) - half))
        self.assertGreaterEqual(np.diff(fig.axes[-1].get_ylim())[0], 2)  # points: what is small looks small
        without = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "without.h5"))
        without.attributes["config"] = '{"instability": 0}'
        self.assertIsNone(ste_cifar10.instability(without))

    def test_an_instability_of_one_seed_and_one_rate_that_the_settings_name(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        table = run.tables["instability"]
        rows = (table["seed"] == 1) & (table["ste"] < 3)
        run.tables["instability"] = {n: c[rows] for n, c in table.items() if n not in ("seed", "lr")}
        run.attributes["config"] = json.dumps(run.config | {"seed": 1})
        fig = ste_cifar10.instability(run)
        said = "learning rate 1e-05\none run each (n = 1), no interval; no control with steps as long"
        self.assertIn(said, fig._suptitle.get_text())
        lines = drawn(fig)
        self.assertEqual(len(lines), 2 * 3 * 3)  # bits, STEs, quantities
        rows &= (table["ste"] == 1) & (table["bits"] == 4) & np.isfinite(table["loss"])
        np.testing.assert_array_equal(lines["instability/loss/relu/4"], (table["step"][rows], table["loss"][rows]))

    def test_bcgd_cifar10(self):
        run = read_run(synthetic_cifar.bcgd_cifar10_log(self.folder / "run.h5"))
        fig = bcgd_cifar10.comparison(run)
        bars, summary = heights(fig), run.tables["summary"]
        self.assertEqual(len(bars), 4)
        for row, rule in enumerate(synthetic_cifar.RULES):
            self.assertEqual(bars[f"summary/train_loss/{rule}/1W4A"], summary["train_loss_mean"][row])
        labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
        self.assertEqual(labels, ["float start, no control", "BinaryConnect", "BCGD, ρ = 1e-05"])
        self.assertEqual(len(drawn(bcgd_cifar10.curves(run))), 8)  # 2 rules, 2 seeds, 2 quantities

    def test_compare_methods_has_a_panel_for_each_question_with_the_best_method_on_top(self):
        run = read_run(synthetic_cifar.compare_methods_log(self.folder / "run.h5"))
        table = run.tables["summary"]
        fig = compare_methods.accuracy(run)
        panels = [ax for ax in fig.axes if ax.get_visible()]
        titles = [ax.get_title() for ax in panels]
        self.assertEqual(titles, ["1W: weights only", "2W2A: weights and activations", "other bits, one method each"])
        labels = [[tick.get_text() for tick in ax.get_yticklabels()][::-1] for ax in panels]
        self.assertEqual(
            labels, [["binary connect", "lbw net"], ["pact", "bcgd"], ["bcgd 4A", "lbw net 4W"]]
        )  # from the top
        points = {gid: x for gid, (x, _) in drawn(fig).items()}
        for row, name in ((1, "binary_connect/1W"), (4, "bcgd/4A"), (6, "pact/2W2A")):
            self.assertEqual(points[f"summary/test_best/{name}"], 100 * table["test_best_mean"][row])
        texts = [text.get_text() for text in panels[0].texts]
        self.assertEqual(len(texts), 2)
        for text, row in zip(texts, (2, 1)):
            mean, half = (100 * table[f"test_best_{what}"][row] for what in ("mean", "half_width"))
            self.assertEqual(text, f"{mean:.2f} ± {half:.2f}")
        for ax in panels:  # the control, and nothing that connects methods
            self.assertEqual(
                [line.get_gid() for line in ax.get_lines() if len(line.get_xdata()) > 1][1:],
                ["summary/test_best/float"],
            )
        self.assertIn("mean, 95 % interval (t), n = 3", fig._suptitle.get_text())

    def test_compare_methods_names_what_failed(self):
        run = read_run(synthetic_cifar.compare_methods_log(self.folder / "run.h5"))
        mean = run.tables["summary"]["test_best_mean"]
        mean[1], mean[5] = 0.1, np.nan
        fig = compare_methods.accuracy(run)
        texts = [[text.get_text() for text in ax.texts] for ax in fig.axes if ax.get_visible()]
        self.assertTrue(texts[0][0].startswith("10.00 ± "))
        self.assertEqual(texts[0][1], "◀ failed: less than half of the best")
        self.assertEqual(texts[1][0], "diverged")
        self.assertEqual(
            [len(text) for text in texts], [3, 2, 2]
        )  # nothing more is said of the others than their value
        self.assertEqual([tick.get_text() for tick in fig.axes[0].get_yticklabels()], ["binary connect", "lbw net"])
        self.assertGreater(fig.axes[0].get_xlim()[0], 50)  # a failure does not flatten the rest

    def test_compare_methods_cost_and_search(self):
        run = read_run(synthetic_cifar.compare_methods_log(self.folder / "run.h5"))
        table = run.tables["summary"]
        lines = drawn(compare_methods.cost(run))
        np.testing.assert_array_equal(lines["summary/size/lbw_net"], ([12, 16], 100 * table["test_best_mean"][[2, 3]]))
        np.testing.assert_array_equal(lines["summary/speed/bcgd"][0], [1040, 1050])
        self.assertEqual(lines["summary/test_best/float"][1][0], 100 * table["test_best_mean"][0])
        percent = 100 * table["test_best_mean"][1:]  # sizes ascend
        front = np.flatnonzero(percent > np.concatenate([[0], np.maximum.accumulate(percent)[:-1]]))
        self.assertIn(5, front)  # pact is the best
        np.testing.assert_array_equal(lines["summary/size/front"], (8 + 4 * front, percent[front]))
        lines = drawn(compare_methods.search(run))
        self.assertIn("search/test/pact/2W2A", lines)
        self.assertEqual(len([gid for gid in lines if gid.endswith("/2W2A") and "/held_out/" in gid]), 3)

    def test_a_cell_that_diverged_says_so(self):
        run = read_run(synthetic_cifar.ste_cifar10_log(self.folder / "run.h5"))
        run.tables["summary"]["train_loss_mean"][1] = np.nan
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

    def test_depth_shows_what_a_random_gradient_would_be_like(self):
        self.run_log.attributes["config"] = json.dumps(self.run_log.config | {"directions": 8})
        band = ste_diagnostics.depth(self.run_log).axes[1].patches[0]
        t = 2.364624251592785  # Student's t of 7 degrees of freedom
        reach = t / np.sqrt(t**2 + 7)
        np.testing.assert_allclose(np.sort(np.unique(band.get_xy()[:, 1])), [-reach, reach])
        cosines = np.random.default_rng(1).standard_normal((20000, 8))
        within = np.abs(cosines[:, 0]) < reach * np.linalg.norm(cosines, axis=1)
        self.assertAlmostEqual(within.mean(), 0.95, delta=0.006)

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
