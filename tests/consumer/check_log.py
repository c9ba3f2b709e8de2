"""Three lines of h5py are enough to read a log, whoever wrote it."""
import sys

import h5py

with h5py.File(sys.argv[1], "r", swmr=True) as log:
    value = log["series/train/loss/value"][:]
    status = log.attrs["status"].decode()
assert (len(value), status) == (20, "finished"), (len(value), status)
assert value[-5:].mean() < value[:5].mean(), value
