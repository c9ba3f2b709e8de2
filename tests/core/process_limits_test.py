#!/usr/bin/python3
"""A program under a limit that leaves no room for threads it does not need ends at once: with success, or with exit
code 1 and one line.

usage: process_limits_test.py memory|processes PROGRAM [ARGUMENT]...
Exit code 0: so it is; 1: it is not; 77: skipped, with the reason.
"""
import os
import pathlib
import resource
import subprocess
import sys

SKIPPED, NOBODY, SECONDS = 77, 65534, 10


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (150_000 << 10, 150_000 << 10))


def limit_processes():
    if os.getuid() == 0:  # for root the limit does not count
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def main(limit, command):
    if b"__asan_init" in pathlib.Path(command[0]).read_bytes():
        skip("the sanitizers need more memory and a thread of their own")
    if len(os.sched_getaffinity(0)) == 1:
        skip("on one processor nobody starts threads")
    try:
        run = subprocess.run(
            command,
            preexec_fn={"memory": limit_memory, "processes": limit_processes}[limit],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{command}: still running after {SECONDS} s")
    except (PermissionError, subprocess.SubprocessError) as error:
        skip(f"the program cannot be started under this limit: {error}")
    lines = run.stderr.splitlines()
    if run.returncode == 0 and not lines or run.returncode == 1 and len(lines) == 1:
        return
    sys.exit(f"{command}: exit code {run.returncode}, expected 0, or 1 with one line; standard error:\n{run.stderr}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
