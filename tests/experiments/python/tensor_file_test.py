"""Tensor files in Python: what is written comes back, what is hostile is refused in the words of the C++ reader."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

import synthetic
from coarsegrad import TensorFileError, read_tensor_file, write_tensor_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hostile_tensor_files import hostile_tensor_files  # noqa: E402


class TensorFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "a.safetensors"

    def write_as_others_do(self, entries):
        """A file of name -> (dtype, array) without a checksum, as safetensors.torch writes it."""
        header, values = {}, b""
        for key, (dtype, array) in entries.items():
            data = np.asarray(array).tobytes()
            begin, end = len(values), len(values) + len(data)
            header[key] = {"dtype": dtype, "shape": list(np.shape(array)), "data_offsets": [begin, end]}
            values += data
        text = json.dumps(header).encode()
        self.path.write_bytes(struct.pack("<Q", len(text)) + text + values)

    def assert_refused(self, call, pattern):
        with self.assertRaisesRegex(TensorFileError, pattern) as caught:
            call()
        self.assertTrue(str(caught.exception).startswith(f"{self.path}: "))
        self.assertNotIn("\n", str(caught.exception))

    def test_what_is_written_comes_back_in_order_and_can_be_changed(self):
        tensors = {
            "z": np.arange(6, dtype=np.float32).reshape(2, 3).T,
            "scalar": np.float64(2.5),
            "empty": np.zeros((0, 3), np.float16),
            "ü": [[1.0, np.nan], [np.inf, -0.0]],
        }
        metadata = {"settings": '{"net": "lenet5"}', "text": "ü\n"}
        write_tensor_file(self.path, tensors, metadata)
        file = read_tensor_file(self.path)
        self.assertEqual(list(file.tensors), list(tensors))
        self.assertEqual(file.metadata, metadata)
        for name, array in tensors.items():
            self.assertEqual(file.tensors[name].dtype, np.float32)
            np.testing.assert_array_equal(file.tensors[name], array)
        file.tensors["z"][0, 0] = 7
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_a_file_of_the_cxx_writer_is_written_again_byte_for_byte(self):
        for name in ("resnet20_float", "resnet20_1w4a"):
            written = synthetic.EXPERIMENTS / "zoo" / f"{name}.safetensors"
            file = read_tensor_file(written)
            self.assertGreater(len(file.tensors), 50)
            self.assertIn("settings", file.metadata)
            write_tensor_file(self.path, file.tensors, file.metadata)
            self.assertEqual(self.path.read_bytes(), written.read_bytes())

    def test_every_type_of_number_of_a_foreign_file_is_read(self):
        brain = np.array([1.5, -2.0, np.inf], np.float32)
        others = {
            "F64": [1e300],
            "F32": [0.1],
            "F16": [0.5],
            "I64": [-(2**60)],
            "I32": [7],
            "I16": [7],
            "I8": [-7],
            "U8": [255],
            "BOOL": [True],
        }
        kinds = dict(zip(others, ("<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "i1", "u1", "?")))
        entries = {kind: (kind, np.array(values, kinds[kind])) for kind, values in others.items()}
        self.write_as_others_do(entries | {"BF16": ("BF16", (brain.view("<u4") >> 16).astype("<u2"))})
        tensors = read_tensor_file(self.path).tensors
        np.testing.assert_array_equal(tensors["BF16"], brain)
        for kind, (_, array) in entries.items():
            self.assertEqual(tensors[kind].dtype, array.dtype)
            np.testing.assert_array_equal(tensors[kind], array)

    def test_what_no_reader_takes_is_not_written_and_the_old_file_stays(self):
        write_tensor_file(self.path, {"a": [1.0]})
        before = self.path.read_bytes()
        for tensors, metadata, said in (
            ({"a": [1]}, {}, "'a': given int64, expected floating point numbers"),
            ({"a": ["x"]}, {}, "'a': given <U1, expected floating point numbers"),
            ({"a": [1e300]}, {}, r"'a': given 1e\+300, expected numbers that float32 holds"),
            ({"__metadata__": [1.0]}, {}, "given a tensor called '__metadata__', which is taken"),
            ({}, {"sha256": "0"}, "given metadata 'sha256', which is taken"),
            ({}, {"long": "x" * (32 << 20)}, "given names and metadata of 33554.* bytes, expected at most 33554432"),
        ):
            self.assert_refused(lambda: write_tensor_file(self.path, tensors, metadata), said)
        with self.assertRaises(OSError):
            write_tensor_file(self.path / "nowhere", {"a": [1.0]})
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(os.listdir(self.path.parent), [self.path.name])

    def test_every_hostile_file_of_the_shared_table_is_refused_in_its_words(self):
        count = 0
        for name, content, says in hostile_tensor_files():
            with self.subTest(name):
                self.path.write_bytes(content)
                with self.assertRaises(TensorFileError) as caught:
                    read_tensor_file(self.path)
                said = str(caught.exception)
                self.assertTrue(said.startswith(f"{self.path}: {says}"), said)
                self.assertLess(len(said), 500)
                self.assertTrue(said.isprintable())
            count += 1
        self.assertGreater(count, 30)

    def test_a_changed_byte_and_a_cut_file_are_noticed(self):
        write_tensor_file(self.path, {"a": np.arange(5.0), "b": np.ones((2, 2))}, {"text": "x"})
        good = self.path.read_bytes()
        harmless = 0
        for place in range(len(good)):
            spoiled = bytearray(good)
            spoiled[place] ^= 1
            self.path.write_bytes(spoiled)
            try:
                read_tensor_file(self.path)
                harmless += 1  # white space behind the header, or an escape that means the same
            except TensorFileError:
                pass
        self.assertLess(harmless, 8)
        for length in range(len(good)):
            self.path.write_bytes(good[:length])
            self.assert_refused(lambda: read_tensor_file(self.path), "")

    def test_what_is_no_regular_file_is_refused_without_waiting(self):
        self.assert_refused(lambda: read_tensor_file(self.path), "cannot be opened: No such file")
        os.mkfifo(self.path)
        self.assert_refused(lambda: read_tensor_file(self.path), "is not a regular file")
        for path in ("/dev/zero", self.path.parent):
            with self.assertRaisesRegex(TensorFileError, "is not a regular file"):
                read_tensor_file(path)

    def test_numpy_is_all_that_it_takes(self):
        script = (
            "import sys; sys.modules.update(h5py=None, matplotlib=None); import coarsegrad as c; "
            "c.write_tensor_file(sys.argv[1], {'a': [1.0]}); print(c.read_tensor_file(sys.argv[1]).tensors)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, self.path],
            env=synthetic.ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        self.assertEqual((done.stdout, done.stderr), ("{'a': array([1.], dtype=float32)}\n", ""))


if __name__ == "__main__":
    unittest.main()
