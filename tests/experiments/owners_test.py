"""Several processes and one --out; what else is in the way of an output, and what an output is in the way of."""
import json
import os
import pathlib
import re
import signal
import stat
import struct
import subprocess
import time
import unittest

from check_log import check_log, open_log, status
from train_kill_test import SANITIZED, TINY, TrainTest, command, outcome, run

LOG_WRITER, MNIST_STE = os.environ["LOG_WRITER"], os.environ["MNIST_STE"]
SWEEP = {
    "--digits": "drawn",
    "--images": 400,
    "--held-out": 40,
    "--epochs": 1,
    "--float-epochs": 1,
    "--seeds": 1,
    "--ste": "relu,clipped_relu",
    "--bits": 2,
}


def metadata_of(path):
    content = path.read_bytes()
    return json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])["__metadata__"]


def sweep_command(log, changes={}):
    flags = SWEEP | {"--out": log} | changes
    return [MNIST_STE, "--quiet", *(str(word) for flag in flags.items() for word in flag)]


def wait_for(path, process, seconds=60):
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end or process.poll() is not None:
            raise AssertionError(f"{path} does not appear")
        time.sleep(0.001)


def wait_until_locked(path, process):
    """The file is there before its lock is taken, and a process that is stopped in between owns nothing."""
    wait_for(path, process)
    place = f":{path.stat().st_ino} "
    end = time.monotonic() + 60
    while place not in pathlib.Path("/proc/locks").read_text(encoding="ascii"):
        if time.monotonic() > end or process.poll() is not None:
            raise AssertionError(f"{path} is not locked")
        time.sleep(0.001)


class OwnersTest(TrainTest):
    def started(self, words, **options):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def assert_refused(self, code, errors, wanted_code, text):
        self.assertEqual(code, wanted_code, errors)
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertIn(text, errors)

    def started_at_once(self, commands):
        """The number of the only one that ends well; the others say in one line why they do not."""
        processes = [self.started(words) for words in commands]
        ends = [(process.communicate()[1], process.returncode) for process in processes]
        winners = [i for i, (_, code) in enumerate(ends) if code == 0]
        self.assertEqual(len(winners), 1, ends)
        for i, (errors, code) in enumerate(ends):
            if i not in winners:
                late = code == 2  # it came when the first had ended
                self.assert_refused(
                    code, errors, 2 if late else 1, "was begun with" if late else "is being written by process"
                )
        return winners[0], sum(code == 1 for _, code in ends)


class Rounds(OwnersTest):
    def rounds(self, count):
        refused = 0
        for i in range(count):
            log = self.place(f"round {i}")
            changes = {"--images": 300, "--epochs": 6, "--save-steps": 1, "--threads": 1}
            starters = range(1, 3 + i % 4)
            winner, beaten = self.started_at_once([command(log, changes | {"--seed": seed}) for seed in starters])
            refused += beaten
            with open_log(log) as file:
                self.assertEqual((file.attrs["seed"], status(file)), (starters[winner], "finished"))
            config = json.loads(metadata_of(log.with_suffix(".checkpoint"))["config"])
            self.assertEqual(config["seed"], starters[winner])
            networks = [
                metadata_of(log.with_suffix(f".{kind}.safetensors"))["training_sha256"] for kind in ("best", "last")
            ]
            self.assertEqual(networks, [metadata_of(log.with_suffix(".checkpoint"))["config_sha256"]] * 2)
            self.assertEqual(
                sorted(path.name for path in log.parent.iterdir()),
                ["x.best.safetensors", "x.checkpoint", "x.h5", "x.last.safetensors"],
            )
        print(f"{count} rounds, {refused} starters found an owner")
        self.assertGreater(refused, 0)

    def test_ten(self):
        self.rounds(3 if SANITIZED else 10)

    def test_hundred(self):
        self.rounds(100)

    def test_sweeps(self):
        for i in range(2):
            log = self.place(f"sweep {i}")
            winner, _ = self.started_at_once([sweep_command(log, {"--seed": seed}) for seed in (1, 2, 3)])
            wanted = winner + 1
            self.assertEqual(json.loads(log.with_suffix(".json").read_text())["config"]["seed"], wanted)
            self.assertEqual(json.loads((log.parent / "x.h5.cells/settings.json").read_text())["seed"], wanted)
            with open_log(log) as file:
                self.assertEqual(file.attrs["seed"], wanted)


class Stopped(OwnersTest):
    """A training that stands still is not taken over."""

    CHANGES = {"--save-steps": 1, "--epochs": 4}

    def stopped_owner(self):
        self.wanted = self.finishes(self.place("whole"), self.CHANGES)
        owner = self.started(command(self.log, self.CHANGES))
        wait_for(self.checkpoint, owner)
        owner.send_signal(signal.SIGSTOP)
        return owner

    def goes_on(self, owner):
        owner.send_signal(signal.SIGCONT)
        errors = owner.communicate()[1]
        self.assertEqual(owner.returncode, 0, errors)
        self.assert_same(outcome(self.log), self.wanted)

    def test_under_another_host_name(self):
        owner = self.stopped_owner()
        script = 'hostname somewhere-else || exit 77; exec "$@"'
        namespace = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--uts", "--map-root-user"]
        done = subprocess.run(
            [*namespace, "sh", "-c", script, "sh", *command(self.log, self.CHANGES)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or done.stderr.startswith("unshare"):
            print("skipped: a process cannot have a host name of its own here:", done.stderr.strip())
            self.skipTest("unshare")
        self.assert_refused(done.returncode, done.stderr, 1, f"is being written by process {owner.pid}")
        self.goes_on(owner)

    def test_before_it_has_a_log(self):
        changes = TINY | {"--images": 3000, "--held-out": 2920}  # which take a while to draw
        owner = self.started(command(self.log, changes))
        wait_until_locked(self.log.with_name(".x.lock"), owner)
        owner.send_signal(signal.SIGSTOP)
        if self.log.exists():
            print("skipped: this machine was too slow to stop it in time")
            self.skipTest("too late")
        done = run(self.log, changes)
        self.assert_refused(done.returncode, done.stderr, 1, "is being written by ")
        owner.send_signal(signal.SIGCONT)
        self.assertEqual((owner.communicate()[1], owner.returncode), ("", 0))

    def test_for_65_seconds(self):
        owner = self.stopped_owner()
        time.sleep(65)
        done = run(self.log, self.CHANGES)
        self.assert_refused(done.returncode, done.stderr, 1, f"is being written by process {owner.pid}")
        self.goes_on(owner)

    def test_killed(self):
        owner = self.stopped_owner()
        owner.kill()
        owner.wait()
        self.assertTrue(self.log.with_name(".x.lock").exists())
        self.assert_same(self.finishes(self.log, self.CHANGES), self.wanted)
        self.assertFalse(self.log.with_name(".x.lock").exists())


class NoLocks(OwnersTest):
    """A file system that has no locks."""

    FLAGS = ["--quiet", "--rows", "200000", "--pause-ms", "1"]

    def setUp(self):
        super().setUp()
        if SANITIZED:
            print("skipped: a sanitizer's runtime must be loaded before anything else")
            self.skipTest("sanitizers")
        self.log.parent.mkdir()
        self.environment = dict(os.environ, LD_PRELOAD=os.environ["NO_LOCKS"])
        self.without = dict(self.environment, HDF5_USE_FILE_LOCKING="FALSE")

    def refused(self, text, *flags, env):
        done = subprocess.run(
            [LOG_WRITER, *self.FLAGS, "--out", str(self.log), *flags],
            capture_output=True,
            text=True,
            env=env,
            timeout=60,
            check=False,
        )
        self.assert_refused(done.returncode, done.stderr, 1, text)

    def test_is_named_with_what_helps(self):
        self.refused(
            f"log {self.log}: the file system has no locks (No locks available); with "
            "HDF5_USE_FILE_LOCKING=FALSE in the environment it is written without",
            env=self.environment,
        )
        self.assertEqual(list(self.log.parent.iterdir()), [])

    def test_only_the_user_takes_over(self):
        words = [LOG_WRITER, *self.FLAGS, "--out", str(self.log)]
        owner = self.started(words, env=self.without)
        wait_for(self.log, owner)
        self.refused(f"belongs to process {owner.pid} on ", env=self.without)
        self.refused("last sign of life is ", env=self.without)
        owner.kill()
        owner.wait()
        self.refused("--take-over", env=self.without)
        successor = self.started([*words, "--take-over"], env=self.without)
        wait_for(self.log.with_name("x.h5~"), successor)
        self.refused(f"belongs to process {successor.pid} on ", env=self.without)
        successor.terminate()
        successor.communicate()
        self.assertEqual(successor.returncode, 130)
        check_log(self.log)
        self.assertEqual(sorted(path.name for path in self.log.parent.iterdir()), ["x.h5", "x.h5~"])


class Places(OwnersTest):
    """What cannot be written in the end is found out before the first step, and nobody's files are replaced."""

    def left(self, folder=None):
        paths = pathlib.Path(folder or self.folder.name).rglob("*")
        return {path: path.read_bytes() if path.is_file() else None for path in paths}

    def refused(self, code, text, log, changes=TINY, **options):
        before = self.left()
        done = run(log, changes, **options)
        self.assert_refused(done.returncode, done.stderr, code, text)
        self.assertEqual(self.left(), before)

    def test_a_folder_where_a_file_will_be(self):
        for name in ("x.best.safetensors", "x.last.safetensors", "x.checkpoint", "x.h5"):
            with self.subTest(name):
                log = self.place(name)
                (log.parent / name).mkdir(parents=True)
                self.refused(1, "Is a directory", log)

    def test_a_folder_where_a_cell_keeps_its_network(self):
        name = self.log.parent / "x.h5.cells/float.last.safetensors"
        name.mkdir(parents=True)
        done = subprocess.run(sweep_command(self.log), capture_output=True, text=True, check=False)
        self.assert_refused(done.returncode, done.stderr, 1, "float.last.safetensors")
        self.assertIn("Is a directory", done.stderr)
        self.assertEqual([path.name for path in name.parent.iterdir() if "checkpoint" in path.name], [])

    def test_names_that_are_too_long(self):
        folder = self.log.parent
        folder.mkdir()
        done = run(folder / ("n" * 235 + ".h5"), TINY)
        self.assert_refused(done.returncode, done.stderr, 2, "given a name of 238 bytes, expected at most ")
        longest = int(re.search(r"at most (\d+)", done.stderr).group(1))
        self.refused(2, "expected at most", folder / ("n" * (longest - 2) + ".h5"))
        self.finishes(folder / ("n" * (longest - 3) + ".h5"), TINY)

    def test_names_of_no_file(self):
        for out, text in (("", "given nothing"), ("sub/", "given a folder"), ("/", "given a folder")):
            self.refused(2, text, out, cwd=self.folder.name)

    def test_dots_in_a_name(self):
        rates = {rate: pathlib.Path(self.folder.name) / f"lr{rate}" for rate in (0.05, 0.1)}
        for rate, log in rates.items():
            done = run(log, TINY | {"--lr": rate})
            self.assertEqual(done.returncode, 0, done.stderr)
        for rate, log in rates.items():
            config = metadata_of(pathlib.Path(f"{log}.checkpoint"))["config"]
            self.assertEqual(json.loads(config)["lr"], rate)
            self.assertTrue(pathlib.Path(f"{log}.best.safetensors").exists())
        for rate in (0.05, 0.1):
            out = pathlib.Path(self.folder.name) / f"m{rate}"
            subprocess.run(sweep_command(out, {"--lr": rate, "--ste": "relu"}), check=True, capture_output=True)
        for rate in (0.05, 0.1):
            summary = json.loads((pathlib.Path(self.folder.name) / f"m{rate}.json").read_text())
            self.assertEqual(summary["config"]["lr"], rate)

    def test_the_summary_of_another_log(self):
        subprocess.run(sweep_command(self.log, {"--ste": "relu"}), check=True, capture_output=True)
        before = self.left()
        done = subprocess.run(
            sweep_command(self.log.with_suffix(".hdf5"), {"--ste": "relu", "--lr": 0.2}),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assert_refused(done.returncode, done.stderr, 2, "x.json, which is something else")
        self.assertEqual(self.left(), before)

    def test_a_network_of_the_users_own(self):
        self.log.parent.mkdir()
        self.log.with_suffix(".best.safetensors").write_bytes(b"years of work")
        self.refused(1, "x.best.safetensors: is there already and is of another training", self.log)

    def test_the_networks_of_another_training(self):
        self.finishes(self.log, TINY)
        self.finishes(self.log, TINY)  # the same one may write them again
        self.checkpoint.unlink()
        self.refused(
            1, "x.best.safetensors: is there already and is of another training", self.log, TINY | {"--lr": 0.5}
        )

    def test_a_link_that_leads_nowhere(self):
        self.log.parent.mkdir()
        self.log.symlink_to("nowhere")
        self.refused(1, "is a symbolic link that leads nowhere", self.log)

    def test_leftovers_of_killed_processes_go(self):
        self.log.parent.mkdir()
        child = subprocess.Popen(["true"])
        child.wait()
        for name in ("x.h5", "x.checkpoint", "x.best.safetensors"):
            self.log.with_name(f".{name}.{child.pid}.tmp").touch()
        others = self.log.with_name(f".x.h5.{os.getpid()}.tmp")
        others.touch()
        self.finishes(self.log, TINY)
        self.assertEqual([path for path in self.log.parent.iterdir() if path.suffix == ".tmp"], [others])

    def test_permissions_are_those_of_the_umask(self):
        for mask in (0o002, 0o027):
            log = self.place(f"umask {mask:o}")
            done = run(log, TINY, preexec_fn=lambda: os.umask(mask))
            self.assertEqual(done.returncode, 0, done.stderr)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in log.parent.iterdir()}
            self.assertEqual(modes, dict.fromkeys(modes, 0o666 & ~mask))
            self.assertEqual(len(modes), 4)

    def test_a_terminal_that_is_full(self):
        with open("/dev/full", "w") as full:
            for words in ([os.environ["TRAIN"], "--help"], command(self.log, TINY)):
                done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                self.assert_refused(done.returncode, done.stderr, 1, "standard output: No space left on device")
        with open_log(self.log) as file:
            self.assertEqual(status(file), "finished")


class Misfit(OwnersTest):
    def test_a_log_and_a_checkpoint_that_do_not_fit_say_what_can_be_done(self):
        other = self.place("other")
        self.finishes(self.log, TINY)
        self.finishes(other, TINY | {"--epochs": 2})
        self.log.write_bytes(other.read_bytes())
        done = run(self.log, TINY)
        self.assert_refused(done.returncode, done.stderr, 1, "remove the checkpoint to begin anew")
        self.checkpoint.unlink()
        self.finishes(self.log, TINY)
        self.assertEqual(self.log.with_name("x.h5~").read_bytes(), other.read_bytes())


if __name__ == "__main__":
    unittest.main()
