"""deploy_report: what it measures with made peers, what its tables say, and what its figures show."""
import copy
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import synthetic
from coarsegrad import read_tensor_file, write_tensor_file
from coarsegrad.deployment import (
    FLOAT,
    PACKED,
    Report,
    ReportError,
    gains,
    markdown,
    page,
    read_report,
    sizes_and_speeds,
)
from coarsegrad.figures.deployment import FIGURES

BIN = Path(os.environ["BIN"])
TOOL = synthetic.EXPERIMENTS / "tools/deploy_report"
ZOO = synthetic.EXPERIMENTS / "zoo/resnet20_1w4a.safetensors"
RESULTS = synthetic.EXPERIMENTS / "results/deployment"

# A peer that runs with two threads whatever it is asked for, and one that knows no network in bf16 and with int8.
TORCH = "import sys; print(f'torch infer fp32 {sys.argv[1]} batch {sys.argv[2]}: 2000 images/s, median 0.50 ms')"
ONNX = """import sys
if "int8" in sys.argv: sys.exit("no int8 today")
words = dict(zip(sys.argv, sys.argv[1:]))
open(words["--keep"] + ".seen", "a").write("x")
print(f"ort 1.0 infer fp32 net batch {sys.argv[2]} threads {words['--threads']}: 500 images/s, median 2.00 ms")
"""


def entry(of, side, threads, batch, *speeds):
    return {"of": of, "side": side, "threads": threads, "batch": batch, "images_per_second": list(speeds)}


def made_up():
    """A report of two architectures, one of them with a peer."""
    network = {"dataset": "cifar10", "float_bytes": 1_088_824, "net": "resnet20"}
    return {
        "schema": "coarsegrad-deployment/1",
        "skipped": ["no onnx_infer.py"],
        "networks": [
            {**network, "name": "resnet20_float", "bits": "float", "accuracy": 0.9119, "bytes": 1_088_824},
            {**network, "name": "resnet20_1w4a", "bits": "1W4A", "accuracy": 0.868, "bytes": 51_926},
            {**network, "name": "vgg", "net": "vgg11", "bits": "1W1A", "accuracy": 0.85, "bytes": 1_200_000},
            {**network, "name": "unknown", "net": "vgg11", "bits": "4W8A", "accuracy": None, "bytes": 4_600_000},
        ],
        "speeds": [
            entry("resnet20_float", PACKED, 1, 1, 600, 500, 550),
            entry("resnet20_1w4a", PACKED, 1, 1, 1000, 1200, 1100),
            entry("vgg", PACKED, 1, 1, 800, 900, 1000),
            entry("resnet20_float", PACKED, 2, 1, 1000, 1000, 1000),
            entry("resnet20_1w4a", PACKED, 2, 1, 2000, 2500, 4000),
            entry("vgg", PACKED, 2, 1, 1600, 1500, 1700),
            entry("unknown", PACKED, 2, 1, 300, 300, 300),
            entry("resnet20", "PyTorch fp32", 2, 1, 500, 1250, 500),
            entry("resnet20", "OpenVINO int8", 2, 1, 1600, 1600, 1600),
            entry("resnet20", FLOAT, 2, 1, 1000, 1000, 1000),
        ],
    }


class Tables(unittest.TestCase):
    def setUp(self):
        self.report = Report(made_up())

    def test_each_network_has_a_line_with_its_speeds_and_their_spread(self):
        lines = sizes_and_speeds(self.report).splitlines()
        heading = "| network | bits | test % | bytes | smaller | batch 1, 1 thread | batch 1, 2 threads |"
        self.assertEqual(lines[0], heading)
        expected = (
            "| `resnet20_1w4a` | 1W4A | 86.80 | 51,926 | 21.0 | 1,100 (1,000 to 1,200) | 2,500 (2,000 to 4,000) |"
        )
        self.assertIn(expected, lines)
        self.assertIn("| `unknown` | 4W8A |  | 4,600,000 | 0.2 |  | 300 (300 to 300) |", lines)

    def test_a_gain_is_the_median_of_the_ratios_of_single_rounds(self):
        lines = gains(self.report).splitlines()
        self.assertEqual(lines[0], "| network | bits |  | our float network | PyTorch fp32 | OpenVINO int8 |")
        expected = "**2.50** (2.00 to 4.00) | **4.00** (2.00 to 8.00) | **1.56** (1.25 to 2.50) |"
        self.assertIn(f"| `resnet20_1w4a` | 1W4A | batch 1, 2 threads | {expected}", lines)
        self.assertEqual(len(lines), 4)  # nothing stands against the others

    def test_what_was_left_out_is_said(self):
        text = markdown(self.report)
        self.assertTrue(text.endswith("* skipped: no onnx_infer.py"))
        self.assertIn("| `resnet20` | PyTorch fp32 |  | 500 (500 to 1,250) |", text)

    def test_a_file_that_is_no_report_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.json"
            for text in (
                "",
                "[]",
                "{}",
                json.dumps(made_up() | {"schema": "y"}),
                '{"schema": "coarsegrad-deployment/1"}',
            ):
                path.write_text(text)
                with self.subTest(text), self.assertRaisesRegex(ReportError, "x.json: no report of deploy_report"):
                    read_report(path)


class Figures(unittest.TestCase):
    def points(self, name, report):
        (ax,) = FIGURES[name](report).axes
        return ax, {line.get_gid(): line for line in ax.lines if line.get_gid()}

    def test_a_point_stands_at_accuracy_and_latency_with_the_most_threads(self):
        ax, drawn = self.points("latency", Report(made_up()))
        place = drawn["latency/resnet20_1w4a"]
        self.assertAlmostEqual(place.get_xdata()[0], 1000 / 2500)
        self.assertAlmostEqual(place.get_ydata()[0], 86.8)
        self.assertIn("2 threads", ax.get_xlabel())
        self.assertNotIn("latency/unknown", drawn)
        self.assertEqual({text.get_text() for text in ax.texts}, {"float", "1W4A", "1W1A"})

    def test_a_line_stands_at_the_fastest_peer(self):
        ax, drawn = self.points("latency", Report(made_up()))
        self.assertAlmostEqual(drawn["latency/peer/resnet20"].get_xdata()[0], 1000 / 1600)
        self.assertIn("ResNet-20, OpenVINO int8", [text.get_text() for text in ax.get_legend().get_texts()])
        self.assertNotIn("latency/peer/vgg11", drawn)

    def test_the_other_figure_has_the_bytes(self):
        ax, drawn = self.points("bytes", Report(made_up()))
        self.assertAlmostEqual(drawn["bytes/vgg"].get_xdata()[0], 1_200_000 / 1024)
        self.assertIn("KiB", ax.get_xlabel())

    def test_each_data_set_has_a_panel(self):
        facts = copy.deepcopy(made_up())
        facts["networks"][2]["dataset"] = "mnist"
        axes = FIGURES["bytes"](Report(facts)).axes
        self.assertEqual([ax.get_title() for ax in axes], ["CIFAR-10", "MNIST"])
        shown = [[line.get_gid() for line in ax.lines if line.get_gid()] for ax in axes]
        self.assertEqual(shown, [["bytes/resnet20_float", "bytes/resnet20_1w4a"], ["bytes/vgg"]])


class Measured(unittest.TestCase):
    """The programs themselves, with made peers, on images that are drawn."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (cls.folder / "torch_infer.py").write_text(TORCH)
        (cls.folder / "onnx_infer.py").write_text(ONNX)
        file = read_tensor_file(ZOO)
        split = json.loads(file.metadata["split"]) | {"dataset": "drawn_shapes"}
        cls.net = cls.folder / "drawn.safetensors"
        write_tensor_file(cls.net, file.tensors, {"settings": file.metadata["settings"], "split": json.dumps(split)})
        cls.done = cls.call(cls.net, "--peers", cls.folder, "--threads", "1,2", "--batches", "1,4", "--rounds", 2)
        cls.facts = json.loads((cls.folder / "out/deployment.json").read_text())

    @classmethod
    def call(cls, *words, out="out", code=0):
        flags = ["--bin", BIN, "--seconds", 0, "--out", cls.folder / out]
        words = [sys.executable, "-B", TOOL, *words, *flags]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=synthetic.ENVIRONMENT)
        if done.returncode != code:
            raise AssertionError(f"ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def test_the_network_is_judged_and_its_file_is_small(self):
        (network,) = self.facts["networks"]
        self.assertEqual([network[key] for key in ("name", "net", "bits")], ["drawn", "resnet20", "1W4A"])
        self.assertLess(network["bytes"], 60_000)
        self.assertGreater(network["float_bytes"], 1_000_000)
        self.assertTrue(0 <= network["accuracy"] <= 1)

    def test_every_round_has_every_side(self):
        sides = {(e["side"], e["threads"], e["batch"]): e["images_per_second"] for e in self.facts["speeds"]}
        for side in (PACKED, FLOAT, "ONNX Runtime fp32"):
            for threads in (1, 2):
                for batch in (1, 4):
                    self.assertEqual(len(sides[side, threads, batch]), 2)
        self.assertEqual(sides["PyTorch fp32", 2, 4], [2000, 2000])
        self.assertEqual(sides["OpenVINO fp32", 1, 1], [500, 500])

    def test_what_does_not_run_as_asked_is_skipped_and_said(self):
        said = "\n".join(self.facts["skipped"])
        self.assertIn("PyTorch fp32, resnet20, threads 1: torch_infer.py ran with 2 threads, asked for 1", said)
        self.assertIn("OpenVINO int8, resnet20, threads 2: no int8 today", said)
        self.assertEqual(said.count("OpenVINO int8, resnet20, threads 1"), 1)  # not once more in the second round
        for why in self.facts["skipped"]:
            self.assertIn(f"skipped: {why}\n", self.done.stderr)
        self.assertFalse([e for e in self.facts["speeds"] if e["side"].endswith("int8")])

    def test_conditions_stand_in_the_file_and_on_the_page(self):
        for key in ("cpu", "kernels", "git_commit", "version", "created"):
            self.assertTrue(self.facts[key])
        self.assertEqual([self.facts["rounds"], self.facts["seconds"]], [2, 0])
        self.assertIn("numpy", self.facts["peer_versions"])
        text = (self.folder / "out/README.md").read_text()
        for fact in (
            self.facts["cpu"],
            f"`{self.facts['kernels']}`",
            self.facts["git_commit"],
            "2 rounds",
            "| `drawn` |",
        ):
            self.assertIn(fact, text)
        self.assertNotIn(str(self.folder), text)

    def test_tables_and_figures_are_drawn_again_from_the_file_alone(self):
        done = self.call("--from", self.folder / "out/deployment.json", out="again")
        self.assertEqual(done.stdout, self.done.stdout)
        for name in ("README.md", *(f"deployment-{figure}.png" for figure in FIGURES)):
            self.assertEqual(*((self.folder / out / name).read_bytes() for out in ("out", "again")), name)

    def test_without_peers_and_images_there_are_our_own_two_sides(self):
        words = ["--peers", self.folder / "none", "--batches", 1, "--threads", 1, "--rounds", 1]
        done = self.call(ZOO, *words, "--data", self.folder / "none", out="alone")
        self.assertRegex(done.stderr, "skipped: no torch_infer.py among the peers; --peers DIR says where they are")
        self.assertRegex(done.stderr, "skipped: accuracy of resnet20_1w4a: ")
        report = read_report(self.folder / "alone/deployment.json")
        self.assertEqual(report.others, [FLOAT])
        self.assertIsNone(report.networks[0]["accuracy"])

    def test_wrong_usage_ends_with_2_and_a_file_that_is_none_with_1(self):
        self.call("--rounds", 0, code=2)
        self.call(ZOO, "--from", "x.json", code=2)
        self.call(ZOO, ZOO, code=2)
        done = self.call("--from", self.folder / "none.json", code=1)
        self.assertRegex(done.stderr, "^deploy_report: .*none.json: no report")
        other = self.folder / "other.safetensors"
        write_tensor_file(other, {"a": [0.5]}, {})
        self.assertIn("describe_network adds them", self.call(other, code=1).stderr)


class Page(unittest.TestCase):
    def test_the_page_of_results_is_that_of_its_file(self):
        file = RESULTS / "deployment.json"
        if not file.exists():
            self.skipTest(f"skipped: {file.name} was not measured yet")
        self.assertEqual((RESULTS / "README.md").read_text(), page(read_report(file)))


if __name__ == "__main__":
    unittest.main()
