"""The package, installed with pip and used from another folder."""
import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import synthetic
import synthetic_cifar

SOURCE = synthetic.EXPERIMENTS / "python"
MISSING = [name for name in ("pip", "setuptools", "wheel") if importlib.util.find_spec(name) is None]
NO_PIP = f"skipped: installing the Python package needs {', '.join(f'python3-{name}' for name in MISSING)}"
USE = """
import coarsegrad
run = coarsegrad.read_run("train.h5")
print(coarsegrad.__file__, run.experiment, run.status, len(run.table("epochs", "epoch")[0]))
print(coarsegrad.read_runs("*.h5", "lr", loss=coarsegrad.last("series/loss"))["lr"])
coarsegrad.write_tensor_file("a.safetensors", {"a": [0.5]}, {"text": "x"})
print(coarsegrad.read_tensor_file("a.safetensors"))
"""


class Version(unittest.TestCase):
    def test_it_is_the_version_of_the_project(self):
        project = (synthetic.EXPERIMENTS.parent / "CMakeLists.txt").read_text()
        package = (SOURCE / "coarsegrad" / "__init__.py").read_text()
        (version,) = re.findall(r"project\(CoarseGrad VERSION ([0-9.]+)", project)
        self.assertEqual(re.findall('^__version__ = "(.*)"$', package, re.M), [version])


def undescribed(source):
    """The modules, classes, functions and methods without a docstring of whole sentences, and those of the functions
    whose arguments or results have no type."""
    tree = ast.parse(source)
    members = [tree, *tree.body, *(item for node in tree.body if isinstance(node, ast.ClassDef) for item in node.body)]
    found = []
    for node in members:
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        name = getattr(node, "name", "module")
        text = ast.get_docstring(node)
        if name != "__init__" and not (text and re.match(r"(?s)[A-Z`].*?[.?](\s|$)", text)):
            found.append(f"{name}: no docstring")
        if isinstance(node, ast.FunctionDef):
            a = node.args
            arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
            typed = all(argument.annotation or argument.arg == "self" for argument in arguments)
            if not (typed and node.returns):
                found.append(f"{name}: no types")
    return found


class Words(unittest.TestCase):
    def test_everything_has_a_docstring_and_types(self):
        files = [*(SOURCE / "coarsegrad").rglob("*.py"), synthetic.EXPERIMENTS / "tools" / "torch_file"]
        self.assertGreater(len(files), 20)
        self.assertEqual({file.name: found for file in files if (found := undescribed(file.read_text()))}, {})

    def test_what_has_none_is_found(self):
        source = '"""A module."""\ndef f(x: int):\n  """A function."""\nclass C:\n  def g(self, *y) -> int: pass\n'
        self.assertEqual(undescribed(source), ["f: no types", "C: no docstring", "g: no docstring", "g: no types"])


@unittest.skipIf(MISSING, NO_PIP)
class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.target, cls.elsewhere = cls.root / "target", cls.root / "elsewhere"
        cls.elsewhere.mkdir()
        # Of a copy: what setuptools leaves behind stays out of the source tree.
        shutil.copytree(
            SOURCE, cls.root / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        )
        command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
        environment = dict(
            os.environ, PIP_CONFIG_FILE=os.devnull, PIP_DISABLE_PIP_VERSION_CHECK="1", HOME=str(cls.root)
        )
        done = subprocess.run(
            [*command, "--quiet", "--target", cls.target, cls.root / "source"],
            env=environment,
            cwd=cls.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        synthetic_cifar.train_log(cls.elsewhere / "train.h5")

    def call(self, *command):
        """What a command prints that finds the installed package alone, in a folder of its own."""
        environment = {"PYTHONPATH": str(self.target), "PATH": os.environ["PATH"], "HOME": str(self.root)}
        done = subprocess.run(command, env=environment, cwd=self.elsewhere, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_every_module_is_there(self):
        def modules(folder):
            return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py*") if path.suffix != ".pyc")

        self.assertEqual(modules(self.target / "coarsegrad"), modules(SOURCE / "coarsegrad"))
        self.assertGreater(len(modules(self.target / "coarsegrad")), 20)
        self.assertTrue((self.target / "coarsegrad" / "py.typed").exists())

    def test_it_reads_logs_and_tensor_files(self):
        lines = self.call(sys.executable, "-c", USE).splitlines()
        self.assertEqual(lines[0], f"{self.target}/coarsegrad/__init__.py train finished 8")
        self.assertEqual(lines[1], "[0.1]")
        self.assertEqual(lines[2], "TensorFile(tensors={'a': array([0.5], dtype=float32)}, metadata={'text': 'x'})")

    def test_the_command_draws_a_figure(self):
        said = self.call(self.target / "bin" / "plot", "train.h5", "--out", "pictures")
        self.assertEqual(said, "pictures/train-curves.png\npictures/train-curves.pdf\n")
        self.assertEqual((self.elsewhere / "pictures" / "train-curves.png").read_bytes()[:4], b"\x89PNG")


if __name__ == "__main__":
    if MISSING:
        print(NO_PIP)
    unittest.main()
