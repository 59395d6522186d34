"""`eval --suite mlm` computed again from its definition: masks by Philox, losses and ranks by
transformers, baselines, classes, groups and means in plain Python, over tokens read with h5py."""

import collections
import glob
import json
import math
import os
import re
import tempfile

import h5py
import hdf5plugin  # noqa: F401  (registers filter 32015)
import numpy as np
import torch

from eval_fixture import fixture, make_model, run

DOCS, SEEDS, SEQ_LEN = 6, 2, 256
CLS, SEP, MASK = 1, 2, 4
STREAM_EVAL = 4
BORDER = "=,;\"'()[]{}<>|"


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def drawn(seed, doc, position):
    words = philox([doc, 0, position // 4, STREAM_EVAL], [seed, 0])
    return words[position % 4] < int(0.15 * 2**32 + 0.5)


class Data:
    def __init__(self, folder):
        self.docs = {s: self.documents(folder, s) for s in ("train", "idts", "odts")}
        with open(os.path.join(folder, "tokenizer.json")) as f:
            tok = json.load(f)
        back = {v: k for k, v in tok["model"]["vocab"].items()}
        self.vocab = len(back)
        specials = {t["id"]: t["content"] for t in tok["added_tokens"]}
        byte_of = self.byte_map()
        self.bytes = [specials[i].encode() if i in specials else bytes(byte_of[c] for c in back[i])
                      for i in range(self.vocab)]
        self.content = [i not in specials and self.is_content(self.bytes[i])
                        for i in range(self.vocab)]

    @staticmethod
    def documents(folder, split):
        docs = []
        for path in sorted(glob.glob(os.path.join(folder, split + "-*.h5"))):
            with h5py.File(path, "r") as f:
                off, tokens = f["doc_off"][:].astype(int), f["tokens"][:].astype(int)
                docs += [tokens[a:b].tolist() for a, b in zip(off, off[1:])]
        return docs

    @staticmethod
    def byte_map():
        """The byte-level alphabet of GPT-2: printable bytes are themselves, the rest from 256 on."""
        keep = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        rest = [b for b in range(256) if b not in keep]
        return {**{chr(b): b for b in keep}, **{chr(256 + i): b for i, b in enumerate(rest)}}

    @staticmethod
    def is_content(b):
        """Anything but punctuation, white space and control characters (ASCII suffices here)."""
        return any(c >= 0x80 or chr(c).isalnum() for c in b)


def field_class(field):
    f = field.rstrip(b".:!?").decode("latin-1")
    letter = r"[A-Za-z\x80-\xff]"
    tests = [
        ("timestamp", r"\d{4}[-/]\d\d[-/]\d\d.*|\d\d[-/]%s{3}[-/]\d{4}.*|\d?\d:\d\d:\d\d(?!:).*|\d\d:\d\d"
         % letter),
        ("ip", r"\d{1,3}(\.\d{1,3}){3}([:/]\d+)?"),
        ("ip", None),
        ("path", r"[/~].*|\.\.?/.*|%s:/.*|.*\\.*|.*://.*" % letter),
        ("number", r"[+-]?\d+(\.\d+)*%?"),
        ("hex", r"0[xX][0-9a-fA-F]+|(?=.*\d)(?=.*[a-fA-F])(?=([-:]*[0-9a-fA-F]){6})"
                r"[0-9a-fA-F]+([-:][0-9a-fA-F]+)*"),
        ("word", r"%s(%s|[-_.@])*" % (letter, letter)),
    ]
    for name, pattern in tests:
        if pattern is None:
            address = f.split("/")[0]
            groups = address.split(":")
            if (re.fullmatch(r"[0-9a-fA-F:]+", address) and all(len(g) <= 4 for g in groups)
                    and re.search("[0-9a-fA-F]", address) and address.count(":::") == 0
                    and (len(groups) == 8 if "::" not in address else
                         address.count("::") == 1 and 3 <= len(groups) <= 9)
                    and re.fullmatch(r"[^/]*(/\d+)?", f)):
                return name
        elif re.fullmatch(pattern, f, re.S):
            return name
    return "other"


def border(c):
    return c <= 32 or c == 127 or chr(c) in BORDER


def fields(data, tokens):
    """For every token: (begin, end) of its field in the text, and the text."""
    text, starts = b"", []
    for t in tokens:
        starts.append(len(text))
        text += data.bytes[t]
    spans = []
    for t, at in zip(tokens, starts):
        end = at + len(data.bytes[t])
        while at < end and border(text[at]):
            at += 1
        if at == end:
            spans.append(None)
            continue
        begin, end = at, at
        while begin and not border(text[begin - 1]):
            begin -= 1
        while end < len(text) and not border(text[end]):
            end += 1
        spans.append((begin, end))
    return spans, text


def copy_guess(data, seen, at):
    """Token at the same column of the nearest earlier line that agrees in its first three tokens."""
    lines, line = [], []
    for i, t in enumerate(seen):
        if b"\n" in data.bytes[t] and t != MASK:
            lines.append(line)
            line = []
        else:
            line.append(i)
    lines.append(line)
    cur = next(k for k, v in enumerate(lines) if at in v)
    column, here = lines[cur].index(at), [seen[i] for i in lines[cur]]
    for earlier in reversed(lines[:cur]):
        there = [seen[i] for i in earlier]
        if len(here) < 3 or len(there) < 3 or column >= len(there) or there[column] == MASK:
            continue
        pairs = [(a, b) for a, b in zip(here[:3], there[:3]) if MASK not in (a, b)]
        if pairs and all(a == b for a, b in pairs):
            return there[column]
    return -1


class Unigram:
    def __init__(self, data):
        counts = collections.Counter(t for d in data.docs["train"] for t in d)
        order = sorted((i for i in range(data.vocab) if data.content[i]),
                       key=lambda i: (-counts[i], i))
        total = sum(counts[i] for i in order)
        self.best = order[0]
        self.loss = {i: -math.log((counts[i] + 1) / (total + len(order))) for i in order}
        self.decile, before = {}, 0
        for i in order:
            self.decile[i] = min(before * 10 // total, 9)
            before += counts[i]


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].double().numpy()


def rows_of_line(data, uni, model, line):
    """What one line of the dump should be; yields a dict for every masked token."""
    tokens = data.docs[line["split"]][line["doc"]][line["first"]: line["first"] + line["tokens"]]
    want = [i for i, t in enumerate(tokens)
            if data.content[t] and drawn(line["seed"], line["doc"], line["first"] + i + 1)]
    at = [p - line["first"] for p in line["pos"]]
    assert at == want, (line["split"], line["doc"], line["first"])
    assert line["label"] == [tokens[i] for i in at]
    seen = [MASK if i in set(at) else t for i, t in enumerate(tokens)]
    logits = logits_of(model, [CLS, *seen, SEP])
    spans, text = fields(data, tokens)
    for k, i in enumerate(at):
        row, label = logits[i + 1], tokens[i]
        loss = np.logaddexp.reduce(row) - row[label]
        rank = int((row > row[label]).sum() + (row[:label] == row[label]).sum())
        assert abs(loss - line["loss"][k]) < 1e-4, (loss, line["loss"][k])
        near = int((np.abs(row - row[label]) < 1e-4).sum()) - 1  # ties within rounding
        assert abs(rank - line["rank"][k]) <= near
        guess = copy_guess(data, seen, i)
        assert guess == line["copy"][k], (line["doc"], i, guess, line["copy"][k])
        kind = field_class(text[spans[i][0]: spans[i][1]])
        assert kind == line["class"][k], (text[spans[i][0]: spans[i][1]], kind, line["class"][k])
        length = 32
        while length < len(tokens) + 2:
            length *= 2
        yield dict(doc=line["doc"], loss=loss, top1=line["rank"][k] == 0, top5=line["rank"][k] < 5,
                   bytes=len(data.bytes[label]), uloss=uni.loss[label], utop1=label == uni.best,
                   copy=label == (guess if guess >= 0 else uni.best),
                   groups=(f"class/{kind}/", f"decile/{uni.decile[label] + 1}/", f"length/{length}/"))


def figures(rows):
    n = len(rows)
    nats, unats, size = (sum(r[k] for r in rows) for k in ("loss", "uloss", "bytes"))
    return {"loss": nats / n, "perplexity": math.exp(nats / n),
            "top1": sum(r["top1"] for r in rows) / n, "top5": sum(r["top5"] for r in rows) / n,
            "bits_per_byte": nats / math.log(2) / size, "unigram/loss": unats / n,
            "unigram/bits_per_byte": unats / math.log(2) / size,
            "unigram/top1": sum(r["utop1"] for r in rows) / n,
            "copy/top1": sum(r["copy"] for r in rows) / n}


def close(a, b, what):
    assert abs(a - b) <= 2e-5 * max(1, abs(b)), (what, a, b)


def check_results(rows, results, split):
    """rows: {seed: [...]}; every result of the split is accounted for."""
    want = {}
    per_seed = {s: figures(r) for s, r in rows.items()}
    for name in per_seed[1]:
        values = [per_seed[s][name] for s in rows]
        for s in rows:
            want[s, name] = (per_seed[s][name], None)
        want[None, name] = (np.mean(values), np.std(values, ddof=1))
    for group in {g for r in rows.values() for v in r for g in v["groups"]}:
        parts = [[v for v in r if group in v["groups"]] for r in rows.values()]
        parts = [figures(p) for p in parts if p]
        for name in ("loss", "top1", "top5", "unigram/top1", "copy/top1"):
            values = [p[name] for p in parts]
            sd = np.std(values, ddof=1) if len(values) > 1 else None
            want[None, group + name] = (np.mean(values), sd)
    for name, value in (("loss", math.log(1024)), ("perplexity", 1024), ("top1", 1 / 1024),
                        ("top5", 5 / 1024)):
        want[None, "untrained/" + name] = (value, None)
    want[None, "documents"] = (DOCS, None)
    got = {(r["seed"], r["metric"]): r for r in results if r["split"] == split}
    assert got.keys() == want.keys(), got.keys() ^ want.keys()
    for key, (value, sd) in want.items():
        close(got[key]["value"], value, key)
        if sd is not None:
            close(got[key]["sd"], sd, key)
    check_interval(rows[1], got[1, "loss"])


def check_interval(rows, result):
    """The 95 % interval of the loss against a bootstrap of our own."""
    loss, n = np.zeros(DOCS), np.zeros(DOCS)
    for r in rows:
        loss[r["doc"]] += r["loss"]
        n[r["doc"]] += 1
    pick = np.random.default_rng(1).integers(0, DOCS, (20000, DOCS))
    low, high = np.percentile(loss[pick].sum(1) / n[pick].sum(1), [2.5, 97.5])
    width = high - low
    assert abs(result["ci95"][0] - low) < 0.15 * width, (result["ci95"], low, high)
    assert abs(result["ci95"][1] - high) < 0.15 * width, (result["ci95"], low, high)


def check_whole_field(data, lines):
    """A field is masked in all its content tokens or in none."""
    masked = 0
    for line in lines:
        tokens = data.docs[line["split"]][line["doc"]]
        tokens = tokens[line["first"]: line["first"] + line["tokens"]]
        at = {p - line["first"] for p in line["pos"]}
        members = collections.defaultdict(list)
        for i, span in enumerate(fields(data, tokens)[0]):
            if span:
                members[span].append(i)
        for group in members.values():
            inside = {i in at for i in group if data.content[tokens[i]]}
            if len(group) <= 32:  # a longer field is drawn in runs of 32 tokens
                assert len(inside) <= 1, (line["doc"], group)
        masked += len(at)
    assert masked


def jsonl(path):
    with open(path) as f:
        return [json.loads(line) for line in f]


def main():
    fix = fixture()
    data = Data(os.path.join(fix, "data"))
    uni = Unigram(data)
    with tempfile.TemporaryDirectory() as folder:
        hf = os.path.join(folder, "hf")
        model = make_model(hf, os.path.join(fix, "tok"))
        common = ("eval", hf, "--suite", "mlm", "--data", os.path.join(fix, "data"), "--docs", DOCS,
                  "--seeds", SEEDS, "--seq-len", SEQ_LEN, "--quiet")
        out, dump = os.path.join(folder, "out"), os.path.join(folder, "dump")
        run(*common, "--json", out, "--dump", dump)
        lines, results = jsonl(dump), jsonl(out)
        covered = collections.Counter()
        for split in ("idts", "odts"):
            rows = {s: [] for s in range(1, SEEDS + 1)}
            for line in lines:
                if line["split"] == split:
                    assert line["first"] == covered[split, line["seed"], line["doc"]]
                    covered[split, line["seed"], line["doc"]] += line["tokens"]
                    rows[line["seed"]] += rows_of_line(data, uni, model, line)
            for seed in rows:
                for d in range(DOCS):
                    assert covered[split, seed, d] == len(data.docs[split][d])
            check_results(rows, results, split)
            print(f"{split}: {sum(map(len, rows.values()))} masked tokens agree; model top-1 "
                  f"{figures(rows[1])['top1']:.4f}, copy {figures(rows[1])['copy/top1']:.4f}, "
                  f"unigram {figures(rows[1])['unigram/top1']:.4f}")
        # Batches change nothing; whole fields are whole.
        again = os.path.join(folder, "again")
        run(*common, "--json", again, "--batch-tokens", "1000")
        assert jsonl(again) == results
        run(*common, "--dump", dump, "--whole-field")
        check_whole_field(data, jsonl(dump))


if __name__ == "__main__":
    main()
