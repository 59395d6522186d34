#!/usr/bin/env python3
"""The roofline of the CUDA backend: bytes and FLOPs of every kernel of a training step from the shapes of the
model, the time they would take at stated ceilings, and the traffic of attention a score.

  tests/gpu/roofline.py            the tables of kernels/README.md, between its markers
  tests/gpu/roofline.py --check    whether kernels/README.md holds exactly these tables
  tests/gpu/roofline.py --write    puts them there

Plain Python. tests/gpu/run puts predict() beside what it measures.

Counting rules. FLOPs: a multiply-add is two; of products and of mma instructions only, those of tiles that are
computed and thrown away included. Bytes: every operand of a kernel crosses device memory once, read or written; what
a kernel reads twice comes from L2 the second time. Attention instead counts every byte that its loads ask for, and
these come from L2. Lengths are multiples of 64 and no dropout is on (as in configs/)."""
import math
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
README = os.path.join(ROOT, "kernels", "README.md")
BEGIN, END = "<!-- roofline: begin -->", "<!-- roofline: end -->"

# Ceilings, and the shares of them that kernels are taken to reach. kernels/README.md says where they come from.
CARDS = {
    "H100 SXM": {"tensor": 800e12, "memory": 3.0e12, "l2": 5.5e12, "gemm": 0.75, "copy": 0.9, "forward": 0.40,
                 "backward": 0.35, "launch": 1.5e-6},
    "A100 SXM 80 GB": {"tensor": 312e12, "memory": 2.04e12, "l2": 4.5e12, "gemm": 0.75, "copy": 0.85,
                       "forward": 0.55, "backward": 0.50, "launch": 2e-6},
}
VOCAB, BUCKETS, DISTANCE, HEAD = 29952, 256, 512, 64
MODELS = {"base": (12, 768), "large": (24, 1024)}  # layers, hidden size; intermediate size is 4 hidden
MASKED = 0.15
BATCH = 32768
LOGIT_BYTES = 32 << 20  # of a chunk of logits: model/plan.c
ACT, MASTER = 2, 4


# ---------------------------------------------------------------- the relative index

def slot(delta):
    """Row of the relative table (model.md), double instead of float32: enough to count with."""
    mid, far = BUCKETS // 2, min(abs(delta), DISTANCE - 1)
    if far > mid:
        far = math.ceil(math.log(far / mid) / math.log((DISTANCE - 1) / mid) * (mid - 1)) + mid
    return min(max((far if delta > 0 else -far) + BUCKETS, 0), 2 * BUCKETS - 1)


# ---------------------------------------------------------------- attention, as attn_tile.h walks it

ROWS, FORWARD_COLUMNS, BACKWARD_COLUMNS = 64, 64, 32  # of a tile: attn_fwd.cu, attn_bwd.cu


class Walk:
    """All pairs of tiles of one head of one sequence, column tiles ascending in every block."""

    def __init__(self, length, columns):
        self.length, self.columns, self.pairs = length, columns, 0
        self.modes, self.window_rows, self.strip_units = {}, 0, 0.0
        blocks, steps, last = length // ROWS, length // columns, length - 1
        linear = next(d for d in range(1, 2 * BUCKETS) if slot(d + 1) != BUCKETS + d + 1)

        def at(delta):
            return slot(max(-last, min(delta, last)))

        def window(diff):
            return at(diff - (columns - 1)), at(diff + ROWS - 1)

        for diff in range(-(steps - 1) * columns, (blocks - 1) * ROWS + 1, columns):
            # Blocks whose row tile and some column tile are this far apart; the first column tile of one of them.
            least = max(0, -(-diff // ROWS))
            most = min(blocks - 1, ((steps - 1) * columns + diff) // ROWS)
            count, first = max(0, most - least + 1), 1 if diff >= 0 and diff % ROWS == 0 else 0
            if not count:
                continue
            low, high = window(diff)
            before_low, before_high = window(diff + columns)
            fetched = high - low + 1
            if before_low <= high <= before_high:
                fetched = max(0, before_low - low)
            mode, units = self.pair(diff, low == high, linear, at)
            self.pairs += count
            self.modes[mode] = self.modes.get(mode, 0) + count
            self.window_rows += (count - first) * fetched + first * (high - low + 1)
            self.strip_units += count * units

    def pair(self, diff, constant, linear, at):
        """Mode, and products of 16 rows and 8 slots that a warp makes for the strips (on average of four)."""
        columns, groups = self.columns, self.columns // 16
        spans = [(diff + 16 * w - (columns - 1), diff + 16 * w + 15) for w in range(4)]
        spans += [(diff - 16 * g - 15, diff - 16 * g + ROWS - 1) for g in range(groups)]
        if max(abs(diff - (columns - 1)), abs(diff + ROWS - 1)) <= linear:
            return "linear", sum((b - a) // 8 + 1 for a, b in spans) / 4
        if constant:
            return "constant", groups / 4
        return "table", sum((at(b) - at(a)) // 8 + 1 for a, b in spans) / 4

    def flops(self, products):
        """`products` of a whole pair with HEAD, and the strips; four warps of 16 rows each."""
        return 4 * 2.0 * 16 * HEAD * (products * self.columns * self.pairs + 8 * self.strip_units)

    def moved(self):
        """Loads of two column tiles a pair, and of the windows of both relative tables."""
        return ACT * HEAD * (2.0 * self.columns * self.pairs + 2.0 * self.window_rows)


def used_slots(length):
    """Relative rows that a row meets, on average."""
    return sum(slot(i) - slot(i - length + 1) + 1 for i in range(0, length, 64)) / len(range(0, length, 64))


def attention_forward(length):
    """(FLOPs, bytes of loads and stores) of one head of one sequence."""
    walk = Walk(length, FORWARD_COLUMNS)
    return walk.flops(2), walk.moved() + length * (2 * HEAD * ACT + 4)  # q, o, lse


def attention_backward(length):
    """The same: delta; queries as rows (scores, dP, dQ); keys as rows (scores, dP, dV, dK). Either side makes its sums
    by relative row: zeroed, written where used, read for the share of dQ or dK, read by the product of dKr or dQr."""
    walk = Walk(length, BACKWARD_COLUMNS)
    used, rows = used_slots(length), 2 * BUCKETS
    relative = 2.0 * length * 2 * HEAD  # a product of one side's sums, a slot
    flops = walk.flops(3) + walk.flops(4) + 2 * relative * used + 2 * relative * rows
    moved = length * (2 * HEAD * ACT + 4) + 2 * walk.moved()
    moved += length * (3 * HEAD * ACT + 8 + 4 * HEAD * ACT)  # q, dO, dQ; k, v, dK, dV
    moved += 16.0 * walk.columns * walk.pairs  # lse, delta and the row key of a column
    moved += 2 * length * ACT * (2 * rows + 2 * used) + 2 * length * HEAD * ACT
    return flops, moved


def triton_bytes(length, direction):
    """FlashDeBERTa (github.com/Knowledgator/FlashDeBERTa at 29614f8, src/flashdeberta/ops/flash_attention.py, tiles
    from config.py, sums from position.py), the same rule: bytes that the loads and stores of its kernels ask for, bf16,
    D 64. A score gathers its slot (int32) and both position scores; these are products made before, [length, 512]."""
    n, d, gather = float(length), HEAD, 4 + 2 * ACT
    scores = n * n
    position = 2 * n * 2 * BUCKETS * ACT  # both matrices of position scores, written by their products
    position += 2 * (n + 2 * BUCKETS) * d * ACT
    if direction == "forward":  # tiles 64 x 64
        return scores * (gather + 2 * d * ACT / 64) + n * (2 * d * ACT + 4) + position
    columns = 2.0 * min(length - 1, DISTANCE) + 1  # distinct distances before the slots saturate
    inside = n * min(n, columns)
    keys = scores * (gather + (2 * d * ACT + 8) / 32) + n * 4 * d * ACT
    queries = scores * (gather + 2 * d * ACT / 16) + n * (3 * d * ACT + 8)
    band = 2 * ACT * (inside + n * columns)  # a gradient a score within the band, zeroed before
    fold = 2 * 2 * (n * columns * ACT) + 4 * n * d * ACT  # each band read by two products
    return keys + queries + band + fold + n * (2 * d * ACT + 4)


# ---------------------------------------------------------------- the kernels of a step

class Kernel:
    def __init__(self, group, name, flops, moved, kind="copy", launches=1, l2=0.0):
        self.group, self.name, self.flops, self.moved = group, name, flops, moved
        self.kind, self.launches, self.l2 = kind, launches, l2

    def seconds(self, card):
        times = {"compute": self.flops / (card["tensor"] * card.get(self.kind, 1)),
                 "memory": self.moved / (card["memory"] * card["copy"]), "L2": self.l2 / card["l2"]}
        bound = max(times, key=times.get)
        return times[bound] + self.launches * card["launch"], bound


def product(group, name, m, n, k, out=ACT, accumulate=False, bias=False, times=1):
    moved = ACT * (m * k + k * n) + out * m * n * (2 if accumulate else 1)
    return Kernel(group, name, times * 2.0 * m * n * k, times * moved, "gemm", times * (2 if bias else 1))


def layer(t, h, length):
    """Forward and backward of one layer on t tokens: model/encoder.c and encoder_bwd.c."""
    i, heads, seqs, r = 4 * h, h // HEAD, t / length, 2 * BUCKETS
    row = float(t * h * ACT)  # one [T, H] of activations
    f, b = "forward", "backward"
    fwd, bwd = (tuple(x * seqs * heads for x in part(length)) for part in (attention_forward, attention_backward))
    sums = float(t) * heads * r * ACT  # dC or dT
    out = [product(f, "Q, K, V projection", t, 3 * h, h, bias=True),
           product(f, "relative rows: projection", r, 2 * h, h, bias=True),
           Kernel(f, "attention", fwd[0], 4 * row + t * heads * 4, f, 1, fwd[1]),
           product(f, "output projection", t, h, h, bias=True),
           Kernel(f, "residual + LayerNorm, twice", 0, 2 * 4 * row, launches=2),
           product(f, "feed-forward up", t, i, h, bias=True),
           Kernel(f, "GELU", 0, 2 * t * i * ACT),
           product(f, "feed-forward down", t, h, i, bias=True),
           Kernel(b, "LayerNorm gradient, twice", 0, 2 * 5 * row, launches=8),
           Kernel(b, "GELU again", 0, 2 * t * i * ACT),
           product(b, "feed-forward down: dW", h, i, t, MASTER, True),
           product(b, "feed-forward down: dX", t, i, h),
           Kernel(b, "GELU gradient", 0, 3 * t * i * ACT),
           product(b, "feed-forward up: dW", i, h, t, MASTER, True),
           product(b, "feed-forward up: dX", t, h, i, accumulate=True),
           product(b, "output projection: dW", h, h, t, MASTER, True),
           product(b, "output projection: dX", t, h, h),
           Kernel(b, "attention gradient", bwd[0], 10 * row + 8 * t * heads + 2 * 4 * sums, b, 6, bwd[1]),
           product(b, "Q, K, V projection: dW", 3 * h, h, t, MASTER, True),
           product(b, "relative rows: dW, dX", 2 * h, h, r, MASTER, True, times=2),
           product(b, "Q, K, V projection: dX", t, h, 3 * h, accumulate=True),
           Kernel(b, "bias gradients", 0, row * (1 + 1 + 4 + 3), launches=10)]
    return out


def once(t, h):
    """What a step does outside the layers, but for the optimizer."""
    f, b, m, c = "forward", "backward", int(t * MASKED), 3
    row, masked, r = float(t * h * ACT), float(m * h * ACT), 2 * BUCKETS
    chunk = min(m, LOGIT_BYTES // (VOCAB * ACT))
    chunks = m / chunk
    logits = float(m * VOCAB * ACT)
    return [Kernel(f, "embeddings, LayerNorm", 0, 4 * row + 8 * r * h, launches=4),
            Kernel(f, "convolution: columns", 0, 4 * row),
            product(f, "convolution: product", t, h, c * h, bias=True),
            Kernel(f, "convolution: GELU, LayerNorm", 0, 6 * row, launches=2),
            product(f, "head: transform", m, h, h, bias=True),
            Kernel(f, "head: gather, GELU, LayerNorm", 0, 6 * masked, launches=3),
            Kernel(f, "head: logits", 2.0 * m * VOCAB * h, chunks * VOCAB * h * ACT + masked + logits, "gemm",
                   math.ceil(chunks) * 2),
            Kernel(f, "cross-entropy with gradient", 0, 2 * logits, launches=math.ceil(chunks)),
            Kernel(b, "head: dE", 2.0 * m * VOCAB * h, logits + masked + chunks * 2 * VOCAB * h * MASTER, "gemm",
                   math.ceil(chunks)),
            Kernel(b, "head: dX, bias", 2.0 * m * VOCAB * h, 2 * logits + masked + chunks * VOCAB * h * ACT, "gemm",
                   math.ceil(chunks) * 3),
            product(b, "head: transform, dW and dX", m, h, h, times=2),
            Kernel(b, "head: LayerNorm, GELU, scatter", 0, 10 * masked + row, launches=8),
            Kernel(b, "convolution: LayerNorm, GELU", 0, 8 * row, launches=5),
            Kernel(b, "convolution: columns", 0, 4 * row),
            product(b, "convolution: dW", h, c * h, t, MASTER, True),
            product(b, "convolution: dX", t, c * h, h, MASTER),
            Kernel(b, "convolution: gather dX, bias", 0, t * c * h * MASTER + 3 * row, launches=3),
            Kernel(b, "embeddings: LayerNorm, scatter", 0, 8 * row + 2 * t * h * MASTER, launches=6)]


def parameters(layers, h):
    return (VOCAB * h + 4 * h + 2 * BUCKETS * h + layers * (12 * h * h + 13 * h) + 3 * h * h + 3 * h
            + h * h + 3 * h + VOCAB)


def optimizer(layers, h):
    n = parameters(layers, h)
    return [Kernel("step", "gradients to zero, norm", 0, 2.0 * MASTER * n, launches=3),
            Kernel("step", "AdamW", 0, n * (7.0 * MASTER + ACT), launches=2)]


def model_flops(layers, h, length):
    """Of one token forward: sec_model_flops_per_token (model/plan.c)."""
    rows = min(2 * BUCKETS, 2 * length)
    return (layers * (24.0 * h * h + 4.0 * length * h + 4.0 * h * rows) + 6.0 * h * h
            + MASKED * 2 * (h * h + h * VOCAB))


def predict(name, length, tokens=BATCH, card="H100 SXM"):
    """One step on one packed batch: milliseconds by part, tokens/s, MFU of the tensor ceiling."""
    layers, h = MODELS[name]
    c = CARDS[card]
    tokens = max(tokens, length)
    ms = {"forward": 0.0, "backward": 0.0, "step": 0.0, "attention": 0.0}
    flops = 0.0
    for times, kernels in ((layers, layer(tokens, h, length)), (1, once(tokens, h)), (1, optimizer(layers, h))):
        for k in kernels:
            t = 1e3 * times * k.seconds(c)[0]
            ms[k.group] += t
            flops += times * k.flops
            if k.name.startswith("attention"):
                ms["attention"] += t
    whole = ms["forward"] + ms["backward"] + ms["step"]
    rate = tokens / whole * 1e3
    used = 3 * model_flops(layers, h, length)
    return {"ms": whole, "parts": ms, "tokens_per_second": rate, "mfu": used * rate / c["tensor"],
            "executed_share": flops / (used * tokens), "tokens": tokens}


def predict_attention(name, length, tokens=BATCH, card="H100 SXM"):
    """Seconds of attention forward and backward of one layer."""
    h = MODELS[name][1]
    at = {k.name: k.seconds(CARDS[card])[0] for k in layer(max(tokens, length), h, length)}
    return at["attention"], at["attention gradient"]


# ---------------------------------------------------------------- tables

def number(x):
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if x >= size:
            return f"{x / size:.3g} {unit}"
    return f"{x:.3g}" if x else "0"


def kernel_table(name, length):
    layers, h = MODELS[name]
    out = ["| kernel | FLOP | bytes | bound | H100, ns | A100, ns |", "|---|---|---|---|---|---|"]

    def rows(kernels):
        for k in kernels:
            seconds, bound = k.seconds(CARDS["H100 SXM"])
            other = k.seconds(CARDS["A100 SXM 80 GB"])[0]
            direction = {"forward": "", "backward": "*", "step": ""}[k.group]
            yield (f"| {direction}{k.name}{direction} | {number(k.flops / BATCH)} | "
                   f"{number(max(k.moved, k.l2) / BATCH)} | {bound} | {seconds / BATCH * 1e9:.2f} | "
                   f"{other / BATCH * 1e9:.2f} |")
    one = layer(BATCH, h, length)
    out += [f"| **one layer of {layers}** | {number(sum(k.flops for k in one) / BATCH)} | | | "
            f"{sum(k.seconds(CARDS['H100 SXM'])[0] for k in one) / BATCH * 1e9:.1f} | "
            f"{sum(k.seconds(CARDS['A100 SXM 80 GB'])[0] for k in one) / BATCH * 1e9:.1f} |"]
    out += rows(one)
    out += ["| **once a pass** | | | | | |"]
    out += rows(once(BATCH, h))
    out += ["| **once a step** | | | | | |"]
    out += rows(optimizer(layers, h))
    return out


def step_table(card):
    out = ["| model, length | forward, ms | backward, ms | optimizer, ms | of it attention | us a token | tokens/s | MFU |",
           "|---|---|---|---|---|---|---|---|"]
    for name in MODELS:
        for length in (512, 1024, 2048, 8192):
            p = predict(name, length, card=card)
            m = p["parts"]
            out.append(f"| {name}, {length:,} | {m['forward']:.1f} | {m['backward']:.1f} | {m['step']:.2f} | "
                       f"{100 * m['attention'] / p['ms']:.0f} % | {1e3 * p['ms'] / p['tokens']:.2f} | "
                       f"{p['tokens_per_second'] / 1e3:,.0f}k | {100 * p['mfu']:.0f} % |")
    return out


def traffic_table():
    out = ["| length | pairs constant / linear / table | forward: ours | Triton | ratio | backward: ours | Triton | ratio | both |",
           "|---|---|---|---|---|---|---|---|---|"]
    for length in (512, 1024, 2048, 8192, 48000):
        scores = float(length) ** 2
        walk = Walk(length, FORWARD_COLUMNS)
        ours = attention_forward(length)[1] / scores, attention_backward(length)[1] / scores
        theirs = triton_bytes(length, "forward") / scores, triton_bytes(length, "backward") / scores
        modes = " / ".join(f"{100 * walk.modes.get(m, 0) / walk.pairs:.0f} %" for m in ("constant", "linear", "table"))
        out.append(f"| {length:,} | {modes} | {ours[0]:.1f} | {theirs[0]:.1f} | {ours[0] / theirs[0]:.2f} | "
                   f"{ours[1]:.1f} | {theirs[1]:.1f} | {ours[1] / theirs[1]:.2f} | {sum(ours) / sum(theirs):.2f} |")
    return out


def tables():
    out = [BEGIN, f"A token of **base** at 1,024 (batch of {BATCH:,} tokens; backward in italics):", ""]
    out += kernel_table("base", 1024)
    out += ["", "The same of **large**:", ""] + kernel_table("large", 1024)
    for card in CARDS:
        out += ["", f"Predicted step on one {card}, {BATCH:,} tokens, one optimizer step:", ""] + step_table(card)
    out += ["", "Bytes that attention asks for a score (one head of 64, bf16):", ""] + traffic_table()
    return "\n".join(out + [END])


def main():
    want = tables()
    if sys.argv[1:] in (["--check"], ["--write"]):
        with open(README) as f:
            text = f.read()
        begin, end = text.index(BEGIN), text.index(END) + len(END)
        if sys.argv[1] == "--write":
            with open(README, "w") as f:
                f.write(text[:begin] + want + text[end:])
        elif text[begin:end] != want:
            sys.exit("kernels/README.md does not hold the tables of tests/gpu/roofline.py: run it with --write")
        return 0
    print(want)
    return 0


if __name__ == "__main__":
    sys.exit(main())
