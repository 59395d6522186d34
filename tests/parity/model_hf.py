"""Random Hugging Face DeBERTa-v2 models and batches for the parity tests."""

import struct
import subprocess

import numpy as np
import torch
from transformers import DebertaV2Config, DebertaV2ForMaskedLM, DebertaV2ForSequenceClassification

SIZES = {
    "nano": dict(vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                 intermediate_size=256, position_buckets=16),
    "tiny": dict(vocab_size=29952, hidden_size=128, num_hidden_layers=4, num_attention_heads=2,
                 intermediate_size=512, position_buckets=64),
}


def config(size, conv, mp, labels=0):
    extra = dict(conv_kernel_size=conv, conv_act="gelu") if conv else {}
    if labels:
        extra["num_labels"] = labels
    return DebertaV2Config(
        **SIZES[size], **extra, hidden_act="gelu", hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, max_position_embeddings=1024, max_relative_positions=mp,
        type_vocab_size=0, layer_norm_eps=1e-7, relative_attention=True, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        pad_token_id=0, pooler_hidden_act="gelu", pooler_dropout=0.0, legacy=True)


def model(cfg, seed, std):
    """Weights large enough that a wrong term shows; every vector random too."""
    torch.manual_seed(seed)
    cls = DebertaV2ForSequenceClassification if cfg.num_labels > 2 else DebertaV2ForMaskedLM
    m = cls(cfg).float().eval()
    with torch.no_grad():
        for name, p in m.named_parameters():
            if p.dim() > 1:
                p.normal_(0, std)
            elif "LayerNorm.weight" in name:
                p.copy_(1 + 0.2 * torch.randn_like(p))
            else:
                p.normal_(0, 0.1)
        m.deberta.embeddings.word_embeddings.weight[0].zero_()
        rel = m.deberta.encoder.rel_embeddings.weight
        rel[0] = rel[1]  # see "Row 0 trap" in docs: both conventions then agree
    return m


class Batch:
    """Sequences padded for PyTorch and packed for secenc."""

    def __init__(self, lengths, vocab, seed, labels=0):
        g = np.random.default_rng(seed)
        self.lengths = lengths
        width = max(lengths)
        self.ids = np.zeros((len(lengths), width), np.int64)
        self.mask = np.zeros_like(self.ids)
        self.target = np.full_like(self.ids, -100)
        for s, n in enumerate(lengths):
            self.ids[s, :n] = g.integers(1, vocab, n)
            self.mask[s, :n] = 1
            chosen = g.permutation(n)[: max(1, n // 5)]
            self.target[s, chosen] = g.integers(1, vocab, len(chosen))
        if lengths[0] > 2:
            self.ids[0, 1] = 0  # [PAD] as a token: its look-up has no gradient on either side
        self.classes = g.integers(0, labels, len(lengths)) if labels else None

    def packed(self, x):
        """Rows of the valid positions of [B, S, ...], in packed order."""
        return x[torch.from_numpy(self.mask).bool()]

    def write(self, path):
        valid = self.mask.astype(bool)
        target = self.target[valid]
        rows = np.zeros(0, np.int32) if self.classes is not None else np.nonzero(target >= 0)[0]
        cu = np.concatenate([[0], np.cumsum(self.lengths)]).astype("<i4")
        with open(path, "wb") as f:
            f.write(struct.pack("<5i", int(valid.sum()), len(self.lengths), max(self.lengths),
                                len(rows), 0 if self.classes is None else 1))
            f.write(cu.tobytes() + rows.astype("<i4").tobytes())
            if self.classes is not None:
                f.write(self.classes.astype("<i4").tobytes())
            f.write(self.ids[valid].astype("<u2").tobytes() + target[rows].astype("<u2").tobytes())


def run_driver(driver, folder, batch, out, backend, act, steps):
    subprocess.run([driver, folder, batch, out, backend, act, str(steps)], check=True)
    records = {}
    with open(out, "rb") as f:
        data = f.read()
    at = 0
    while at < len(data):
        name = data[at: at + 128].rstrip(b"\0").decode()
        (count,) = struct.unpack_from("<q", data, at + 128)
        records[name] = np.frombuffer(data, "<f4", count, at + 136)
        at += 136 + 4 * count
    return records
