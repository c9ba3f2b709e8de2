#!/usr/bin/python3
"""Flags that give up IEEE arithmetic, in CXXFLAGS or a build type, do not reach the library: with and without them its
sources become the same machine code, and a program that is linked with them does not turn denormals off as it starts.

usage: arithmetic_test.py [test]...   with the build folder in COARSEGRAD_BUILD, whose compiler is used
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("COARSEGRAD_BUILD", ROOT / "build" / "release"))
COMPILER = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.M).group(1)

SINGLE_FLAGS = [
    "-ffinite-math-only",
    "-fno-signed-zeros",
    "-fassociative-math",
    "-freciprocal-math",
    "-fno-trapping-math",
    "-funsafe-math-optimizations",
    "-fno-math-errno",
    "-ffp-contract=fast",
]
# What a user may ask for: environment of the first configuration, cache entries.
ASKED = [
    ({"CXXFLAGS": "-ffast-math"}, []),
    ({}, ["-DCMAKE_CXX_FLAGS=-Ofast"]),
    ({}, ["-DCMAKE_CXX_FLAGS_RELEASE=-Ofast -DNDEBUG"]),
    ({}, ["-DCMAKE_CXX_FLAGS=" + " ".join(SINGLE_FLAGS)]),
]
# Plain code, and that of a table of vectors.
SOURCES = ["core/kernels/scalar/activation.cpp", "core/kernels/simd/math.cpp"]


def configured(folder, environment=None, settings=()):
    """{source: its compile command} of the library, configured with these."""
    subprocess.run(
        [
            "cmake",
            "-S",
            ROOT,
            "-B",
            folder,
            "-G",
            "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            "-DCOARSEGRAD_TESTS=OFF",
            "-DCOARSEGRAD_WERROR=ON",
            f"-DCMAKE_CXX_COMPILER={COMPILER}",
            *settings,
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "CXXFLAGS": "", **(environment or {})},
    )
    commands = {}
    for entry in json.loads((pathlib.Path(folder) / "compile_commands.json").read_text()):
        commands.setdefault(os.path.relpath(entry["file"], ROOT), shlex.split(entry["command"]))
    return commands


def machine_code(command, more=()):
    """What the compiler makes of a command with some more flags, as assembly without the line of its own version."""
    out = command.index("-o")
    run = subprocess.run(
        [*command[:out], *command[out + 2 :], *more, "-S", "-o", "-"], check=True, capture_output=True, text=True
    )
    return run.stdout


def link_flags(folder, program):
    """What a program is linked with that is neither an object, a library nor a place."""
    commands = subprocess.run(
        ["ninja", "-C", folder, "-t", "commands", "-s", program], check=True, capture_output=True, text=True
    ).stdout.split("&&")
    link = next(command for command in commands if f" -o {program} " in command)
    return [word for word in shlex.split(link) if word.startswith(("-f", "-O"))]


class Arithmetic(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.plain = configured(pathlib.Path(cls.folder.name) / "plain")
        cls.code = {source: machine_code(cls.plain[source]) for source in SOURCES}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_flags_that_give_up_ieee_arithmetic_do_not_reach_the_library(self):
        for number, (environment, settings) in enumerate(ASKED):
            with self.subTest(environment=environment, settings=settings):
                commands = configured(pathlib.Path(self.folder.name) / str(number), environment, settings)
                for flag in " ".join([*environment.values(), *settings]).replace("=-", " -").split():
                    if flag.startswith("-f"):
                        self.assertIn(flag, commands[SOURCES[0]])
                for source in SOURCES:
                    self.assertTrue(machine_code(commands[source]) == self.code[source], source)

    def test_the_comparison_sees_such_a_flag_behind_ours(self):
        source = SOURCES[0]
        for flag in ("-ffast-math", "-ffinite-math-only"):
            self.assertFalse(machine_code(self.plain[source], [flag]) == self.code[source], flag)

    def test_a_program_of_ours_that_is_linked_with_such_flags_leaves_denormals_on(self):
        for flags in ("-ffast-math", "-Ofast", "-funsafe-math-optimizations"):
            with self.subTest(flags=flags):
                folder = pathlib.Path(self.folder.name) / flags
                configured(folder, settings=[f"-DCMAKE_CXX_FLAGS={flags}"])
                self.assertTrue(self.flushes_denormals(folder, [flags]))
                self.assertFalse(self.flushes_denormals(folder, link_flags(folder, "bin/train")))

    @staticmethod
    def flushes_denormals(folder, flags):
        """Whether a program that is linked with these flags starts with denormals turned off."""
        program = folder / "program"
        subprocess.run(
            [COMPILER, "-x", "c++", "-", *flags, "-o", program],
            check=True,
            text=True,
            input="""
            #include <xmmintrin.h>
            int main() { return (_mm_getcsr() & 0x8040) != 0; }""",
        )
        return subprocess.run([program]).returncode == 1


if __name__ == "__main__":
    unittest.main(
        argv=sys.argv[:1] + ["Arithmetic" if name == "Arithmetic" else f"Arithmetic.{name}" for name in sys.argv[1:]]
    )
