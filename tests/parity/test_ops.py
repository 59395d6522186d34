"""The ops against PyTorch and transformers: ref in double, cpu in single precision."""
import sys

import numpy as np
import torch
import torch.nn.functional as tf

from ops_lib import (BF16, F32, F64, AdamW, AddLn, AddLnBwd, Attn, Backend, Conv, D, I, L, Xent, ptr)

torch.manual_seed(1)
failures = []


def check(backend, what, got, want, tol64=1e-12, tol32=1e-6):
    want = want.detach().double().numpy() if torch.is_tensor(want) else np.asarray(want, np.float64)
    error = np.linalg.norm(got - want) / (np.linalg.norm(want) + 1e-30)
    tol = tol64 if backend.act == F64 else tol32
    good = bool(np.isfinite(got).all()) and error <= tol
    print(f"{backend.name:4} {what:28} relative error {error:.2e} (allowed {tol:.0e})"
          f"{'' if good else '  FAILED'}")
    if not good:
        failures.append((backend.name, what))


def leaf(*shape, scale=1.0):
    return (scale * torch.randn(*shape)).double().requires_grad_()


def layer_norm(b):
    rows, cols = 37, 200
    a, r = leaf(rows, cols), leaf(rows, cols)
    gamma, beta, dy = leaf(cols), leaf(cols), torch.randn(rows, cols).double()
    y = tf.layer_norm(a + r, (cols,), gamma, beta, eps=1e-7)
    y.backward(dy)
    arrays = [b.array(x.detach()) for x in (a, r, gamma, beta, dy)]
    na, nr, ngamma, nbeta, ndy = arrays
    s, ny, mean, rstd = b.empty(rows, cols), b.empty(rows, cols), b.empty(rows), b.empty(rows)
    b.call("add_ln", AddLn(rows=rows, cols=cols, act=b.act, eps=1e-7, a=ptr(na), residual=ptr(nr),
                           gamma=ptr(ngamma), beta=ptr(nbeta), s=ptr(s), y=ptr(ny), mean=ptr(mean),
                           rstd=ptr(rstd)))
    ds, dgamma, dbeta = b.empty(rows, cols), b.zeros(cols), b.zeros(cols)
    b.call("add_ln_bwd", AddLnBwd(rows=rows, cols=cols, act=b.act, dy=ptr(ndy), s=ptr(s), mean=ptr(mean),
                                  rstd=ptr(rstd), gamma=ptr(ngamma), ds=ptr(ds), dgamma=ptr(dgamma),
                                  dbeta=ptr(dbeta)))
    check(b, "LayerNorm", ny, y)
    check(b, "LayerNorm d input", ds, a.grad)
    check(b, "LayerNorm d gamma", dgamma, gamma.grad)
    check(b, "LayerNorm d beta", dbeta, beta.grad)


def gelu(b):
    x, dy = leaf(5000, scale=3), torch.randn(5000).double()
    y = tf.gelu(x)
    y.backward(dy)
    nx, ndy, ny, dx = b.array(x.detach()), b.array(dy), b.empty(5000), b.empty(5000)
    b.call("gelu", nx, ny, (L, 5000), (I, b.act))
    b.call("gelu_bwd", ndy, nx, dx, (L, 5000), (I, b.act))
    check(b, "GELU", ny, y)
    check(b, "GELU d input", dx, x.grad)


def cross_entropy(b):
    rows, cols = 23, 1013
    logits = leaf(rows, cols, scale=3)
    labels = torch.randint(0, cols, (rows,))
    losses = tf.cross_entropy(logits, labels, reduction="none")
    (losses.sum() * 0.25).backward()
    x, ids = b.array(logits.detach()), labels.numpy().astype(np.uint16)
    loss, rank = b.empty(rows), np.zeros(rows, np.int32)
    own = logits.detach().gather(1, labels[:, None])
    b.call("xent", Xent(rows=rows, cols=cols, type=b.act, logits=ptr(x), ld=cols, labels=ptr(ids), scale=0.25,
                        want_grad=True, loss=ptr(loss), rank=ptr(rank)))
    check(b, "cross-entropy", loss, losses)
    check(b, "cross-entropy d logits", x, logits.grad)
    check(b, "cross-entropy rank", rank.astype(np.float64), (logits.detach() > own).sum(1), 0, 0)


def adamw(b):
    n, steps = 4001, 10
    options = dict(lr=1e-2, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    start, grads = torch.randn(n), [torch.randn(n) for _ in range(steps)]
    torch_type = torch.float64 if b.act == F64 else torch.float32
    param = torch.nn.Parameter(start.to(torch_type))
    optimizer = torch.optim.AdamW([param], foreach=False, **options)
    p, m, v = b.array(start), b.zeros(n), b.zeros(n)
    copy = np.zeros(n, np.uint16)
    for t, g in enumerate(grads):
        param.grad = g.to(torch_type)
        optimizer.step()
        ng = b.array(g * 2)
        b.call("adamw", AdamW(n=n, step=t + 1, master=b.act, param=ptr(p), m=ptr(m), v=ptr(v), grad=ptr(ng),
                              copy=ptr(copy), lr=1e-2, beta1=0.9, beta2=0.98, eps=1e-6, weight_decay=0.01,
                              grad_scale=0.5))
    state = optimizer.state[param]
    check(b, "AdamW parameters", p, param, 1e-13, 2e-7)
    check(b, "AdamW m", m, state["exp_avg"], 1e-13, 2e-7)
    check(b, "AdamW v", v, state["exp_avg_sq"], 1e-13, 2e-7)
    wide = (copy.astype(np.uint32) << 16).view(np.float32)
    check(b, "AdamW bf16 copy", wide, torch.tensor(p).float().bfloat16(), 0, 0)


def bf16_cast(b):
    if b.act == F64:
        return
    bits = np.random.default_rng(1).integers(0, 2**32, 200000, np.uint32)
    x = bits.view(np.float32)[~np.isnan(bits.view(np.float32))].copy()
    y = np.zeros(x.size, np.uint16)
    b.call("cast", y, (I, BF16), x, (I, F32), (L, x.size))
    want = torch.tensor(x).bfloat16().view(torch.int16).numpy().view(np.uint16)
    if not np.array_equal(y, want):
        failures.append((b.name, "bf16 cast"))
    print(f"{b.name:4} bf16 cast                    {np.sum(y != want)} of {x.size} differ from PyTorch")


def conv(b):
    lengths, ch, ks = [1, 2, 9, 40], 24, 3
    n = sum(lengths)
    cu = np.cumsum([0] + lengths).astype(np.int32)
    x, w, bias, dy = leaf(n, ch), leaf(ch, ch, ks, scale=0.2), leaf(ch), torch.randn(n, ch).double()
    parts = [tf.conv1d(x[cu[i]:cu[i + 1]].T[None], w, bias, padding=ks // 2)[0].T for i in range(len(lengths))]
    y = torch.cat(parts)
    y.backward(dy)
    nx, nw, nb, ndy = (b.array(t.detach()) for t in (x, w, bias, dy))
    ny, dx, dw, db = b.empty(n, ch), b.zeros(n, ch), b.zeros(ch, ch, ks), b.zeros(ch)
    args = Conv(n_tokens=n, n_seqs=len(lengths), channels=ch, ksize=ks, act=b.act, cu_seqlens=ptr(cu), x=ptr(nx),
                w=ptr(nw), bias=ptr(nb), y=ptr(ny), dy=ptr(ndy), dx=ptr(dx), dw=ptr(dw), dbias=ptr(db))
    b.call("conv", args)
    b.call("conv_bwd", args)
    for name, got, want in (("", ny, y), (" d input", dx, x.grad), (" d weight", dw, w.grad),
                            (" d bias", db, bias.grad)):
        check(b, "conv1d" + name, got, want)


def bucket(delta, buckets, max_position):
    """The bucket of model.md, in single precision, with delta clamped to max_position - 1."""
    f, mid = np.float32, buckets // 2
    delta = int(np.clip(delta, 1 - max_position, max_position - 1))
    if abs(delta) <= mid:
        return delta
    ratio = np.log(f(abs(delta)) / f(mid)) / np.log(f(max_position - 1) / f(mid))
    return int(np.sign(delta) * (np.ceil(ratio * f(mid - 1)) + mid))


def attention(b, heads, head_dim, buckets, max_position, lengths):
    from transformers import DebertaV2Config
    from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention

    h, rel, n = heads * head_dim, 2 * buckets, sum(lengths)
    layer = DisentangledSelfAttention(DebertaV2Config(
        hidden_size=h, num_attention_heads=heads, relative_attention=True, position_buckets=buckets,
        max_relative_positions=max_position, share_att_key=True, pos_att_type=["p2c", "c2p"],
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)).double().eval()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=1.3 / h**0.5)
    seen = {"query_proj": [], "key_proj": [], "value_proj": []}

    def keep(name):
        def hook(module, args, out):
            out.retain_grad()
            seen[name].append(out)
        return hook

    for name in seen:
        getattr(layer, name).register_forward_hook(keep(name))
    x, table = torch.randn(n, h).double(), torch.randn(rel, h).double()
    table[0] = table[1]  # both readings of row 0 agree
    d_o, cu = torch.randn(n, h).double(), np.cumsum([0] + lengths).astype(np.int32)
    out = [layer(x[None, cu[i]:cu[i + 1]], torch.ones(1, 1, k, k), rel_embeddings=table)[0][0]
           for i, k in enumerate(lengths)]
    torch.cat(out).backward(d_o)

    def rows(name):  # the projections of the tokens of all sequences, and their gradients
        tokens = seen[name] if name == "value_proj" else seen[name][0::2]
        return torch.cat([t[0] for t in tokens]), torch.cat([t.grad[0] for t in tokens])

    def relative(name):
        return seen[name][1][0], sum(t.grad[0] for t in seen[name][1::2])

    q, k, v = rows("query_proj"), rows("key_proj"), rows("value_proj")
    qr, kr = relative("query_proj"), relative("key_proj")
    nq, nk, nv, nqr, nkr, ndo = (b.array(t.detach()) for t in (q[0], k[0], v[0], qr[0], kr[0], d_o))
    o, lse = b.empty(n, h), b.empty(heads, n)
    dq, dk, dv, dqr, dkr = b.empty(n, h), b.empty(n, h), b.empty(n, h), b.empty(rel, h), b.empty(rel, h)
    span = max(lengths)
    idx = np.array([np.clip(bucket(d, buckets, max_position) + buckets, 0, rel - 1)
                    for d in range(1 - span, span)], np.uint16)
    args = Attn(n_tokens=n, n_seqs=len(lengths), max_seqlen=span, heads=heads, head_dim=head_dim, rel_rows=rel,
                rel_span=span, act=b.act, scale=(3 * head_dim)**-0.5, cu_seqlens=ptr(cu), rel_idx=ptr(idx),
                q=ptr(nq), k=ptr(nk), v=ptr(nv), ld=h, qr=ptr(nqr), kr=ptr(nkr), ld_rel=h, o=ptr(o), ld_o=h,
                lse=ptr(lse), d_o=ptr(ndo), ld_do=h, dq=ptr(dq), dk=ptr(dk), dv=ptr(dv), ld_d=h, dqr=ptr(dqr),
                dkr=ptr(dkr), ld_drel=h)
    b.call("attn", args)
    b.call("attn_bwd", args)

    def fold(g):  # row 0 and row 1 are one row
        g = (g.detach().numpy() if torch.is_tensor(g) else g).astype(np.float64)
        g[1] += g[0]
        return g[1:]

    what = f"attention S<={span} k={buckets} "
    # transformers computes the scale in single precision, so double does not agree further than that.
    for name, got, want in (("o", o, torch.cat(out)), ("dq", dq, q[1]), ("dk", dk, k[1]), ("dv", dv, v[1]),
                            ("dqr", fold(dqr), fold(qr[1])), ("dkr", fold(dkr), fold(kr[1]))):
        check(b, what + name, got, want, 3e-7, 3e-6)


for backend in (Backend("ref", F64), Backend("cpu", F32)):
    for test in (layer_norm, gelu, cross_entropy, adamw, bf16_cast, conv):
        test(backend)
    attention(backend, 2, 16, 8, 32, [1, 20, 32])
    attention(backend, 3, 32, 16, 40, [70, 7])
if failures:
    sys.exit(f"{len(failures)} failures: {failures}")
