"""Masks and shingles against the template labels of eight LogHub systems (two lines are alike if and only if a
person gave them the same template): over all pairs of lines of a system, how many pairs of one template
have the same masked form (recall), and how many pairs of one masked form have one template (precision);
the same for pairs with J >= 0.8 of character-5 and of word-3 shingles of the masked lines, by brute force. The
floors are a little below what was measured, so that a change of the masks that breaks a system shows."""

import collections
import os
import subprocess
import sys
import tempfile

import numpy as np

from dedup_fixture import DATA, read_masked, windows, write_documents

DRIVER = os.path.join(os.environ["BUILD"], "tests", "minhash")
THRESHOLD = 0.8
# recall and precision of: same masked form, J >= 0.8 of char-5, J >= 0.8 of word-3
FLOORS = {
    "apache": (.99, .99, .99, .99, .99, .99),
    "bgl": (.42, .99, .99, .99, .42, .99),
    "hadoop": (.79, .99, .79, .99, .79, .99),
    "hdfs": (.96, .99, .99, .99, .96, .99),
    "linux": (.46, .99, .48, .94, .48, .95),
    "openssh": (.87, .99, .90, .85, .90, .85),
    "windows": (.97, .99, .97, .99, .97, .99),
    "zookeeper": (.99, .99, .99, .99, .99, .99),
}


def read(system):
    path = os.path.join(DATA, "clusters", f"{system}.tsv.zst")
    rows = subprocess.run(["zstd", "-dcq", path], check=True, stdout=subprocess.PIPE).stdout.split(b"\n")[1:]
    return [tuple(r.split(b"\t", 1)) for r in rows if r]


def words(text, length=3):
    w = text.split()
    grams = {tuple(w[i:i + length]) for i in range(len(w) - length + 1)} or {tuple(w)}
    return grams


def similar(sets):
    """0/1 matrix: J >= THRESHOLD."""
    number = {}
    flat = [[number.setdefault(x, len(number)) for x in s] for s in sets]
    m = np.zeros((len(sets), len(number)), np.float32)
    for row, columns in enumerate(flat):
        m[row, columns] = 1
    both = m @ m.T
    size = m.sum(1)
    return both >= THRESHOLD * (size[:, None] + size[None] - both) - 1e-6


def rates(alike, labels, count, total):
    """Recall and precision over pairs of lines. labels[f][t] = lines of form f and template t."""
    together = labels.T @ alike @ labels  # lines of two templates that count as alike, ordered, with themselves
    n = count.sum()
    same_both = np.trace(together) - n
    return same_both / (sum(t * t for t in total) - n), same_both / (together.sum() - n)


def measure(system, tmp):
    rows = read(system)
    write_documents(f"{tmp}/docs", [line for _, line in rows])
    subprocess.run([DRIVER, "sign", f"{tmp}/docs", f"{tmp}/out"], check=True, stdout=subprocess.DEVNULL)
    masked = read_masked(f"{tmp}/out.masked", len(rows))
    forms = {m: i for i, m in enumerate(dict.fromkeys(masked))}
    templates = {t: i for i, t in enumerate(dict.fromkeys(t for t, _ in rows))}
    labels = np.zeros((len(forms), len(templates)))
    for (t, _), m in zip(rows, masked):
        labels[forms[m], templates[t]] += 1
    count, total = labels.sum(1), labels.sum(0)
    kinds = (np.eye(len(forms), dtype=bool), similar([windows(m).tolist() for m in forms]),
             similar([words(m) for m in forms]))
    out = [x for alike in kinds for x in rates(alike.astype(float), labels, count, total)]
    return len(rows), len(templates), len(forms), out


def main():
    if not os.path.isdir(os.path.join(DATA, "clusters")):
        print(f"SKIP: no labelled lines in {DATA}/clusters")
        return 77
    failures = 0
    print(f"{'':10} lines templates masked |   same masked form |   J >= 0.8, char-5 |   J >= 0.8, word-3")
    print(f"{'':10}                 forms | recall   precision | recall   precision | recall   precision")
    with tempfile.TemporaryDirectory() as tmp:
        for system, floors in FLOORS.items():
            lines, templates, forms, out = measure(system, tmp)
            cells = " | ".join(f"{r:7.4f}   {p:7.4f} " for r, p in zip(out[::2], out[1::2]))
            print(f"{system:10} {lines:5} {templates:9} {forms:6} | {cells}")
            for value, floor in zip(out, floors):
                if value < floor:
                    failures += 1
                    print(f"FAILED: {system}: {value:.4f} below {floor}")
    print(f"{failures} failure(s)")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
