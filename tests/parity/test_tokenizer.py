"""The tokenizer against Hugging Face `tokenizers` and `transformers`: merges, ids, files.

Environment: SECENC (binary), SECENC_TEST_DATA (real logs, default ../shared/data; parts that need them
are skipped with a line if absent), SECENC_TEST_FULL=1 (every distinct line of the real logs; minutes).
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SECENC = os.environ["SECENC"]
DATA = os.environ.get("SECENC_TEST_DATA", "../shared/data")
FULL = os.environ.get("SECENC_TEST_FULL") == "1"
SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
# Written out again here: the reference must not come from the program under test.
PATTERNS = {
    "log": r"\r?\n| ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|[^\S\r\n]+(?=[^\S\r\n])|[^\S\r\n]|\r",
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
BATCH = 4096


def check(ok, message):
    if not ok:
        sys.exit(f"FAIL: {message}")


def secenc(*args, stdin=None):
    r = subprocess.run([SECENC, "tokenizer", *args], input=stdin, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    check(r.returncode == 0, f"{args}: {r.stderr.decode()}")
    return r.stdout


def ours(folder, texts, *flags):
    """Ids of each text, through --json --binary."""
    lines = "\n".join(json.dumps(t, ensure_ascii=False) for t in texts).encode()
    out, at, ids = secenc("encode", "-t", folder, "--json", "--binary", *flags, stdin=lines), 0, []
    while at < len(out):
        n, = struct.unpack_from("<I", out, at)
        ids.append(list(struct.unpack_from(f"<{n}H", out, at + 4)))
        at += 4 + 2 * n
    check(len(ids) == len(texts), f"{len(ids)} results for {len(texts)} texts")
    return ids


def same_ids(reference, folder, texts, what, *flags):
    """texts: any iterable. Returns (texts, bytes, ids) compared."""
    total, n_bytes, n_ids, batch = 0, 0, 0, []

    def flush():
        nonlocal total, n_bytes, n_ids
        theirs = [e.ids for e in reference.encode_batch_fast(batch, add_special_tokens=False)]
        for text, a, b in zip(batch, theirs, ours(folder, batch, *flags)):
            check(a == b, f"{what}: {text!r}: {len(a)} and {len(b)} ids: {a[:50]} and {b[:50]}")
            n_ids += len(a)
        total += len(batch)
        n_bytes += sum(len(t.encode()) for t in batch)
        batch.clear()

    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return total, n_bytes, n_ids


def random_char(r):
    k = r.random()
    if k < 0.35:
        return chr(r.randrange(32, 127))
    if k < 0.55:
        return r.choice(" \t\r\n\v\f\x1c\x85\xa0\u1680\u2003\u2028\u202f\u3000\u200b\ufeff ' '")
    if k < 0.62:
        return chr(r.randrange(0, 32))
    if k < 0.70:  # digits and numbers of other scripts
        return r.choice("0123456789٠١٢٣۴५६৭൮๙Ⅷ½²፩〇一𝟘𝟗𑁦🄂")
    if k < 0.76:  # combining marks, joiners, emoji with modifiers
        return r.choice("\u0301\u0308\u20dd\u200d\ufe0f👩🏽🚀🇩🇪❤é")
    if k < 0.80:
        return r.choice(["'s", "'T", "'RE", "'ll", "'\u017f", "'\u017fs", "\u212a", "ß", "ŉ", "ﬆ",
                         "[MASK]", "[SEP", "\r\n", "\n\n", "   ", "\ufffd", "\x7f", "\0"])
    while True:
        c = r.randrange(0, 0x3000 if k < 0.92 else 0x110000)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def random_texts(n, seed):
    r = random.Random(seed)
    for _ in range(n):
        yield "".join(random_char(r) for _ in range(r.choice((1, 2, 3, 5, 8, 20, 70))))


def generated_log(n, seed):
    r = random.Random(seed)
    users, words = [f"user{i}" for i in range(40)], "accepted failed session opened closed for".split()
    for i in range(n):
        ip = ".".join(str(r.randrange(256)) for _ in range(4))
        yield (f"2026-03-{i % 28 + 1:02d}T{i % 24:02d}:{i % 60:02d}:00Z host{r.randrange(9)} "
               f"sshd[{r.randrange(65536)}]: {r.choice(words)}  {r.choice(words)} "
               f"{r.choice(users)} from {ip} port {r.randrange(65536)}\tssh2\n")


def repeats(n, seed):
    """Few letters in runs: overlapping pairs, and entries that two merges spell."""
    r = random.Random(seed)
    for _ in range(n):
        alphabet = r.choice(("a", "ab", "abc", "=-"))
        yield "".join(r.choice(alphabet) for _ in range(r.randrange(1, 40))) + r.choice((" ", "\n"))


def raw_lines():
    """(source, distinct lines) of the real logs; ill-formed UTF-8 replaced as in corpus cleaning."""
    folder = os.path.join(DATA, "raw")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".zst"):
            text = subprocess.run(["zstd", "-dcq", os.path.join(folder, name)], check=True,
                                  stdout=subprocess.PIPE).stdout.decode("utf-8", "replace")
            yield name, text


def reference_trained(path, pattern, vocab, min_frequency):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train([path], trainers.BpeTrainer(
        vocab_size=vocab, min_frequency=min_frequency, special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def test_merges(tmp, corpora):
    for corpus, path in corpora.items():
        for pattern in PATTERNS:
            for vocab, least in ((29952, 0), (2000, 4)):
                ref = json.loads(reference_trained(path, pattern, vocab, least).to_str())
                out = os.path.join(tmp, f"{corpus}-{pattern}")
                secenc("train", path, "-o", out, "--vocab-size", str(vocab), "--pattern", pattern,
                       "--min-frequency", str(least))
                with open(os.path.join(out, "tokenizer.json"), encoding="utf-8") as f:
                    own = json.load(f)
                what = f"{corpus}, {pattern}, {vocab} entries, min_frequency {least}"
                check(own["model"]["merges"] == ref["model"]["merges"], f"merges differ: {what}")
                check(own["model"]["vocab"] == ref["model"]["vocab"], f"entries differ: {what}")
                check(own["pre_tokenizer"] == ref["pre_tokenizer"], f"pre_tokenizer: {what}")
                check(own["decoder"] == ref["decoder"], f"decoder: {what}")
        print(f"merges: {corpus}: {len(own['model']['merges'])} merges (last), 3 patterns, same")


def test_classes(tmp, folder):
    """Every code point's class: a crafted vocabulary merges a character with a neighbour exactly when
    both are in one piece."""
    with open(os.path.join(folder, "tokenizer.json"), encoding="utf-8") as f:
        t = json.load(f)
    symbols = list(t["model"]["vocab"])[5:261]
    alphabet = {}  # byte -> symbol, through the reference's own pre-tokenizer
    for b in range(128):
        alphabet[b] = pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(chr(b))[0][0]
    high = [s for s in symbols if s not in alphabet.values()]
    pairs = [(a, alphabet[ord(b)]) for b in "a1!\t" for a in [*alphabet.values(), *high]]
    vocab = {s: i for i, s in enumerate([*SPECIALS, *symbols])}
    for a, b in pairs:
        vocab[a + b] = len(vocab)
    t["model"]["vocab"], t["model"]["merges"] = vocab, [list(p) for p in pairs]
    out = os.path.join(tmp, "classes")
    os.makedirs(out)
    with open(os.path.join(out, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(t, f)
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts = ("".join(f"{c}{probe}\n" for c in points[i:i + 2048])
             for probe in ("a", "1", "!", "\t\t") for i in range(0, len(points), 2048))
    same_ids(Tokenizer.from_file(os.path.join(out, "tokenizer.json")), out, texts, "classes")
    print(f"classes: {len(points)} code points, 4 probes each, same")


def test_random(folders):
    for pattern, folder in folders.items():
        ref = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        texts = list(random_texts(100000 if pattern == "log" else 25000, 7))
        same_ids(ref, folder, texts, f"random, {pattern}, specials", "--specials")
        ref.encode_special_tokens = True
        n, n_bytes, n_ids = same_ids(ref, folder, texts, f"random, {pattern}")
        ids = ours(folder, texts)
        lines = "\n".join(" ".join(map(str, i)) for i in ids).encode()
        back = secenc("decode", "-t", folder, "--json", stdin=lines).decode().split("\n")[:-1]
        check([json.loads(b) for b in back] == texts, f"round trip, {pattern}")
        print(f"random: {pattern}: {n} texts, {n_bytes} bytes, {n_ids} ids, same; round trip exact")


def test_long(folder):
    ref = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    r = random.Random(3)
    texts = ["a" * 300000, "ab" * 100000, " " * 100000, "=" * 70000, "1" * 100000,
             "".join(r.choice("abcdefghij") for _ in range(300000)), "é" * 50000,
             "-" * 64, "x" * 15 + "y", "x" * 14 + "yz" * 25]
    texts += ["k" * n for n in range(1, 140)]
    same_ids(ref, folder, texts, "long pieces")
    print("long pieces: same")


def test_raw(folder):
    ref = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    ref.encode_special_tokens = True
    r = random.Random(11)
    start, total, n_bytes, n_ids, chunks = time.time(), 0, 0, 0, []
    for name, text in raw_lines():
        lines = text.split("\n")
        at = r.randrange(len(lines))
        chunks.append("\n".join(lines[at:at + 40])[:100000])
        lines = list(dict.fromkeys(lines))
        if not FULL and sum(map(len, lines)) > 150000:
            r.shuffle(lines)
            keep, size = 0, 0
            while size < 150000:
                size += len(lines[keep])
                keep += 1
            lines = lines[:keep]
        a, b, c = same_ids(ref, folder, lines, name)
        total, n_bytes, n_ids = total + a, n_bytes + b, n_ids + c
    same_ids(ref, folder, chunks, "chunks of many lines")
    same_ids(ref, folder, (c.replace("\n", "\r\n") for c in chunks), "chunks with CRLF")
    print(f"raw: {total} distinct lines, {n_bytes} bytes, {n_ids} ids, {len(chunks)} chunks of many "
          f"lines twice, same ({'all' if FULL else 'sample'}; {time.time() - start:.0f} s)")


def test_transformers(folder):
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    text = "Failed password for root from 10.0.0.1 [MASK]"
    for t in (AutoTokenizer.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)):
        check([t.pad_token_id, t.cls_token_id, t.sep_token_id, t.unk_token_id, t.mask_token_id]
              == [0, 1, 2, 3, 4], "special ids in transformers")
        check(t.model_max_length == 48000, "model_max_length in transformers")
        ids = t(text)["input_ids"]
        check(ids == [1, *ours(folder, [text], "--specials")[0], 2], f"ids in transformers: {ids}")
        check(t.decode(ids[1:-1]) == text, f"decode in transformers: {t.decode(ids[1:-1])!r}")
        check(t(text, "b")["input_ids"] == ids + [*ours(folder, ["b"])[0], 2], "pairs")
    print("transformers: AutoTokenizer and PreTrainedTokenizerFast load the folder; same ids")


def main():
    have_raw = os.path.isdir(os.path.join(DATA, "raw"))
    with tempfile.TemporaryDirectory() as tmp:
        makers = {"generated": "".join(generated_log(4000, 1)),
                  "garbage": "".join(random_texts(6000, 2)),
                  "repeats": "".join(repeats(6000, 3))}
        if have_raw:
            texts = [t for _, t in raw_lines()]
            makers["real"] = "".join(t[:20000] for t in texts)
        else:
            print(f"SKIP: no real logs at {DATA}: their merges and ids are not compared")
        corpora = {}
        for name, text in makers.items():
            corpora[name] = os.path.join(tmp, f"{name}.txt")
            with open(corpora[name], "w", encoding="utf-8", newline="") as f:
                f.write(text)
        test_merges(tmp, corpora)
        train_on = [os.path.join(DATA, "raw")] if have_raw else [corpora["generated"]]
        folders = {p: os.path.join(tmp, p) for p in PATTERNS}
        for pattern, folder in folders.items():
            secenc("train", *train_on, corpora["garbage"], "-o", folder, "--pattern", pattern)
        test_transformers(folders["log"])
        test_long(folders["log"])
        test_random(folders)
        test_classes(tmp, folders["log"])
        if have_raw:
            test_raw(folders["log"])
    print("OK")


if __name__ == "__main__":
    main()
