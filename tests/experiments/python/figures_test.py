"""What is drawn equals what was logged."""
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

import synthetic
from coarsegrad import LogError, read_run
from coarsegrad.figures import (
    coarse_descent,
    coarse_gradient,
    figures_of,
    gradient_variance,
    mnist_ste,
    spurious_minimum,
    training,
)
from coarsegrad.figures.style import ESTIMATORS, estimator_style, plt

RESULTS = synthetic.EXPERIMENTS / "results"


def drawn(fig):
    """gid -> (x, y) of every line that names the log data it shows."""
    return {line.get_gid(): line.get_data() for ax in fig.axes for line in ax.get_lines() if line.get_gid()}


def bars(fig):
    """gid of the points -> lower and upper ends of their error bars."""
    found = {}
    for ax in fig.axes:
        for container in ax.containers:
            ends = np.array([segment[:, 1] for segment in container.lines[2][0].get_segments()])
            found[container.lines[0].get_gid()] = ends
    return found


class FigureTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(plt.close, "all")
        self.folder = Path(folder.name)

    def log(self, experiment, **parts):
        return read_run(synthetic.write_log(self.folder / "run.h5", experiment, **parts))

    def assert_drawn(self, fig, expected):
        shown = drawn(fig)
        self.assertEqual(set(shown), set(expected))
        for gid, (x, y) in expected.items():
            np.testing.assert_array_equal(shown[gid][0], x, gid)
            np.testing.assert_array_equal(shown[gid][1], y, gid)


class CoarseGradientTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.run_log = read_run(synthetic.coarse_gradient_log(self.folder / "run.h5"))

    def expected(self, quantity, names=None):
        found = {}
        for name in names or coarse_gradient.estimators(self.run_log):
            table = self.run_log.tables[name]
            if np.isfinite(table[quantity]).any():
                found[f"{name}/{quantity}"] = (table["theta"], table[quantity])
            found[f"{name}/{quantity}_mc"] = (table["theta"], table[f"{quantity}_mc"])
        return found

    def test_correlation_and_norm_show_every_estimator_with_bars_of_two_standard_errors(self):
        for quantity in ("correlation", "norm"):
            fig = coarse_gradient.FIGURES[quantity](self.run_log)
            self.assert_drawn(fig, self.expected(quantity))
            ends = bars(fig)
            self.assertEqual(len(ends), 7)
            for name in coarse_gradient.estimators(self.run_log):
                table = self.run_log.tables[name]
                mean, error = table[f"{quantity}_mc"], table[f"{quantity}_se"]
                np.testing.assert_allclose(
                    ends[f"{name}/{quantity}_mc"], np.stack([mean - 2 * error, mean + 2 * error], axis=1)
                )

    def test_the_bound_is_drawn_where_it_is_defined(self):
        expected = {
            f"{name}/bound_ratio": (table["theta"], table["bound_ratio"])
            for name, table in self.run_log.tables.items()
            if np.isfinite(table.get("bound_ratio", np.nan)).any()
        }
        self.assertEqual(len(expected), 6)
        self.assert_drawn(coarse_gradient.bound_ratio(self.run_log), expected)

    def test_the_landscape_is_the_loss_over_the_angle(self):
        self.assert_drawn(coarse_gradient.landscape(self.run_log), self.expected("loss", ["identity"]))

    def test_the_saddle_angle_is_the_one_of_the_closed_form(self):
        self.assertAlmostEqual(coarse_gradient.saddle_angle(np.array([1, 0.6, -0.4, 0.5])), 2.33247441143202, places=12)
        self.assertIsNone(coarse_gradient.saddle_angle(np.ones(4)))

    def test_the_sample_size_law_shows_every_estimator(self):
        table = self.run_log.tables["sample_size"]
        expected = {
            f"sample_size/{name}": (table["samples"][table["ste"] == k], table["rms_error"][table["ste"] == k])
            for k, name in enumerate(synthetic.STES)
        }
        self.assert_drawn(coarse_gradient.sample_size(self.run_log), expected)

    def test_a_missing_column_or_an_empty_table_is_an_error(self):
        full = {name: dict(table) for name, table in self.run_log.tables.items()}
        for what, table in {
            "column correlation_se": {k: v for k, v in full["relu"].items() if k != "correlation_se"},
            "no rows": {k: v[:0] for k, v in full["relu"].items()},
        }.items():
            run = self.log("coarse_gradient", tables=full | {"relu": table})
            with self.assertRaisesRegex(LogError, f"table relu has .*{what}"):
                coarse_gradient.correlation(run)


class OwnEstimatorTest(FigureTest):
    def test_it_has_a_colour_and_a_marker_that_no_other_has(self):
        known = [style[1:3] for style in ESTIMATORS.values()]
        own = [estimator_style(name)[1:3] for name in ("cauchy", "softsign", "bump", "wave", "ramp")]
        for k in range(2):
            self.assertEqual(len({style[k] for style in own}), 5)
            self.assertFalse({style[k] for style in own} & {style[k] for style in known})

    def test_it_looks_the_same_in_every_figure(self):
        rng = np.random.default_rng(1)
        tables = {name: synthetic.estimator_table(rng, 0.2, name == "relu") for name in ("relu", "tanh", "my_own")}
        run = self.log("coarse_gradient", tables=tables)
        looks = set()
        for figure in (coarse_gradient.correlation, coarse_gradient.norm):
            lines = {line.get_gid(): line for ax in figure(run).axes for line in ax.get_lines()}
            for name in ("correlation", "norm"):
                line = lines.get(f"my_own/{name}_mc")
                if line is not None:
                    looks.add((line.get_color(), line.get_marker()))
        self.assertEqual(looks, {estimator_style("my_own")[1:3]})

    def test_a_gradient_quantizer_of_ones_own_is_drawn_too(self):
        run = read_run(RESULTS / "gradient_variance" / "gradient_variance.h5")
        for column, names in run.labels.items():
            run.labels[column] = ["my_own" if name == "psq" else name for name in names]
        for name, figure in gradient_variance.FIGURES.items():
            self.assertTrue([gid for gid in drawn(figure(run)) if "/my_own" in gid], name)


class CoarseDescentTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.run_log = read_run(synthetic.coarse_descent_log(self.folder / "run.h5"))

    def test_every_trajectory_is_drawn(self):
        expected = {}
        for name in synthetic.STES:
            table = self.run_log.tables[name]
            for run in range(6):
                rows = table["run"] == run
                for quantity in ("loss", "theta", "norm_w", "distance_v"):
                    expected[f"{name}/{quantity}/{run}"] = (table["step"][rows], table[quantity][rows])
        self.assert_drawn(coarse_descent.trajectories(self.run_log), expected)

    def test_the_bars_are_the_shares_of_the_ends(self):
        fig = coarse_descent.ends(self.run_log)
        share = {bar.get_gid(): bar.get_width() for bar in fig.axes[0].patches}
        self.assertEqual(len(share), 12)
        for name in synthetic.STES:
            for end, count in zip(synthetic.ENDS, (3, 1, 1, 1)):
                self.assertAlmostEqual(share[f"{name}_runs/{end}"], count / 6)
        self.assertEqual([text.get_text() for text in fig.axes[0].texts].count("83.3 %\nof 6"), 3)

    def test_theorem_2_is_drawn_for_every_run_with_the_longest_w_and_those_that_left_are_dashed(self):
        table, ends = self.run_log.tables["theorem2"], self.run_log.tables["theorem2_runs"]
        expected = {}
        for k, name in enumerate(synthetic.STES):
            for run in range(3):
                rows = (table["ste"] == k) & (table["norm_w0"] == 5) & (table["run"] == run)
                for quantity in ("cross", "theta", "slack"):
                    expected[f"theorem2/{quantity}/{name}/{run}"] = (table["step"][rows], table[quantity][rows])
        fig = coarse_descent.theorem2(self.run_log)
        self.assert_drawn(fig, expected)
        dashed = {line.get_gid() for ax in fig.axes for line in ax.get_lines() if line.get_linestyle() == "--"}
        self.assertEqual(dashed, {f"theorem2/{quantity}/identity/0" for quantity in ("cross", "theta", "slack")})
        self.assertEqual(np.sum(ends["kept"] == 0), 1)

    def test_the_promises_of_theorem_2_are_drawn_as_shares_of_runs(self):
        expected = {}
        for name in synthetic.STES:
            for what in ("end", "kept", "monotone"):
                share = [1, 2 / 3] if name == "identity" else [1, 1]
                expected[f"theorem2_runs/{what}/{name}"] = ([1, 5], share)
        self.assert_drawn(coarse_descent.theorem2_shares(self.run_log), expected)

    def test_a_log_without_such_runs_has_no_figures_of_theorem_2(self):
        tables = {name: table for name, table in self.run_log.tables.items() if not name.startswith("theorem2")}
        run = self.log("coarse_descent", tables=tables)
        self.assertIsNone(coarse_descent.theorem2(run))
        self.assertIsNone(coarse_descent.theorem2_shares(run))

    def test_the_one_step_curves_and_their_roughness_are_drawn(self):
        table = self.run_log.tables["one_step"]
        sizes = (10, 100, 1000, 20000)
        self.assert_drawn(
            coarse_descent.one_step(self.run_log),
            {
                f"one_step/{n}": (table["eta"][table["samples"] == n], table["loss"][table["samples"] == n])
                for n in sizes
            },
        )
        table = self.run_log.tables["one_step_variation"]
        medians = [np.median(table["excess_variation"][table["samples"] == n]) for n in sizes]
        self.assert_drawn(
            coarse_descent.one_step_variation(self.run_log),
            {
                "one_step_variation/draws": (table["samples"], table["excess_variation"]),
                "one_step_variation/median": (sizes, medians),
            },
        )


class SpuriousMinimumTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.run_log = read_run(synthetic.spurious_minimum_log(self.folder / "run.h5"))

    def test_every_run_is_drawn_with_and_without_rescaling(self):
        expected = {}
        for name in synthetic.STES:
            table = self.run_log.tables[name]
            for mode in (0, 1):
                rows = table["rescaled"] == mode
                for quantity in ("loss", "theta", "norm_w"):
                    expected[f"{name}/{quantity}/{mode}"] = (table["step"][rows], table[quantity][rows])
        self.assert_drawn(spurious_minimum.escape(self.run_log), expected)

    def test_the_predicted_escape_is_the_one_of_the_runs_that_are_drawn(self):
        self.assertEqual(list(spurious_minimum.predicted_steps(self.run_log, 0)), [72.3])
        self.assertEqual(list(spurious_minimum.predicted_steps(self.run_log, 1)), [])

    def test_measured_escapes_are_drawn_against_predicted_ones(self):
        table = self.run_log.tables["escape"]
        self.assert_drawn(
            spurious_minimum.prediction(self.run_log),
            {
                "escape/identity/escape_step": (table["predicted_step"][:3], table["escape_step"][:3]),
                "escape/identity/jump": (table["escape_step"][:3], table["jump"][:3]),
            },
        )


class MnistSteTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.run_log = read_run(synthetic.mnist_ste_log(self.folder / "run.h5"))

    def test_the_bars_are_the_means_and_their_ends_those_of_the_intervals(self):
        fig = mnist_ste.comparison(self.run_log)
        table = self.run_log.tables["summary"]
        heights = {bar.get_gid(): bar.get_height() for ax in fig.axes for bar in ax.patches}
        self.assertEqual(len(heights), 12)
        ends = {}
        for ax in fig.axes:
            for bars in (c for c in ax.containers if hasattr(c, "patches")):
                for bar, segment in zip(bars.patches, bars.errorbar.lines[2][0].get_segments()):
                    ends[bar.get_gid()] = segment[:, 1]
        for k in range(6):
            key = f"{synthetic.STES[int(table['ste'][k])]}/{int(table['bits'][k])}"
            for gid, mean, half in (
                (
                    f"summary/test_best/{key}",
                    100 * (1 - table["test_best_mean"][k]),
                    100 * table["test_best_half_width"][k],
                ),
                (f"summary/train_loss/{key}", table["train_loss_mean"][k], table["train_loss_half_width"][k]),
            ):
                self.assertAlmostEqual(heights[gid], mean)
                np.testing.assert_allclose(ends[gid], [mean - half, mean + half])
        self.assertIn("mean, 95 % interval (t), n = 3", fig._suptitle.get_text())

    def test_the_curves_are_the_epochs_of_every_run(self):
        table = self.run_log.tables["epochs"]
        expected = {}
        for k, name in enumerate(synthetic.STES):
            for bits in (2, 4):
                for seed in (1, 2, 3):
                    rows = (table["ste"] == k) & (table["bits"] == bits) & (table["seed"] == seed)
                    expected[f"epochs/loss/{name}/{bits}/{seed}"] = (table["epoch"][rows], table["loss"][rows])
                    expected[f"epochs/test/{name}/{bits}/{seed}"] = (
                        table["epoch"][rows],
                        100 * (1 - table["test_accuracy"][rows]),
                    )
        self.assert_drawn(mnist_ste.curves(self.run_log), expected)


class TrainingTest(FigureTest):
    def test_every_series_is_drawn_against_its_step(self):
        step = np.arange(0, 100, 10)
        series = {
            "train/loss": (step, 1.0 / (1 + step)),
            "test/loss": (step[::2], 2.0 / (1 + step[::2])),
            "learning_rate": (step, step * 0.1),
        }
        fig = training.curves(self.log("other", series=series | {"empty": (step[:0], step[:0] * 1.0)}))
        self.assert_drawn(fig, {f"series/{name}": data for name, data in series.items()})
        self.assertEqual(len(fig.axes), 2)  # loss and learning rate
        with self.assertRaises(AssertionError):
            self.assert_drawn(fig, {f"series/{name}": (x, y + 1e-9) for name, (x, y) in series.items()})

    def test_several_runs_are_drawn_over_each_other_with_what_tells_them_apart(self):
        step = np.arange(5)
        runs = []
        for rate in (0.1, 0.2):
            series = {"loss": (step, rate * step), "test/loss": (step, 2 * rate * step)}
            if rate == 0.2:
                series["learning_rate"] = (step, rate + 0.0 * step)
            path = self.folder / f"{rate}.h5"
            runs.append(read_run(synthetic.write_log(path, "other", series=series, config={"lr": rate, "net": "x"})))
        fig = training.curves(*runs)
        self.assert_drawn(
            fig,
            {
                f"{run.path}:series/{name}": (series["step"], series["value"])
                for run in runs
                for name, series in run.series.items()
            },
        )
        legends = [[text.get_text() for text in ax.get_legend().get_texts()] for ax in fig.axes]
        self.assertEqual(sorted(legends), [["lr 0.1", "lr 0.2", "test: lr 0.1", "test: lr 0.2"], ["lr 0.2"]])
        looks = [(line.get_color(), line._unscaled_dash_pattern) for line in fig.axes[0].get_lines()]
        self.assertEqual(len({dashes for _, dashes in looks}), 4)  # legible without colours
        self.assertEqual([colour for colour, _ in looks[::2]], [looks[0][0]] * 2)  # one colour for each run


class EveryFigureTest(FigureTest):
    def test_its_texts_can_be_set(self):
        """Mathematical text that cannot be set is found out here only. The axes stay where they are: finding places for
        them sets every text five times."""
        for module in (coarse_gradient, coarse_descent, spurious_minimum, mnist_ste):
            run = read_run(self.log_of(module))
            for name, figure in module.FIGURES.items():
                with self.subTest(f"{module.__name__}-{name}"):
                    fig = figure(run)
                    fig.set_layout_engine("none")
                    fig.draw_without_rendering()

    def test_it_is_drawn_for_an_experiment_of_ones_own_that_logs_the_same_tables(self):
        """A log under a name that nobody has heard of gives the figures of the experiment that logs the same."""
        for module in (coarse_gradient, coarse_descent, spurious_minimum, mnist_ste):
            with self.subTest(module.__name__):
                run = read_run(self.log_of(module))
                run.attributes["experiment"] = "my_own"
                self.assertIs(figures_of(run), module.FIGURES)
        self.assertIs(figures_of(self.log("my_own", series={"loss": (np.arange(5), np.arange(5.0))})), training.FIGURES)
        with self.assertRaisesRegex(LogError, "no figures for experiment 'my_own'"):
            figures_of(self.log("my_own", tables={"sizes": {"size": np.arange(3.0)}}))

    def log_of(self, module):
        """A log of the experiment that a module draws."""
        name = module.__name__.rpartition(".")[2]
        return getattr(synthetic, f"{name}_log")(self.folder / f"{name}.h5")


if __name__ == "__main__":
    unittest.main()
