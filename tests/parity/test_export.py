"""export and import against transformers: the exported folder loads with AutoModelForMaskedLM and
AutoTokenizer, weights are the same bits, and Hugging Face's own folders come in through import."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoConfig, AutoModel, AutoModelForMaskedLM,
                          AutoModelForSequenceClassification, AutoTokenizer, DebertaV2Config, pipeline)
from transformers.utils import logging

from model_hf import Batch, config, model, run_driver

SECENC = os.environ["SECENC"]
DRIVER = os.path.join(os.environ["BUILD"], "tests", "model_parity")
KEYS = """architectures model_type legacy vocab_size hidden_size num_hidden_layers num_attention_heads
attention_head_size intermediate_size hidden_act hidden_dropout_prob attention_probs_dropout_prob
max_position_embeddings max_relative_positions type_vocab_size initializer_range layer_norm_eps
relative_attention position_buckets norm_rel_ebd share_att_key pos_att_type position_biased_input
pad_token_id conv_kernel_size conv_act pooler_dropout pooler_hidden_act pooler_hidden_size
torch_dtype""".split()


def secenc(*args, code=0, text=""):
    r = subprocess.run([SECENC, *args], capture_output=True, text=True)
    assert r.returncode == code, (args, r.returncode, r.stderr)
    assert text in r.stderr + r.stdout, (args, text, r.stderr, r.stdout)
    assert r.stderr.count("error") <= 1, r.stderr
    return r.stdout


def load(cls, folder):
    """Without a missing, unexpected or mismatched tensor."""
    m, info = cls.from_pretrained(folder, output_loading_info=True)
    for key, value in info.items():
        assert not value, (folder, key, value)
    return m.eval()


def check_masked_lm(t):
    for conv in (0, 3):
        m = model(config("nano", conv, 512), 5, 0.1)
        src, out, again = (os.path.join(t, f"{n}{conv}") for n in ("src", "out", "again"))
        m.save_pretrained(src)
        secenc("import", src, "-o", out)
        back = load(AutoModelForMaskedLM, out)
        for (name, a), (_, b) in zip(m.state_dict().items(), back.state_dict().items()):
            assert torch.equal(a, b), name
        with open(os.path.join(out, "config.json")) as f:
            written = json.load(f)
        assert not [k for k in KEYS if k not in written]
        for key in KEYS:
            if key not in ("torch_dtype", "architectures"):
                assert getattr(AutoConfig.from_pretrained(out), key) == written[key], key
        secenc("export", out, "-o", again)
        secenc("verify", out, again, text="equal, bit for bit")
        half = os.path.join(t, f"half{conv}")
        secenc("export", out, "-o", half, "--dtype", "bfloat16")
        for name, w in load_file(os.path.join(half, "model.safetensors")).items():
            assert torch.equal(w, m.state_dict()[name].bfloat16()), name
        secenc("verify", out, half, code=1, text="differ in")
        assert load(AutoModelForMaskedLM, half) is not None


def check_classifier(t):
    m = model(config("nano", 3, 512, 3), 6, 0.1)
    src, out = os.path.join(t, "cls"), os.path.join(t, "cls-out")
    m.save_pretrained(src)
    secenc("import", src, "-o", out)
    back = load(AutoModelForSequenceClassification, out)
    assert back.config.num_labels == 3 and back.config.id2label[2] == "LABEL_2"
    for (name, a), (_, b) in zip(m.state_dict().items(), back.state_dict().items()):
        assert torch.equal(a, b), name
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        assert (m(input_ids=ids).logits - back(input_ids=ids).logits).abs().max() < 1e-5


def check_variants(t):
    """Sharded, bare encoder, half precision, the newer head layout: all the same weights."""
    m = model(config("nano", 3, 512), 7, 0.1)
    plain, out = os.path.join(t, "plain"), os.path.join(t, "plain-out")
    m.save_pretrained(plain)
    secenc("import", plain, "-o", out)

    sharded, other = os.path.join(t, "sharded"), os.path.join(t, "sharded-out")
    m.save_pretrained(sharded, max_shard_size="100KB")
    assert os.path.exists(os.path.join(sharded, "model.safetensors.index.json"))
    secenc("import", sharded, "-o", other)
    secenc("verify", out, other)

    newer = os.path.join(t, "newer")
    os.makedirs(newer)
    weights = {k.replace("cls.predictions.transform.", "lm_predictions.lm_head.")
                .replace("cls.predictions.bias", "lm_predictions.lm_head.bias"): v
               for k, v in load_file(os.path.join(plain, "model.safetensors")).items()}
    assert "lm_predictions.lm_head.bias" in weights
    save_file(weights, os.path.join(newer, "model.safetensors"), {"format": "pt"})
    m.config.save_pretrained(newer)
    secenc("import", newer, "-o", other)
    secenc("verify", out, other)

    bare, bare_out = os.path.join(t, "bare"), os.path.join(t, "bare-out")
    m.deberta.save_pretrained(bare)
    secenc("import", bare, "-o", bare_out)
    # transformers drops the prefix by itself when it loads a headed model's names
    back = AutoModel.from_pretrained(bare_out).eval()
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        assert (m.deberta(input_ids=ids)[0] - back(input_ids=ids)[0]).abs().max() < 1e-5

    half = os.path.join(t, "half16")
    m.half().save_pretrained(half)
    secenc("import", half, "-o", other)
    for name, w in load_file(os.path.join(other, "model.safetensors")).items():
        assert torch.equal(w, m.state_dict()[name].float()), name


def check_refusals(t):
    folder = os.path.join(t, "bad")
    for change, text in [(dict(position_biased_input=True), "position_biased_input is true"),
                         (dict(type_vocab_size=2), "type_vocab_size is 2"),
                         (dict(hidden_act="silu"), 'hidden_act is "silu"'),
                         (dict(pos_att_type=["c2p"]), "pos_att_type"),
                         (dict(share_att_key=False), "share_att_key is false"),
                         (dict(position_buckets=-1), "position_buckets is -1")]:
        base = config("nano", 3, 512).to_dict()
        base.update(change)
        DebertaV2Config(**base).save_pretrained(folder)
        secenc("import", folder, "-o", os.path.join(t, "never"), code=3, text=text)
    assert not os.path.exists(os.path.join(t, "never"))
    config("nano", 3, 512).save_pretrained(folder)
    open(os.path.join(folder, "pytorch_model.bin"), "w").close()
    secenc("import", folder, "-o", os.path.join(t, "never"), code=3, text="pickle")
    secenc("export", os.path.join(t, "nothing"), "-o", os.path.join(t, "never"), code=1,
           text="no such folder")
    secenc("export", os.path.join(t, "out3"), "-o", os.path.join(t, "out3"), code=2,
           text="the model itself")


def check_tokenizer(t):
    """The tokenizer travels with the model, and a text gives both sides the same logits."""
    logs = os.path.join(t, "logs.txt")
    line = "Oct {} 10:{:02d}:11 host{} sshd[{}]: Failed password for {} from 10.0.{}.{} port {} ssh2\n"
    g = np.random.default_rng(1)
    users = ["".join(g.choice(list("abcdefghij"), 8)) for _ in range(300)]
    with open(logs, "w") as f:
        for _ in range(3000):
            n = [int(x) for x in g.integers(1, 60, 7)]
            f.write(line.format(*n[:4], users[int(g.integers(300))], *n[4:]))
    src, tok, out = (os.path.join(t, n) for n in ("tsrc", "tok", "tout"))
    secenc("tokenizer", "train", logs, "-o", tok, "--vocab-size", "512")
    m = model(config("nano", 3, 512), 8, 0.1)
    m.save_pretrained(src)
    secenc("import", src, "-o", out, text="no tokenizer.json")
    for name in os.listdir(tok):
        with open(os.path.join(tok, name), "rb") as f, open(os.path.join(src, name), "wb") as g:
            g.write(f.read())
    secenc("import", src, "-o", out)
    tokenizer, back = AutoTokenizer.from_pretrained(out), load(AutoModelForMaskedLM, out)
    sha = back.config.secenc_tokenizer_sha256  # transformers carries the key along
    again = os.path.join(t, "tagain")
    back.save_pretrained(again)
    tokenizer.save_pretrained(again)
    with open(os.path.join(again, "config.json")) as f:
        assert json.load(f)["secenc_tokenizer_sha256"] == sha
    assert len(sha) == 64 and json.loads(secenc("inspect", tok, "--json"))["fingerprint"] == sha
    text = "Oct 3 10:02:11 host7 sshd[12]: Failed [MASK] for root from 10.0.3.4 port 5 ssh2"
    enc = tokenizer(text, return_tensors="pt")
    assert (enc["input_ids"][0] == tokenizer.mask_token_id).sum() == 1
    with torch.no_grad():
        want = back(input_ids=enc["input_ids"], attention_mask=enc["attention_mask"]).logits
    ids = enc["input_ids"].numpy()
    batch = Batch([ids.shape[1]], 512, 0)
    batch.ids = ids
    batch.target = np.where(ids == tokenizer.mask_token_id, 5, -100)
    batch.write(os.path.join(t, "batch"))
    ours = run_driver(DRIVER, out, os.path.join(t, "batch"), os.path.join(t, "dump"), "cpu", "f32", 0)
    at = int(np.nonzero(batch.target[0] >= 0)[0][0])
    assert np.abs(ours["logits"] - want[0, at].numpy()).max() < 1e-4

    guesses = pipeline("fill-mask", model=back, tokenizer=tokenizer, top_k=5)(text)
    (mask,) = json.loads(secenc("fill-mask", out, text, "--json"))["masks"]
    assert [g["token"] for g in guesses] == [g["token"] for g in mask]
    for a, b in zip(guesses, mask):
        assert abs(a["score"] - b["score"]) < 1e-5
        assert a["token_str"] == b["token_str"] and a["sequence"] == b["sequence"], (a, b)


def main():
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as t:
        for check in (check_masked_lm, check_classifier, check_variants, check_refusals,
                      check_tokenizer):
            check(t)
            print(f"{check.__name__[6:]}: ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
