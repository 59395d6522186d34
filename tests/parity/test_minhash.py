"""MinHash-LSH against brute force on 10,000 real documents (1,000 of them changed copies of others).

Recall per similarity bin, of pairs that share a band key, against the mean of 1-(1-J^8)^16 over the bin's
pairs. Pairs of one bin share documents and all pairs share the hash functions, so their hits are far from
independent. What is random is the draw of the functions: each of DRAWS draws gives one recall a bin, the draws
are independent, so the standard error of their mean is their standard deviation / sqrt(DRAWS), and that of a
single draw their standard deviation. Both are tested:
- is the family unbiased? The mean of the draws, on pairs of which no document has more than SPREAD: in a
  random choice of a bin of low J, hits come in rare clusters of thousands, and the standard deviation of some
  hundred draws says little about their mean.
- is the one draw that builds use an ordinary member? Its recall on all pairs of the bin, by the deviation
  of the draws on a random SAMPLE of them.
Estimates of J from signatures are tested in the same way."""

import os
import subprocess
import sys
import tempfile

import numpy as np

from dedup_fixture import DATA, all_pairs, plant, read_masked, sample, windows, write_documents

DRIVER = os.path.join(os.environ["BUILD"], "tests", "minhash")
REAL, PLANTED, DRAWS, SAMPLE, SPREAD = 9000, 1000, 400, 20000, 4
BANDS, ROWS, HASHES, THRESHOLD = 16, 8, 128, 0.8
PAIR = np.dtype([("a", "<u4"), ("b", "<u4"), ("j", "<f8")])

failures = []


def check(ok, what):
    if not ok:
        failures.append(what)
        print(f"FAILED: {what}")


def predicted(j):
    return 1 - (1 - j ** ROWS) ** BANDS


def found(keys, a, b, step=1 << 18):
    """Which pairs share at least one of the 16 keys."""
    out = np.empty(len(a), bool)
    for i in range(0, len(a), step):
        out[i:i + step] = (keys[a[i:i + step]] == keys[b[i:i + step]]).any(1)
    return out


def equal(signatures, a, b, step=1 << 16):
    return np.concatenate([(signatures[a[i:i + step]] == signatures[b[i:i + step]]).mean(1)
                           for i in range(0, len(a), step)])


def draw(tmp, groups):
    """[draw][group, first the spread choice, then the random one][pairs found, equal minima]"""
    parts = [part for group in groups for part in group[2:]]
    with open(f"{tmp}/chosen", "wb") as f:
        for k, (a, b, _) in enumerate(parts):
            np.stack([a, b, np.full(len(a), k)], 1).astype("<u4").tofile(f)
    subprocess.run([DRIVER, "draws", f"{tmp}/docs", f"{tmp}/out", f"{tmp}/chosen", str(DRAWS)], check=True)
    return np.fromfile(f"{tmp}/out.draws", "<u8").reshape(DRAWS, len(parts), 2)


def line(what, value, want, error, sign):
    """One line of the table, and the check: at most three standard errors."""
    z = (value - want) / error if error else 0.0
    print(f"{what:60} {value:10.7f}  predicted {want:10.7f}  {z:+5.2f} {sign}")
    check(abs(z) <= 3, f"{what}: {value} instead of {want}, {z:+.2f} standard errors")


def spread(rows, a, b, rng):
    """SAMPLE of the pairs at most, no document in more than SPREAD."""
    used, out = {}, []
    for k in rng.permutation(rows).tolist():
        x, y = int(a[k]), int(b[k])
        if used.get(x, 0) < SPREAD and used.get(y, 0) < SPREAD:
            used[x], used[y] = used.get(x, 0) + 1, used.get(y, 0) + 1
            out.append(k)
            if len(out) == SAMPLE:
                break
    return np.array(out)


def groups_of(a, b, j, planted):
    """[(label, all pairs of it, spread choice, random choice)] of bins and of the planted pairs, as (a, b, J)."""
    rng, out = np.random.default_rng(7), []
    for tenth in range(1, 10):
        rows = np.nonzero((j >= tenth / 10) & ((j < (tenth + 1) / 10) | (tenth == 9)))[0]
        check(len(rows) >= 1000, f"only {len(rows)} pairs of J {tenth / 10} and more")
        some = rows if len(rows) <= SAMPLE else rng.choice(rows, SAMPLE, replace=False)
        out.append((f"J {tenth / 10:.1f}-{(tenth + 1) / 10:.1f}",)
                   + tuple((a[r], b[r], j[r]) for r in (rows, spread(rows, a, b, rng), some)))
    for least in (0, THRESHOLD):
        p = planted[planted["j"] >= least]
        p = (p["a"], p["b"], p["j"])
        out.append((f"changed copies, J >= {least}", p, p, p))
    return out


def judge(groups, keys, signatures, draws):
    for g, (label, everything, apart, some) in enumerate(groups):
        for what, column, scale, expect in (("recall", 0, 1, predicted), ("estimate", 1, HASHES, lambda j: j)):
            mean = draws[:, 2 * g, column] / (len(apart[0]) * scale)
            line(f"{label}: {what}, {len(draws)} draws, {len(apart[0])} pairs", mean.mean(), expect(apart[2]).mean(),
                 mean.std(ddof=1) / np.sqrt(len(draws)), "se")
            own = found(keys, *everything[:2]) if what == "recall" else equal(signatures, *everything[:2])
            line(f"{label}: {what}, builds, {len(everything[0])} pairs", own.mean(), expect(everything[2]).mean(),
                 (draws[:, 2 * g + 1, column] / (len(some[0]) * scale)).std(ddof=1), "sd")


def planted_pairs(planted, a, b, j):
    similarity = {(x, y): s for x, y, s in zip(a.tolist(), b.tolist(), j.tolist())}
    out = np.zeros(len(planted), PAIR)
    for k, (i, _) in enumerate(planted):
        out[k] = i, REAL + k, similarity.get((i, REAL + k), 0)
    return out


def judge_verification(pairs, n, a, b, j):
    """Candidates and their similarities as the program sees them, against brute force."""
    order = np.argsort(a * n + b)
    code = (a * n + b)[order]
    at = np.searchsorted(code, pairs["a"].astype(np.int64) * n + pairs["b"])
    at = np.minimum(at, len(code) - 1)
    known = code[at] == pairs["a"].astype(np.int64) * n + pairs["b"]
    truth = np.where(known, j[order][at], 0)
    declared = pairs["j"] >= THRESHOLD
    precision = (truth[declared] >= THRESHOLD).mean()
    off = np.abs(truth - pairs["j"])[known].max()
    missed = (truth >= THRESHOLD) & ~declared
    print(f"{len(pairs)} candidates ({(~known).sum()} with J < 0.1), {declared.sum()} declared: precision "
          f"{precision:.6f}; largest error of a similarity {off:.6f}; {missed.sum()} near candidates not declared")
    check(precision >= 0.99, f"precision {precision}")
    check(off < 0.002, f"a similarity is {off} off")
    check(missed.sum() <= 0.001 * declared.sum(), f"{missed.sum()} candidates with J >= 0.8 were not declared")
    check((~known).sum() <= 20, f"{(~known).sum()} candidates with J < 0.1, at most 8 expected")
    check(len(np.unique(pairs["a"].astype(np.int64) * n + pairs["b"])) == len(pairs), "a pair came twice")


def main():
    if not os.path.isdir(os.path.join(DATA, "raw")):
        print(f"SKIP: no logs in {DATA}/raw")
        return 77
    docs = sample(REAL, 1)
    planted = plant(docs, PLANTED, 2)
    docs += [copy for _, copy in planted]
    n = len(docs)
    with tempfile.TemporaryDirectory() as tmp:
        write_documents(f"{tmp}/docs", docs)
        subprocess.run([DRIVER, "sign", f"{tmp}/docs", f"{tmp}/out"], check=True)
        sets = [windows(m) for m in read_masked(f"{tmp}/out.masked", n)]
        keys = np.fromfile(f"{tmp}/out.keys", "<u8").reshape(n, BANDS)
        signatures = np.fromfile(f"{tmp}/out.signatures", "<u4").reshape(n, HASHES)
        pairs = np.fromfile(f"{tmp}/out.pairs", PAIR)
        a, b, j, histogram = all_pairs(sets, 0.1)
        copies = planted_pairs(planted, a, b, j)
        groups = groups_of(a, b, j, copies)
        draws = draw(tmp, groups)
    check(histogram.sum() == n * (n - 1) // 2, "not all pairs were compared")
    print(f"{n} documents, {np.mean([len(s) for s in sets]):.0f} windows each; pairs by tenths of J: "
          f"{histogram.tolist()}")
    print(f"changed copies: {(copies['j'] == 1).sum()} with J = 1, {(copies['j'] >= THRESHOLD).sum()} with J >= 0.8")
    judge(groups, keys, signatures, draws)
    judge_verification(pairs, n, a, b, j)
    print(f"{len(failures)} failure(s)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
