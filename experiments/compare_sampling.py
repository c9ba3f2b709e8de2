#!/usr/bin/python3
"""Our Monte Carlo of the three coarse gradients against a peer's, alternated in one run.

  compare_sampling.py --peers DIR [--bin DIR] [--rounds N]

DIR holds torch_toy.py, which takes M N SAMPLES and prints "... X samples/s, ...". Both sides use two threads. Prints a
Markdown table: medians over the rounds, and the median and the spread of the ratios of single rounds. Without the peer
it prints a skip and ends well."""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

SIZES = ((20, 100, 20000), (10, 20, 200000))
TABLES = ("avx512", "avx2")
THREADS = "2"


def figure(command, pattern):
    """The number that `pattern` finds in what the command prints; None if it ended with wrong usage."""
    environment = dict(os.environ, OMP_NUM_THREADS=THREADS)
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 2:
        return None
    found = re.search(pattern, done.stdout)
    if done.returncode != 0 or not found:
        sys.exit(f"compare_sampling: {command[0]} failed: {done.stderr.strip()[-300:]}")
    return float(found.group(1))


def compare(size, peer, binary, rounds, log):
    """One line of the table for each kernel table that this CPU runs."""
    m, n, samples = size
    ours = [binary, "--m", m, "--n", n, "--samples", samples, "--threads", THREADS, "--out", log, "--quiet"]
    theirs, speeds = [], {table: [] for table in TABLES}
    for _ in range(rounds):
        theirs.append(figure([sys.executable, peer, m, n, samples], r"(\d+) samples/s"))
        for table in TABLES:
            speeds[table].append(figure([*ours, "--kernels", table], r"samples_per_second=(\d+)"))
    for table in TABLES:
        if None in speeds[table]:
            print(f"skipped: this CPU does not run the {table} kernels", file=sys.stderr)
            continue
        ratios = [a / b for a, b in zip(speeds[table], theirs)]
        print(f"| m={m}, n={n}, {samples} samples | {table} | {statistics.median(speeds[table]):,.0f} | "
              f"{statistics.median(theirs):,.0f} | **{statistics.median(ratios):.1f}** | "
              f"{min(ratios):.1f} to {max(ratios):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=pathlib.Path, help="folder with torch_toy.py")
    parser.add_argument("--bin", type=pathlib.Path, help="folder with bench_sampling",
                        default=pathlib.Path(__file__).parent.parent / "build/release/bin")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    peer = args.peers / "torch_toy.py" if args.peers else None
    if peer is None or not peer.exists():
        print("skipped: no torch_toy.py; --peers DIR says where it is")
        return
    print(f"| sizes | kernels | samples/s | peer's samples/s | ratio | over {args.rounds} rounds |\n"
          "| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            compare(size, peer, args.bin / "bench_sampling", args.rounds, pathlib.Path(folder) / "bench_sampling.h5")


if __name__ == "__main__":
    main()
