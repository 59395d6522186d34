"""Token shards against h5py + hdf5plugin and Hugging Face tokenizers: the same documents, the same ids,
chunks where the tables say, a true shuffle, and temperature sampling as the formula says."""

import collections
import json
import os
import random
import subprocess
import tempfile

import h5py
import hdf5plugin  # noqa: F401  (registers filter 32015)
import numpy as np
import tokenizers

SECENC = os.environ["SECENC"]
CHUNK = 131072
SIZES = {"alpha": 2_000_000, "beta": 400_000, "gamma": 60_000}  # bytes of text a source


def run(*args):
    return subprocess.run([SECENC, *args, "--quiet"], check=True, stdout=subprocess.PIPE).stdout


def write_logs(folder):
    rng = random.Random(5)
    words = ["accepted", "password", "für", "user", "sshd", "kernel:", "DROP", "port", "日本", "GET"]
    os.mkdir(folder)
    for source, size in SIZES.items():
        with open(os.path.join(folder, source + ".log"), "w") as f:
            written = 0
            while written < size:
                line = f"{rng.randrange(10**9)} {source} {' '.join(rng.choices(words, k=6))} "
                line += f"10.{rng.randrange(256)}.{rng.randrange(256)}.7 id={rng.getrandbits(64):x}\n"
                written += len(line.encode())
                f.write(line)


def corpus_documents(corpus):
    """(low 64 bits of the id) -> (split, source, text)"""
    documents = {}
    for root, _, files in os.walk(corpus):
        for name in files:
            if not name.endswith(".jsonl.zst") or root == corpus:
                continue
            split = os.path.relpath(root, corpus).split(os.sep)[0]
            text = subprocess.run(["zstd", "-dcq", os.path.join(root, name)], check=True,
                                  stdout=subprocess.PIPE).stdout
            for line in text.splitlines():
                d = json.loads(line)
                documents[int(d["id"][16:], 16)] = (split, d["source"], d["text"])
    return documents


def read_manifest(data):
    with open(os.path.join(data, "MANIFEST.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return lines[0], lines[1:]


def check_chunks(path, f):
    """The tables lead to the chunks' bytes without HDF5."""
    with open(path, "rb") as raw:
        for i, (addr, n) in enumerate(zip(f["chunk_addr"][:], f["chunk_len"][:])):
            raw.seek(int(addr))
            assert raw.read(int(n)) == f["tokens"].id.read_direct_chunk((i * CHUNK,))[1]
    assert f["tokens"].chunks == (CHUNK,)
    assert f["tokens"].dtype == np.dtype("<u2")
    assert len(f["chunk_xxh3"]) == len(f["chunk_addr"]) == -(-len(f["tokens"]) // CHUNK)


def read_split(data, header, shards, split):
    """[(hash, source, bytes, ids)] in the order of the shards."""
    documents = []
    for shard in (s for s in shards if s["split"] == split):
        path = os.path.join(data, shard["path"])
        with h5py.File(path, "r") as f:
            assert f.attrs["split"] == split
            assert f.attrs["tokenizer"] == header["tokenizer"]
            assert f.attrs["vocab_size"] == header["vocab_size"]
            assert f.attrs["n_docs"] == shard["docs"] and f.attrs["n_tokens"] == shard["tokens"]
            check_chunks(path, f)
            sources = [s.decode() for s in f["sources"][:]]
            assert sources == [s["name"] for s in header["sources"]]
            tokens, off = f["tokens"][:], f["doc_off"][:]
            rows = zip(f["doc_hash"][:], f["doc_src"][:], f["doc_bytes"][:])
            for d, (h, s, n) in enumerate(rows):
                documents.append((int(h), sources[s], int(n), tokens[off[d] : off[d + 1]]))
            assert off[-1] == len(tokens) == shard["tokens"]
    assert len(documents) == header["splits"][split]["docs"]
    return documents


def check_plain(corpus, data, hf):
    want = corpus_documents(corpus)
    header, shards = read_manifest(data)
    assert sum(s["split"] == "train" for s in shards) > 2, "the test needs several shards"
    seen = set()
    for split in ("train", "idts"):
        for h, source, n, ids in read_split(data, header, shards, split):
            assert h not in seen and want[h][:2] == (split, source)
            seen.add(h)
            assert n == len(want[h][2].encode())
            assert hf.encode(want[h][2], add_special_tokens=False).ids == ids.tolist()
    assert seen == set(want)
    # A shuffle over the whole split: sources are mixed, not in runs.
    order = [source for _, source, _, _ in read_split(data, header, shards, "train")]
    share = collections.Counter(order)
    mixed = sum(a == b for a, b in zip(order, order[1:])) / (len(order) - 1)
    expected = sum((n / len(order)) ** 2 for n in share.values())
    assert abs(mixed - expected) < 0.1, (mixed, expected)


def check_temperature(plain, warm, temperature):
    before = read_split(plain, *read_manifest(plain), "train")
    header, shards = read_manifest(warm)
    after = read_split(warm, header, shards, "train")
    size, taken = collections.Counter(), collections.Counter(h for h, _, _, _ in after)
    copies = collections.defaultdict(list)
    for h, source, n, _ in before:
        size[source] += n
        copies[source].append(taken[h])
    total, power = sum(size.values()), sum(n**temperature for n in size.values())
    for s in header["sources"]:
        # The manifest's factor comes from the shards' sizes on record, which count JSON too.
        want = min(8, size[s["name"]] ** temperature / power * total / size[s["name"]])
        assert abs(s["factor"] / want - 1) < 0.1, (s, want)
        got = copies[s["name"]]
        assert set(got) <= {int(s["factor"]), int(s["factor"]) + 1}, (s, set(got))
        sigma = 0.5 / len(got) ** 0.5
        assert abs(np.mean(got) - s["factor"]) < 4 * sigma, (s, np.mean(got))
    idts = [read_split(d, *read_manifest(d), "idts") for d in (plain, warm)]
    assert [d[0] for d in idts[0]] == [d[0] for d in idts[1]], "evaluation splits are never resampled"


def main():
    with tempfile.TemporaryDirectory() as folder:
        logs, corpus, tok, plain, warm, again = (
            os.path.join(folder, n) for n in ("logs", "corpus", "tok", "plain", "warm", "again"))
        write_logs(logs)
        run("corpus", "build", logs, "-o", corpus, "--doc-bytes", "1K", "--split", "idts=.05")
        run("tokenizer", "train", corpus, "-o", tok, "--vocab-size", "2000")
        common = ("corpus", "tokenize", corpus, "--tokenizer", tok, "--tokens-per-shard", "300000")
        run(*common, "-o", plain)
        hf = tokenizers.Tokenizer.from_file(os.path.join(plain, "tokenizer.json"))
        check_plain(corpus, plain, hf)
        run(*common, "-o", warm, "--temperature", "0.5", "--threads", "1")
        check_temperature(plain, warm, 0.5)
        run(*common, "-o", again, "--threads", "3")
        for name in ("MANIFEST.jsonl", "tokenizer.json"):
            with open(os.path.join(plain, name), "rb") as a, open(os.path.join(again, name), "rb") as b:
                assert a.read() == b.read(), f"{name} depends on the number of threads"


if __name__ == "__main__":
    main()
