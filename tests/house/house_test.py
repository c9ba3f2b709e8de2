#!/usr/bin/python3
"""Rules that no compiler checks: who may include whom, what a kernel object may export, how long a file may be,
and that no kernel goes untested or untimed. Each rule is a function of a folder; beside each stands a planted
violation that it must find.

usage: house_test.py [TestClass[.test]]...   with the build folder in COARSEGRAD_BUILD (for the kernel objects)
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("COARSEGRAD_BUILD", ROOT / "build" / "release"))

# Folder of the including file -> what it may include of this project. The longest prefix counts.
MAY_INCLUDE = {
    "core/base": {"core/base"},
    "core/kernels": {"core/kernels"},
    "core/kernels/dispatch.cpp": {"core/base", "core/kernels"},
    "core/kernels/tiles/plain.h": {"core/base", "core/kernels"},
    "core/compute": {"core/base", "core/kernels", "core/compute"},
    "core": {"core"},
    "nn": {"core", "nn"},
    "optim": {"core", "optim"},
    "quant/math": {"core/base", "core/kernels", "core/compute", "quant/math"},
    "quant/theory": {"core/base", "core/kernels", "core/compute", "quant/math", "quant/theory"},
    "quant/packed": {"core/base", "core/kernels", "core/compute", "quant/packed"},
    "quant/export/onnx": {"core/base", "core/kernels", "core/compute", "quant/packed", "quant/export/onnx"},
    "quant": {"core", "nn", "optim", "quant"},
    "datasets": {"core", "datasets"},
    "experiments/support": {"core/base", "core/kernels", "core/compute", "core/real.h", "experiments/support"},
    "experiments/training": {"core", "nn", "quant", "optim", "datasets", "experiments/support", "experiments/training"},
    "experiments": {"core", "nn", "quant", "optim", "datasets", "experiments"},
    "tests": {"core", "nn", "quant", "optim", "datasets", "experiments", "tests"},
}
FOLDERS = sorted({prefix.split("/")[0] for prefix in MAY_INCLUDE})
# Header of an outside library -> the only files that may see it.
SEEN_BY = {
    "hdf5.h": {"experiments/support/hdf5_objects.h"},
    "cblas.h": {"core/matrix_product.cpp", "experiments/support/provenance.cpp"},  # the latter asks for its version
    "omp.h": {"core/base/parallel.cpp"},
}
# Vector kernels are compiled for processors that the rest of the program may not run on: nothing whose functions
# another object could use in its place.
SIMD_HEADERS = {"cstddef", "cstdint", "immintrin.h"}

# Kernels whose tests, for every table, go through the function above them.
TESTED_THROUGH = {
    "activation.alpha_gradient": "quantize_alpha_gradient",
    "activation.alpha_gradient_codes": "quantize_alpha_gradient",
    "activation.step_gradient": "quantize_step_gradient",
    "bits.expand": "product.expand",
    "matmul_bfloat16.tile": "kernel.tile",
    "bits.tile": "product.tile",
    "codes.raise": "max_pool_codes",
    "codes.accumulate": "sum_codes",
    "codes.add": "add_codes",
    "codes.add_scaled": "add_scaled_codes",
    "matmul_codes.pack": "kernel.pack",
    "matmul_codes.tile": "kernel.tile",
    "math.softmax": "softmax_forward",
    "math.log_softmax": "log_softmax_forward",
    "winograd.input": "Winograd::input",
    **{
        f"winograd.{name}": f"WinogradFilter::{name}"
        for name in ("output", "weight", "output_gradient", "weight_gradient")
    },
    "pool.max_forward": "max_pool_forward",
    "pool.max_backward": "max_pool_backward",
    "pool.max_backward_disjoint": "max_pool_backward",
    "pool.average_forward": "average_pool_forward",
    "pool.average_backward": "average_pool_backward",
}

MAX_LINES = 450
LONGER = {}  # path -> lines it may have, each with its reason


def sources(root):
    """Paths, relative to root, of all C++ files."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cpp"):
                yield path.relative_to(root)


def includes(path):
    text = path.read_text()
    return re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M), re.findall(
        r"^\s*#\s*include\s*<([^>]+)>", text, re.M
    )


def under(path, prefix):
    return path == prefix or path.startswith(prefix + "/")


def wrong_arrows(root):
    found = []
    for path in map(str, sources(root)):
        allowed = MAY_INCLUDE[max((p for p in MAY_INCLUDE if under(path, p)), key=len)]
        own, system = includes(root / path)
        found += [f'{path}: "{name}"' for name in own if not any(under(name, a) for a in allowed)]
        found += [f"{path}: <{name}>" for name in system if path not in SEEN_BY.get(name, {path})]
        if under(path, "core/kernels/simd"):
            found += [f"{path}: <{name}>" for name in system if name not in SIMD_HEADERS]
    return found


def long_files(root):
    lengths = {str(path): len((root / path).read_text().splitlines()) for path in sources(root)}
    return [f"{path}: {n} lines" for path, n in lengths.items() if n > LONGER.get(path, MAX_LINES)]


# What changes something, or asks the system for it: assignments, output parameters, calls that are known to. The
# arguments of a function are evaluated in any order, so that beside such a call the reason that stands in the text
# (errno, HDF5's stack) may be the one of an earlier call; and what an assert() does is not done in release.
EFFECT = re.compile(
    r"(?<![=!<>\[])=(?![=\]])|\+\+|--|[(,]\s*&\w|\bH5[A-Z]\w+\s*\(|\bgz\w+\s*\(|"
    r"\b(rename\w*|open\w*|close|read|write|pread|pwrite|fsync|fdatasync|ftruncate|fallocate|flock|fcntl|unlink|mkdir|"
    r"rmdir|mkdtemp|mkfifo|chmod|umask|kill|fork|wait\w*|sig\w+|f(?:open|close|write|read|flush|puts|printf)|"
    r"remove\w*|create_\w+|copy\w*|resize\w*|insert|emplace\w*|erase|extract|pop\w*|push\w*|reset|next|seek\w*|take\w*|"
    r"move|exchange|release)\s*\("
)


def call_at(text, opening):
    """The arguments of a call, from its opening parenthesis to the closing one."""
    depth = 0
    for end in range(opening, len(text)):
        depth += (text[end] == "(") - (text[end] == ")")
        if depth == 0:
            return text[opening : end + 1]
    return text[opening:]


def effects_in_checks(root):
    """Every check(), check_usage(), check_fits() and assert() whose arguments do something."""
    found = []
    for path in sources(root):
        text = re.sub(r'"(?:\\.|[^"\\\n])*"|//[^\n]*', '""', (root / path).read_text())
        for match in re.finditer(r"\b(?:check(?:_usage|_fits)?|assert)\s*\(", text):
            declares = re.match(r"\((?:bool|std::|const |[A-Z]\w*[&*]? \w)", text[match.end() - 1 :])
            effect = EFFECT.search(call_at(text, match.end() - 1))
            if effect and not declares:
                found.append(f"{path}:{text[: match.start()].count(chr(10)) + 1}: {effect.group().strip()}")
    return found


def kernel_fields(root):
    """(family, function) for every entry of the kernel tables."""
    fields = []
    for header in sorted((root / "core/kernels").glob("*.h")):
        family = header.stem
        fields += [(family, name) for name in re.findall(r"\(\*(\w+)\)\(", header.read_text())]
    return fields


def unmentioned(fields, files, through):
    """Fields that no file names as family.function, or by the function that stands for it."""
    text = "\n".join(path.read_text() for path in files)
    names = [f"{family}.{name}" for family, name in fields]
    return [name for name in names if not re.search(rf"\b{through.get(name, re.escape(name))}\b", text)]


def exported(objects):
    """{symbol: its letters in nm} for what the objects define and others can see."""
    symbols = {}
    for path in objects:
        out = subprocess.run(["nm", "-C", "--defined-only", path], check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            _, letter, name = line.split(" ", 2)
            if letter.isupper() or letter == "u":
                symbols[name] = symbols.get(name, "") + letter
    return symbols


def stray_symbols(objects, families, target):
    """Anything that the kernel objects of one instruction set export beside one strong constant per family."""
    wanted = {f"coarsegrad::kernels::{target}::{family}" for family in families}
    got = exported(objects)
    stray = [f"{letters} {name}" for name, letters in got.items() if name not in wanted or letters not in "BDR"]
    return stray + [f"missing: {name}" for name in wanted - got.keys()]


def declared_families(root, target):
    text = (root / "core/kernels/tables.h").read_text()
    block = text.split(f"namespace {target} {{")[1].split("}")[0]
    if "families.inc" in block:
        return re.findall(r"^(?:REAL_)?FAMILY\(\w+, (\w+)\)", (root / "core/kernels/families.inc").read_text(), re.M)
    return re.findall(r"extern const \w+(?:<float>)? (\w+);", block)


def planted(files):
    """A folder with these files, for a rule to be tried on."""
    folder = tempfile.TemporaryDirectory()
    for path, text in files.items():
        place = pathlib.Path(folder.name) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return folder


class Arrows(unittest.TestCase):
    def test_every_include_follows_the_arrows(self):
        self.assertGreater(len(list(sources(ROOT))), 50)
        self.assertEqual(wrong_arrows(ROOT), [])

    def test_planted_violations_are_found(self):
        files = {
            "nn/a.cpp": '#include "quant/activations/uniform.h"\n#include "core/ops.h"\n',
            "optim/b.h": '#  include "nn/module.h"\n',
            "core/base/c.cpp": '#include "core/tensor.h"\n',
            "core/d.cpp": "#include <hdf5.h>\n#include <vector>\n",
            "core/kernels/simd/e.cpp": '#include <algorithm>\n#include "core/base/check.h"\n',
            "experiments/f.cpp": '#include "nn/module.h"\n',
        }
        with planted(files) as folder:
            found = wrong_arrows(pathlib.Path(folder))
        self.assertEqual(
            sorted(found),
            [
                'core/base/c.cpp: "core/tensor.h"',
                "core/d.cpp: <hdf5.h>",
                'core/kernels/simd/e.cpp: "core/base/check.h"',
                "core/kernels/simd/e.cpp: <algorithm>",
                'nn/a.cpp: "quant/activations/uniform.h"',
                'optim/b.h: "nn/module.h"',
            ],
        )


def shown_program(readme):
    """The first C++ block of a Markdown text."""
    return re.search(r"```cpp\n(.*?)```", readme, re.S).group(1)


def dead_links(root):
    """(page, target) of every relative link in a Markdown page whose target is not there."""
    pages = [p for p in root.rglob("*.md") if not {"build", "results", "data"} & set(p.relative_to(root).parts[:1])]
    return [
        (str(page.relative_to(root)), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]


class Pages(unittest.TestCase):
    def test_the_program_in_the_readme_is_the_one_that_is_built(self):
        built = (ROOT / "tests/consumer/experiment.cpp").read_text()
        self.assertEqual(shown_program((ROOT / "README.md").read_text()), built)
        self.assertTrue(40 <= len(built.splitlines()) <= 60)

    def test_every_link_leads_somewhere(self):
        self.assertEqual(dead_links(ROOT), [])

    def test_a_planted_dead_link_is_found(self):
        with planted({"a.md": "[b](b.md) [c](c/d.png)", "b.md": ""}) as root:
            self.assertEqual(dead_links(pathlib.Path(root)), [("a.md", "c/d.png")])


class Effects(unittest.TestCase):
    def test_no_check_does_anything_but_look(self):
        self.assertEqual(effects_in_checks(ROOT), [])

    def test_planted_effects_are_found(self):
        files = {
            "core/a.cpp": 'check(rename(a, b) == 0, a, ": ", std::strerror(errno));\n',
            "core/b.cpp": 'int x;\ncheck_usage(ok &&\n  H5Dwrite(d, data) >= 0, "log: ", hdf5_reason());\n',
            "nn/c.cpp": 'check(names.insert(name).second, "twice");\nassert(++n < 3);\n',
            "optim/d.cpp": 'check((n = size()) > 0, "none");\ncheck(convert(text, &value), "no number");\n',
            "quant/e.h": 'check(a == b && c <= d && e != f && std::isfinite(f), "x = 3, rename(y)");  // open(x)\n'
            "template <class T> void check(bool ok, const T& text = {}) { text.insert(ok); }\n",
        }
        with planted(files) as folder:
            found = effects_in_checks(pathlib.Path(folder))
        self.assertEqual(
            found,
            [
                "core/a.cpp:1: rename(",
                "core/b.cpp:2: H5Dwrite(",
                "nn/c.cpp:1: insert(",
                "nn/c.cpp:2: ++",
                "optim/d.cpp:1: =",
                "optim/d.cpp:2: , &v",
            ],
        )


class Lengths(unittest.TestCase):
    def test_no_file_is_longer_than_the_budget(self):
        self.assertEqual(long_files(ROOT), [])

    def test_the_exceptions_are_still_needed(self):
        for path in LONGER:
            self.assertGreater(len((ROOT / path).read_text().splitlines()), MAX_LINES)

    def test_a_planted_long_file_is_found(self):
        with planted({"core/a.cpp": "int a;\n" * (MAX_LINES + 1), "core/b.cpp": "int b;\n" * MAX_LINES}) as folder:
            self.assertEqual(long_files(pathlib.Path(folder)), [f"core/a.cpp: {MAX_LINES + 1} lines"])


class Kernels(unittest.TestCase):
    def setUp(self):
        self.fields = kernel_fields(ROOT)
        self.assertGreater(len(self.fields), 30)

    def test_every_kernel_is_timed(self):
        bench = [ROOT / "experiments/bench" / name for name in ("bench_kernels.cpp", "code_jobs.cpp")]
        self.assertEqual(unmentioned(self.fields, bench, {}), [])

    def test_every_kernel_is_tested(self):
        tests = list((ROOT / "tests/core").rglob("*_test.cpp"))
        self.assertEqual(unmentioned(self.fields, tests, TESTED_THROUGH), [])

    def test_a_planted_kernel_is_missed(self):
        bench = [ROOT / "experiments/bench" / name for name in ("bench_kernels.cpp", "code_jobs.cpp")]
        self.assertEqual(unmentioned(self.fields + [("norm", "median")], bench, {}), ["norm.median"])


class Symbols(unittest.TestCase):
    """An inline function that a vector object exports could be picked by the linker for code that runs anywhere."""

    def check_build(self, target):
        objects = sorted((BUILD / f"core/kernels/CMakeFiles/coarsegrad_kernels_{target}.dir").rglob("*.o"))
        self.assertTrue(objects, f"no kernel objects in {BUILD}: build first, or set COARSEGRAD_BUILD")
        if "-fsanitize" in (BUILD / "CMakeCache.txt").read_text():
            self.skipTest("skipped: sanitizers add symbols of their own")
        self.assertEqual(stray_symbols(objects, declared_families(ROOT, target), target), [])

    def test_avx2_objects_export_their_tables_only(self):
        self.check_build("avx2")

    def test_avx512_objects_export_their_tables_only(self):
        self.check_build("avx512")

    def test_avx512vnni_objects_export_their_tables_only(self):
        self.check_build("avx512vnni")

    def test_avx512vpopcntdq_objects_export_their_tables_only(self):
        self.check_build("avx512vpopcntdq")

    def test_avx512bf16_objects_export_their_tables_only(self):
        self.check_build("avx512bf16")

    def test_amx_objects_export_their_tables_only(self):
        self.check_build("amx")

    def test_a_planted_inline_function_is_found(self):
        source = (
            "namespace coarsegrad::kernels::avx2 { extern const int norm; const int norm = 3; }\n"
            "inline int shared() { return 1; }\nint (*use)() = shared;\n"
        )
        with planted({"a.cpp": source}) as folder:
            place = pathlib.Path(folder)
            subprocess.run(["c++", "-O0", "-c", "a.cpp", "-o", "a.o"], cwd=place, check=True)
            stray = stray_symbols([place / "a.o"], ["norm", "pool"], "avx2")
        self.assertEqual(sorted(stray), ["D use", "W shared()", "missing: coarsegrad::kernels::avx2::pool"])


class SymbolsUnoptimised(unittest.TestCase):
    """The same with nothing inlined, whatever the build: where most such functions show."""

    def test_kernel_sources_compiled_without_optimisation_export_their_tables_only(self):
        commands = json.loads((BUILD / "compile_commands.json").read_text())
        for target in ("avx2", "avx512", "avx512vnni", "avx512vpopcntdq", "avx512bf16", "amx"):
            jobs = [c for c in commands if f"coarsegrad_kernels_{target}.dir" in c["command"]]
            self.assertTrue(jobs)
            with tempfile.TemporaryDirectory() as folder:
                objects = [self.compiled(job, pathlib.Path(folder)) for job in jobs]
                self.assertEqual(stray_symbols(objects, declared_families(ROOT, target), target), [])

    def compiled(self, job, folder):
        out = folder / (pathlib.Path(job["file"]).stem + ".o")
        words = [w for w in shlex.split(job["command"]) if not re.match(r"-O|-g|-fsanitize|-fno-sanitize", w)]
        words[words.index("-o") + 1] = str(out)
        subprocess.run(words + ["-O0"], cwd=job["directory"], check=True)
        return out


if __name__ == "__main__":
    unittest.main(verbosity=2)
