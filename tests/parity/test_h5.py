"""The zstd filter of base/h5.h against hdf5plugin's, both ways."""

import os
import subprocess
import tempfile

import h5py
import hdf5plugin
import numpy as np

EXCHANGE = os.path.join(os.environ["BUILD"], "tests", "test_base_json_h5")


def main():
    i = np.arange(3 * 4096 + 100)
    expected = (i // 7 * 1000 - i // 500).astype("<i4")
    with tempfile.TemporaryDirectory() as folder:
        ours = os.path.join(folder, "ours.h5")
        theirs = os.path.join(folder, "theirs.h5")
        subprocess.run([EXCHANGE, "write", ours], check=True)
        with h5py.File(ours, "r") as f:
            assert np.array_equal(f["filtered"][:], expected)
            assert f["few"][:].tolist() == [1.5, -2.0, 0.0]
            assert f["none"].shape == (0,)
            assert f.attrs["format"] == "grüß"
            assert f.attrs["count"] == 2**64 - 1
        with h5py.File(theirs, "w") as f:
            f.create_dataset("filtered", data=expected, chunks=(4096,), **hdf5plugin.Zstd(clevel=9))
        subprocess.run([EXCHANGE, "read", theirs], check=True)


if __name__ == "__main__":
    main()
