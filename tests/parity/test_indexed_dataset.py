"""secenc corpus export --to megatron against a reader written from the format (struct, numpy.memmap) and,
where megatron-core is installed, its IndexedDataset: document by document what h5py finds in the shards."""

import json
import os
import struct
import subprocess
import tempfile

import h5py
import hdf5plugin  # noqa: F401  (registers filter 32015)
import numpy as np

SECENC = os.environ["SECENC"]


def run(*args, **kwargs):
    return subprocess.run([SECENC, *args, "--quiet"], check=True, stdout=subprocess.PIPE, **kwargs)


def shard_documents(data, split):
    documents = []
    with open(os.path.join(data, "MANIFEST.jsonl")) as f:
        shards = [json.loads(line) for line in f][1:]
    shards = [s for s in shards if s["split"] == split]
    for shard in shards:
        with h5py.File(os.path.join(data, shard["path"]), "r") as f:
            tokens, ends = f["tokens"][:], f["doc_off"][:]
            documents += [tokens[a:b] for a, b in zip(ends, ends[1:])]
    return documents, len(shards)


def read_indexed(prefix):
    with open(prefix + ".idx", "rb") as f:
        assert f.read(9) == b"MMIDIDX\x00\x00"
        version, dtype, n, n_ends = struct.unpack("<QBQQ", f.read(25))
        assert (version, dtype, n_ends) == (1, 8, n + 1)
        lengths = np.frombuffer(f.read(4 * n), "<i4")
        offsets = np.frombuffer(f.read(8 * n), "<i8")
        documents = np.frombuffer(f.read(8 * n_ends), "<i8")
        assert f.read() == b""
    assert (documents == np.arange(n_ends)).all()
    tokens = np.memmap(prefix + ".bin", dtype="<u2", mode="r")
    assert len(tokens) == lengths.sum()
    return [tokens[o // 2 : o // 2 + k] for o, k in zip(offsets, lengths)]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b))


def megatron_reader(prefix):
    try:
        from megatron.core.datasets.indexed_dataset import IndexedDataset
    except ImportError:
        return None
    dataset = IndexedDataset(prefix)
    assert (dataset.document_indices == np.arange(len(dataset) + 1)).all()
    return [dataset[i].copy() for i in range(len(dataset))]  # closing it unmaps the views


def check_failures(data, prefix):
    """Not without --force; after a failed run the old index is gone rather than wrong."""
    args = [SECENC, "corpus", "export", data, "-o", prefix, "--quiet"]
    again = subprocess.run(args, stderr=subprocess.PIPE, text=True)
    assert again.returncode == 2 and "--force" in again.stderr, again
    for fault in ("write:1", "write:7", "rename:1", "fsync:1", "fsync:3"):
        full = subprocess.run([*args, "--force"], stderr=subprocess.PIPE, text=True,
                              env={**os.environ, "SECENC_FAULT": fault})
        assert full.returncode == 1 and "No space left" in full.stderr, (fault, full)
        assert not os.path.exists(prefix + ".idx"), fault
        assert not any(".tmp" in n for n in os.listdir(os.path.dirname(prefix))), fault
    run("corpus", "export", data, "-o", prefix, "--force")


def main():
    with tempfile.TemporaryDirectory() as folder:
        logs, corpus, tok, data, out = (os.path.join(folder, n) for n in ("logs", "corpus", "tok", "data", "out"))
        os.mkdir(out)
        run("synth", "-o", logs, "--size", "3M", "--seed", "3")
        run("corpus", "build", logs, "--exclude", "labels.jsonl", "--exclude", "incidents.jsonl", "-o", corpus,
            "--doc-bytes", "512", "--split", "idts=.05", "--decontaminate", "0")
        run("tokenizer", "train", corpus, "-o", tok, "--vocab-size", "1024")
        run("corpus", "tokenize", corpus, "--tokenizer", tok, "-o", data, "--tokens-per-shard", "200000")
        for split in ("train", "idts"):
            prefix = os.path.join(out, split)
            run("corpus", "export", data, "--to", "megatron", "-o", prefix, "--split", split)
            want, n_shards = shard_documents(data, split)
            assert split != "train" or (n_shards > 2 and len(want) > 4096), "several shards and blocks"
            assert same(read_indexed(prefix), want)
            theirs = megatron_reader(prefix)
            assert theirs is None or same(theirs, want)
        check_failures(data, os.path.join(out, "train"))
        assert same(read_indexed(os.path.join(out, "train")), shard_documents(data, "train")[0])
        print(f"{len(want)} test documents; megatron-core: {'the same' if theirs else 'not installed'}")


if __name__ == "__main__":
    main()
