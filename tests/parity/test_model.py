"""The encoder against transformers' DeBERTa-v2 and PyTorch autograd: hidden states, logits, loss,
every gradient, and ten AdamW steps; packed here, padded with an attention mask there."""

import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from model_hf import Batch, config, model, run_driver

DRIVER = os.path.join(os.environ["BUILD"], "tests", "model_parity")
EMULATED = os.path.join(os.environ["BUILD"], "tests", "cuda_host", "model_parity_emulated")
STEPS = 10
LR, BETAS, EPS, DECAY = 1e-3, (0.9, 0.98), 1e-6, 0.01

# size, convolution, max_relative_positions, lengths, labels, weight deviation
CASES = [
    ("nano", 0, 512, [24, 7, 31, 1], 0, 0.15),
    ("nano", 3, 512, [24, 7, 31, 1], 0, 0.15),
    ("nano", 3, 12, [40, 2, 19], 0, 0.15),
    ("nano", 3, 20, [50, 13, 21, 20], 3, 0.15),
    ("nano", 0, 512, [9, 40], 5, 0.15),
    ("tiny", 3, 512, [130, 75, 3], 0, 0.08),
    ("tiny", 0, 96, [150, 40], 0, 0.08),
    ("tiny", 3, 512, [64, 33, 90], 4, 0.08),
]
BACKENDS = [("ref", "f32"), ("cpu", "f32"), ("cpu", "bf16"), ("cuda", "f32"), ("cuda", "bf16")]


def loss_of(m, batch):
    kw = dict(input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.mask))
    if batch.classes is None:
        return m(**kw, labels=torch.from_numpy(batch.target), output_hidden_states=True)
    out = m(**kw, output_hidden_states=True)
    out.loss = torch.nn.functional.cross_entropy(out.logits, torch.from_numpy(batch.classes))
    return out


def merge_row0(grad):
    """Distances of max_relative_positions and more read row 0 there and row 1 here."""
    grad = grad.clone()
    grad[1] += grad[0]
    grad[0] = 0
    return grad


def reference(m, batch):
    out = loss_of(m, batch)
    m.zero_grad()
    out.loss.backward()
    r = {"loss": np.array([out.loss.item()], np.float32)}
    for i, h in enumerate(out.hidden_states):
        r[f"hidden.{i}"] = batch.packed(h.detach()).numpy().ravel()
    if batch.classes is None:
        chosen = torch.from_numpy(batch.target >= 0)
        r["logits"] = out.logits.detach()[chosen].numpy().ravel()
    else:
        r["logits"] = out.logits.detach().numpy().ravel()
    for name, p in m.named_parameters():
        g = p.grad if p.grad is not None else torch.zeros_like(p)
        if name.endswith("rel_embeddings.weight"):
            g = merge_row0(g)
        r["grad." + name] = g.numpy().ravel().copy()
    r["losses"] = train(m, batch)
    return r


def train(m, batch):
    rel = m.deberta.encoder.rel_embeddings.weight
    groups = [
        {"params": [p for p in m.parameters() if p.dim() > 1], "weight_decay": DECAY},
        {"params": [p for p in m.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    opt = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for _ in range(STEPS):
        opt.zero_grad()
        loss = loss_of(m, batch).loss
        loss.backward()
        rel.grad = merge_row0(rel.grad)
        opt.step()
        with torch.no_grad():
            rel[0] = rel[1]
        losses.append(loss.item())
    return np.array(losses, np.float32)


def relative_l2(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-12)


def compare(ours, want, bf16):
    """Worst error of each kind, against its bound."""
    worst = {"hidden": 0.0, "logits": 0.0, "loss": 0.0, "grad": 0.0, "losses": 0.0}
    grads = [n for n in want if n.startswith("grad.")]
    worst["all_grads"] = relative_l2(np.concatenate([ours[n] for n in grads]),
                                     np.concatenate([want[n] for n in grads]))
    where = ""
    for name, w in want.items():
        kind = name.split(".")[0]
        if kind == "losses":
            w = w[: len(ours[name])]
        assert ours[name].shape == w.shape, (name, ours[name].shape, w.shape)
        if kind == "grad" or bf16:
            error = relative_l2(ours[name], w)
        else:
            error = float(np.abs(ours[name] - w).max())
        if kind == "grad" and error > worst["grad"]:
            where = name
        worst[kind] = max(worst[kind], error)
    missing = {n for n in ours if n.startswith("grad.")} ^ {n for n in want if n.startswith("grad.")}
    assert not missing, missing
    return worst, where


def check_relative(buckets, mp, span):
    """The table of positions, within the distances where both conventions agree."""
    delta = torch.arange(-(span - 1), span)
    bucket = make_log_bucket_position(delta, buckets, mp).to(torch.long)
    want = torch.clamp(bucket + buckets, 1, 2 * buckets - 1).numpy()
    out = subprocess.run([DRIVER, "relative", str(buckets), str(mp), str(span)], check=True,
                         capture_output=True, text=True).stdout
    assert np.array_equal(np.array(out.split(), int), want), (buckets, mp, span)


def main():
    for buckets, mp, span in [(256, 512, 700), (256, 8192, 9000), (64, 512, 600), (16, 12, 40),
                              (32, 128, 129), (256, 48000, 48100), (2, 4, 9)]:
        check_relative(buckets, mp, span)
    torch.set_num_threads(2)
    f32 = {"hidden": 1e-5, "logits": 1e-5, "loss": 1e-5, "grad": 1e-5, "losses": 1e-5}
    # Relative, for 8 bits of mantissa; single tensors of small gradients are noisier than the whole.
    bf16 = {"hidden": 2e-2, "logits": 2e-2, "loss": 2e-2, "grad": 6e-2, "all_grads": 3e-2,
            "losses": 2e-2}
    failed = False
    only = sys.argv[1:]
    for number, (size, conv, mp, lengths, labels, std) in enumerate(CASES):
        cfg = config(size, conv, mp, labels)
        m = model(cfg, 100 + number, std)
        batch = Batch(lengths, cfg.vocab_size, number, labels)
        with tempfile.TemporaryDirectory() as folder:
            m.save_pretrained(folder)
            batch.write(os.path.join(folder, "batch"))
            want = reference(m, batch)
            for backend, act in BACKENDS:
                if only and f"{backend}.{act}" not in only:
                    continue
                # ref and the emulation are slow: fewer steps of the larger model, and in fp32 only
                slow = backend != "cpu" and size != "nano"
                if slow and act == "bf16":
                    continue
                if backend == "cuda" and not os.path.exists(EMULATED):
                    continue
                ours = run_driver(EMULATED if backend == "cuda" else DRIVER, folder,
                                  os.path.join(folder, "batch"), os.path.join(folder, "out"),
                                  backend, act, 2 if slow else STEPS)
                worst, where = compare(ours, want, act == "bf16")
                bound = bf16 if act == "bf16" else f32
                bad = [k for k in bound if not worst[k] <= bound[k]]
                failed |= bool(bad)
                print(f"{size} conv={conv} mp={mp} S={max(lengths)} labels={labels} {backend} {act}: "
                      + " ".join(f"{k} {v:.1e}" for k, v in worst.items())
                      + (f"  FAILED {bad} {where}" if bad else ""), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
