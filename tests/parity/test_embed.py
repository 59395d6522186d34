"""`embed` and `fill-mask` against transformers on the same folder: AutoModel with mean and [CLS]
pooling, AutoModelForMaskedLM with AutoTokenizer."""

import io
import json
import os
import tempfile

import numpy as np
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from eval_fixture import fixture, make_model, run

LINES = [
    "Nov 24 09:12:01 web01 sshd[311]: Failed password for root from 203.0.113.9 port 52114 ssh2",
    "",
    "x",
    '{"EventID":4625,"TargetUserName":"müller","IpAddress":"10.0.0.7","Status":"0xc000006d"}',
    "GET /index.php?id=1%27%20OR%201=1 HTTP/1.1" * 6,  # longer than a window of the second run
    "日志 текст [MASK] is text here",
]
MASKED = [
    "Failed [MASK] for root from 203.0.113.9 port [MASK] ssh2",
    "[MASK]",
    "sshd[311]: [MASK][MASK] closed by user",
]


def windows(tok, line, seq_len):
    ids = tok(line, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    step = seq_len - 2
    parts = [ids[i: i + step] for i in range(0, len(ids), step)] or [[]]
    return [[tok.cls_token_id, *p, tok.sep_token_id] for p in parts]


def reference(model, tok, seq_len, pool):
    vectors = []
    for line in LINES:
        total, n = 0, 0
        for ids in windows(tok, line, seq_len):
            with torch.no_grad():
                h = model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
            total = total + (h.sum(0) if pool == "mean" else h[0] * len(ids))
            n += len(ids)
        vectors.append(total / n)
    return np.array(vectors)


def check_embed(folder, tok):
    model = AutoModel.from_pretrained(folder).eval()
    text = "\n".join(LINES).encode() + b"\n"
    worst = 0
    for pool in ("mean", "cls"):
        for seq_len in (512, 24):
            want = reference(model, tok, seq_len, pool)
            got = np.load(io.BytesIO(run("embed", folder, "-", "--pool", pool, "--seq-len", seq_len,
                                         "--quiet", text=text)))
            assert got.dtype == np.float32 and got.shape == want.shape
            worst = max(worst, np.abs(got - want).max())
    want = reference(model, tok, 512, "mean")
    want -= want.mean(0)
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    out = run("embed", folder, "--center", "--normalize", "--out", "jsonl", "--quiet", text=text)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [r["index"] for r in rows] == list(range(len(LINES)))
    assert [r["tokens"] for r in rows] == [len(windows(tok, v, 512)[0]) for v in LINES]
    worst = max(worst, np.abs(np.array([r["embedding"] for r in rows]) - want).max())
    assert worst < 1e-4, worst
    print(f"embed: largest difference {worst:.1e}")


def check_fill_mask(folder, tok):
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    out = run("fill-mask", folder, "-", "-k", 7, "--json", "--quiet",
              text="\n".join(MASKED).encode())
    worst = 0
    for text, got in zip(MASKED, map(json.loads, out.splitlines()), strict=True):
        assert got["text"] == text
        enc = tok(text, return_tensors="pt")
        with torch.no_grad():
            p = model(**{k: enc[k] for k in ("input_ids", "attention_mask")}).logits[0].softmax(-1)
        at = (enc["input_ids"][0] == tok.mask_token_id).nonzero()[:, 0].tolist()
        assert len(got["masks"]) == len(at)
        for position, guesses in zip(at, got["masks"]):
            score, ids = p[position].topk(7)
            assert [g["token"] for g in guesses] == ids.tolist()
            worst = max([worst] + [abs(g["score"] - s) for g, s in zip(guesses, score.tolist())])
            for g in guesses:
                assert g["token_str"] == tok.decode([g["token"]])
                filled = enc["input_ids"][0].clone()
                filled[position] = g["token"]
                assert g["sequence"] == tok.decode(filled[1:-1], clean_up_tokenization_spaces=False)
    assert worst < 1e-4, worst
    print(f"fill-mask: same tokens, largest difference of a probability {worst:.1e}")


def main():
    fix = fixture()
    with tempfile.TemporaryDirectory() as folder:
        make_model(folder, os.path.join(fix, "tok"))
        tok = AutoTokenizer.from_pretrained(folder)
        check_embed(folder, tok)
        check_fill_mask(folder, tok)


if __name__ == "__main__":
    main()
