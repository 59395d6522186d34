"""Documents cut from real logs, with planted near-duplicates, and their similarities by brute force: byte
windows, set sizes and 0/1 matrix products, nothing of ours."""

import os
import random
import re
import struct
import subprocess

import numpy as np

DATA = os.environ.get("SECENC_TEST_DATA", "../shared/data")
DOCUMENT = 4096


def cut(text, size=DOCUMENT):
    """Whole lines up to size bytes; a longer line is a document of its own."""
    out, at = [], 0
    while at < len(text):
        end = text.rfind(b"\n", at, at + size) if at + size < len(text) else len(text)
        if end <= at:
            end = text.find(b"\n", at + size)
            end = len(text) if end < 0 else end
        if end - at <= 4 * size:
            out.append(text[at:end].rstrip(b"\n"))
        at = end + 1
    return [d for d in out if d]


def sources():
    """(name, documents) of every file, misc files too."""
    raw = os.path.join(DATA, "raw")
    for name in sorted(os.listdir(raw)):
        if name.endswith(".zst"):
            text = subprocess.run(["zstd", "-dcq", os.path.join(raw, name)], check=True, stdout=subprocess.PIPE).stdout
            yield name[:-len(".zst")], cut(text)


def sample(n, seed):
    """n documents of all sources, the same number of each as far as it has them: neighbours in the file, as
    a build meets them, and others from all over it."""
    rng, pools = random.Random(seed), [docs for _, docs in sources()]
    quota, left = 0, n
    pools.sort(key=len)
    picked = []
    for i, docs in enumerate(pools):
        quota = min(len(docs), left // (len(pools) - i))
        left -= quota
        run = quota // 2
        at = rng.randrange(len(docs) - run + 1)
        chosen = set(range(at, at + run))
        chosen.update(rng.sample([k for k in range(len(docs)) if k not in chosen], quota - run))
        picked += [docs[k] for k in sorted(chosen)]
    return picked


def change_values(text, rng, words):
    """Other digits, hex digits, and a share of other words: what differs between two like events."""
    def hexes(m):
        return bytes(rng.choice(b"0123456789abcdef") for _ in m[0])

    def other(m):
        return bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in m[0]) if rng.random() < words else m[0]
    text = re.sub(rb"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{8,}\b", hexes, text)
    text = re.sub(rb"[0-9]", lambda m: b"%d" % rng.randrange(10), text)
    return re.sub(rb"[A-Za-z]{3,}", other, text) if words else text


def plant(docs, n, seed):
    """n changed copies of documents spread over docs: [(index of the original, copy)]."""
    rng = random.Random(seed)
    return [(i, change_values(docs[i], rng, rng.choice([0, .005, .01, .02, .04, .08])))
            for i in sorted(rng.sample(range(len(docs)), n))]


def write_documents(path, docs):
    with open(path, "wb") as f:
        f.write(struct.pack(f"<I{len(docs)}I", len(docs), *map(len, docs)))
        f.writelines(docs)


def read_masked(path, n):
    data = open(path, "rb").read()
    lengths = np.frombuffer(data, "<u4", n)
    ends = 4 * n + np.cumsum(lengths)
    return [data[e - k:e] for e, k in zip(ends.tolist(), lengths.tolist())]


def windows(text, length=5):
    """Distinct windows as numbers: their bytes, little-endian. (A text no longer than a window is one window.)"""
    b = np.frombuffer(text, np.uint8).astype(np.uint64)
    if len(b) < length:
        return np.array([int.from_bytes(text, "little") | len(text) << 56], np.uint64)
    x = np.zeros(len(b) - length + 1, np.uint64)
    for k in range(length):
        x |= b[k:len(b) - length + 1 + k] << np.uint64(8 * k)
    return np.unique(x)


class Blocks:
    """Sizes of all intersections, by 0/1 matrix products of blocks over the windows that both blocks have."""

    def __init__(self, sets, block=256):
        self.size = np.array([len(s) for s in sets], np.int64)
        self.starts = range(0, len(sets), block)
        self.flat, self.row, self.known = [], [], []
        numbers = np.unique(np.concatenate(sets))
        self.place = np.full(len(numbers), -1, np.int32)
        for at in self.starts:
            part = sets[at:at + block]
            ids = np.searchsorted(numbers, np.concatenate(part)).astype(np.int32)
            self.flat.append(ids)
            self.row.append(np.repeat(np.arange(len(part)), [len(s) for s in part]))
            self.known.append(np.unique(ids))

    def dense(self, b, shared):
        column = self.place[self.flat[b]]
        keep = column >= 0
        m = np.zeros((self.row[b][-1] + 1, len(shared)), np.float32)
        m[self.row[b][keep], column[keep]] = 1
        return m

    def jaccard(self):
        """(first row, first column, matrix of similarities) of every pair of blocks, second >= first."""
        for i, a in enumerate(self.starts):
            for j in range(i, len(self.starts)):
                b = self.starts[j]
                shared = np.intersect1d(self.known[i], self.known[j], assume_unique=True)
                self.place[shared] = np.arange(len(shared), dtype=np.int32)
                left = self.dense(i, shared)
                right = left if i == j else self.dense(j, shared)
                self.place[shared] = -1
                both = (left @ right.T).astype(np.int64)
                either = self.size[a:a + len(left), None] + self.size[None, b:b + len(right)] - both
                yield a, b, both / either


def all_pairs(sets, least):
    """Every pair a < b with similarity >= least: a, b, similarity; and the histogram of all pairs by tenths."""
    found, histogram = [], np.zeros(10, np.int64)
    for a, b, j in Blocks(sets).jaccard():
        if a == b:
            j = np.where(np.triu(np.ones(j.shape, bool), 1), j, -1)
        histogram += np.histogram(j, np.linspace(0, 1, 11))[0]
        r, c = np.nonzero(j >= least)
        found.append((r + a, c + b, j[r, c]))
    return tuple(np.concatenate(x) for x in zip(*found)) + (histogram,)
