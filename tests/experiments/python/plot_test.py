"""The command plot: what it writes, what it draws over each other, and what it refuses in one line."""
import contextlib
import io
import os
import subprocess
import sys
import unittest

import h5py
import numpy as np

import synthetic
import synthetic_cifar
from coarsegrad import findings, plot
from coarsegrad.figures import bcgd_cifar10
from figures_test import FigureTest


def called(function, *arguments):
    """The exit code of a command, what it says and what it complains of."""
    said, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
        try:
            code = function(*arguments)
        except SystemExit as exit:
            code = exit.code
    return code, said.getvalue(), complaint.getvalue()


def curve_log(path, experiment="my_own", **options):
    """A log with one short series."""
    path.parent.mkdir(exist_ok=True)
    return synthetic.write_log(path, experiment, series={"loss": (np.arange(5), np.arange(5.0))}, **options)


class CommandTest(FigureTest):
    def setUp(self):
        super().setUp()
        self.enterContext(contextlib.chdir(self.folder))

    def plot(self, *arguments):
        """Runs the command in this process: a new one would import matplotlib again."""
        return called(plot.main, list(map(str, arguments)))

    def assert_pictures(self, folder, *stems):
        """Exactly these pictures are there, as png and as pdf."""
        names = sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf"))
        self.assertEqual(sorted(path.name for path in (self.folder / folder).iterdir()), names)

    def assert_fails(self, result, code, pattern):
        self.assertEqual(result[0], code, result)
        self.assertEqual(result[2].count("\n"), 1, result)
        self.assertRegex(result[2], f"^plot: .*{pattern}")

    def test_pictures_are_written_as_png_and_pdf(self):
        synthetic_cifar.bcgd_cifar10_log(self.folder / "run.h5")
        code, said, complaint = self.plot("run.h5", "--out", "pictures")
        self.assertEqual((code, complaint), (0, ""))
        self.assert_pictures("pictures", *(f"run-{figure}" for figure in bcgd_cifar10.FIGURES))
        self.assertEqual(sorted(said.splitlines()), sorted(f"pictures/{name}" for name in os.listdir("pictures")))
        for picture in (self.folder / "pictures").iterdir():
            self.assertEqual(picture.read_bytes()[:4], b"\x89PNG" if picture.suffix == ".png" else b"%PDF")

    def test_a_matplotlibrc_changes_nothing_and_no_installation_is_needed(self):
        """text.usetex would run programs of TeX, which may not be there."""
        curve_log(self.folder / "curve.h5")
        self.assertEqual(self.plot("curve.h5", "--out", "plain", "--quiet"), (0, "", ""))
        (self.folder / "matplotlibrc").write_text(
            "text.usetex: True\nfigure.dpi: 30\naxes.facecolor: red\nbackend: pdf\n"
        )
        done = self.process(synthetic.EXPERIMENTS / "python" / "plot", "curve.h5", "--out", "with_rc")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "with_rc/curve-curves.png\nwith_rc/curve-curves.pdf\n")
        for kind in ("png", "pdf"):
            plain, with_rc = (self.folder / folder / f"curve-curves.{kind}" for folder in ("plain", "with_rc"))
            self.assertEqual(plain.read_bytes(), with_rc.read_bytes())

    def process(self, *command, **environment):
        """The command in a process of its own, which finds no package but by what is in its environment."""
        plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        plain |= {"PYTHONDONTWRITEBYTECODE": "1"} | environment
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=plain)

    def test_names_with_dots_stay_whole(self):
        for name, experiment in (("m0.05", "one"), ("m0.1", "other"), ("m0.2.hdf5", "other")):
            curve_log(self.folder / name, experiment)
        self.assertEqual(self.plot("m0.05", "m0.1", "m0.2.hdf5", "--out", "o", "--quiet"), (0, "", ""))
        self.assert_pictures("o", "m0.05-curves", "m0.1+m0.2-curves")

    def test_runs_of_one_experiment_are_overlaid(self):
        for name in ("a.h5", "b.h5"):
            curve_log(self.folder / name)
        self.assertEqual(self.plot("a.h5", "b.h5", "--out", "pictures", "--quiet"), (0, "", ""))
        self.assert_pictures("pictures", "a+b-curves")

    def test_many_runs_have_a_name_of_bearable_length_and_one_name_may_come_twice(self):
        names = [f"{folder}/{name}.h5" for name in "ab" for folder in "xy"]
        for name in names:
            curve_log(self.folder / name)
        self.assertEqual(self.plot(*names, "--out", "many", "--quiet"), (0, "", ""))
        self.assert_pictures("many", "a+3_others-curves")

    def test_figures_that_are_made_for_one_run_say_so(self):
        for name in ("a.h5", "b.h5"):
            synthetic.mnist_ste_log(self.folder / name)
        said = "given 2 runs of mnist_ste .*, expected one at a time: made for one run only are comparison, curves$"
        self.assert_fails(self.plot("a.h5", "b.h5", "--out", "o"), 2, said)
        self.assertFalse((self.folder / "o").exists())

    def test_runs_of_one_experiment_that_log_other_tables_are_refused(self):
        curve_log(self.folder / "a.h5")
        tables = {"epochs": dict.fromkeys(("epoch", "held_out_accuracy", "test_accuracy", "test_loss"), [1.0])}
        synthetic.write_log(self.folder / "b.h5", "my_own", tables)
        self.assert_fails(self.plot("a.h5", "b.h5"), 2, "given a.h5 and b.h5, which have other figures, expected them")

    def test_two_logs_of_one_name_are_refused_before_anything_is_drawn(self):
        for name in ("x/r.h5", "y/r.h5", "y/r.hdf5"):
            curve_log(self.folder / name, experiment=name)
        for pair in (("x/r.h5", "y/r.h5"), ("x/r.h5", "y/r.hdf5")):
            self.assert_fails(
                self.plot(*pair, "--out", "o"), 2, f"given {pair[0]} and {pair[1]}, .* expected two --out"
            )
        self.assert_fails(
            self.plot("x/r.h5", "x/../x/r.h5", "--out", "o"), 2, "given x/r.h5 twice, expected each log once"
        )
        self.assertFalse((self.folder / "o").exists())

    def test_what_has_no_data_yet_does_not_keep_the_rest_from_being_drawn(self):
        path = synthetic_cifar.bcgd_cifar10_log(self.folder / "sweep.h5")
        with h5py.File(path, "r+") as file:
            for table in ("summary", "float_epochs"):
                for column in file[f"tables/{table}"].values():
                    column.resize((0,))
        result = self.plot("sweep.h5", "--out", "o")
        self.assertEqual((result[0], result[2]), (1, "plot: sweep.h5: table summary has no rows yet\n"))
        self.assert_pictures("o", "sweep-curves")

    def test_what_cannot_be_drawn_is_refused_in_one_line(self):
        (self.folder / "text.h5").write_text("hello")
        synthetic.write_log(self.folder / "unknown.h5", "unheard_of")
        synthetic.write_log(self.folder / "hollow.h5", "coarse_gradient")
        curve_log(self.folder / "good.h5")
        self.assert_fails(self.plot("text.h5"), 1, "text.h5: not a readable HDF5 file")
        self.assert_fails(self.plot("unknown.h5"), 1, "no figures for experiment 'unheard_of'")
        self.assert_fails(self.plot("hollow.h5"), 1, "no table of an estimator")
        self.assert_fails(self.plot("good.h5", "absent.h5"), 1, "no such file")
        self.assert_fails(self.plot("good.h5", "--out", "text.h5"), 1, "File exists")
        self.assertEqual(list(self.folder.glob("*.p??")), [])

    def test_help_and_wrong_usage_take_no_matplotlib(self):
        self.assert_fails(self.plot("--bogus", "text.h5"), 2, "unrecognized arguments")
        self.assert_fails(self.plot(), 2, "required")
        curve_log(self.folder / "good.h5")
        (self.folder / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib.pyplot')")
        path = f"{self.folder}:{synthetic.EXPERIMENTS / 'python'}"
        done = self.process(sys.executable, "-m", "coarsegrad.plot", "--help", PYTHONPATH=path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Draws the figures of run logs", done.stdout)
        done = self.process(sys.executable, "-m", "coarsegrad.plot", "good.h5", PYTHONPATH=path)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "plot: needs matplotlib, which is not installed (Debian: python3-matplotlib)\n")


class FindingsTest(FigureTest):
    def test_the_findings_are_what_the_logs_hold(self):
        for name in ("coarse_gradient", "coarse_descent", "spurious_minimum"):
            getattr(synthetic, f"{name}_log")(self.folder / f"{name}.h5")
        synthetic.coarse_gradient_log(self.folder / "coarse_gradient_optimal.h5")
        code, said, complaint = called(findings.main, [self.folder])
        self.assertEqual((code, complaint), (0, ""))
        self.assertRegex(
            said,
            r"descent with ReLU, 6 runs +50.0 % global minimum, 16.7 % spurious minimum, "
            r"16.7 % saddle, 16.7 % unsettled, loss never rose in 83.3 %",
        )
        self.assertRegex(said, r"Theorem 2, \|w⁰\| = 5: .* identity 67 % \(67 %\), ReLU 100 % \(100 %\)")
        self.assertRegex(said, r"escape, identity, η = 0.01, .* +step 362, jump 0.3069 \(predicted 361, 0.3070\)")
        self.assertRegex(said, r"never escape +ReLU, clipped ReLU\n")

    def test_a_missing_log_and_wrong_usage_are_one_line(self):
        code, _, complaint = called(findings.main, [self.folder])
        self.assertEqual(code, 1)
        self.assertRegex(complaint, r"^findings: .*coarse_gradient.h5: no such file\n$")
        self.assertEqual(called(findings.main, []), (2, "", "findings: expected one argument, DIR\n"))


if __name__ == "__main__":
    unittest.main()
