/* Every op of kernels/ops.h as a table entry: tensors, forward, backward. */
#ifndef SEC_TESTS_OP_TABLE_H
#define SEC_TESTS_OP_TABLE_H

#include "tests/unit/op_case.h"

#define TRY(expr)                                                                                  \
    do {                                                                                           \
        int rc_ = (expr);                                                                          \
        if (rc_)                                                                                   \
            return rc_;                                                                            \
    } while (0)

/* The gradient of an input, or the upstream gradient of an output. */
static void link_grad(struct call *c, int tensor_index, int grad)
{
    c->t[tensor_index].grad = grad;
}

static int copy_tensor(struct sec_backend *b, struct call *c, const char *to, const char *from)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->t[i].name, from))
            return b->copy(b, data(c, to), c->t[i].data,
                           (size_t)c->t[i].n * sec_dtype_size(c->t[i].type));
    return -1;
}

/* cast: there (F32) and back. */
static void cast_setup(struct call *c)
{
    int64_t n = c->c.dim[0];
    tensor(c, "x", IN, c->act, n, 1, 3, 0);
    tensor(c, "y", OUT, c->master, n, 1, 0, 0);
    tensor(c, "wide", IN, c->master, n, 1, 3, 0);
    tensor(c, "z", OUT, c->act, n, 1, 0, 0);
    c->work[0] = -(double)n * (2 * 4 + 2 * (double)sec_dtype_size(c->act));
}
static int cast_forward(struct sec_backend *b, struct call *c)
{
    TRY(b->cast(b, data(c, "y"), c->master, data(c, "x"), c->act, c->c.dim[0]));
    return b->cast(b, data(c, "z"), c->act, data(c, "wide"), c->master, c->c.dim[0]);
}

/* gemm: dims m, n, k, padding of the leading dimensions. */
static void gemm_setup(struct call *c)
{
    int64_t m = c->c.dim[0], n = c->c.dim[1], k = c->c.dim[2], pad = c->c.dim[3];
    bool ta = c->c.flags & F_TRANS_A, tb = c->c.flags & F_TRANS_B;
    enum sec_dtype out = c->c.flags & F_MASTER_C ? c->master : c->act;
    tensor(c, "a", IN, c->act, ta ? k * (m + pad) : m * (k + pad), ta ? 0 : k + pad, 1, 0);
    tensor(c, "b", IN, c->act, tb ? n * (k + pad) : k * (n + pad), 0, 1, 0);
    tensor(c, "c", INOUT, out, m * (n + pad), n + pad, 1, 0);
    if (c->c.flags & (F_BIAS | F_GELU))
        tensor(c, "bias", IN, c->master, n, 0, 1, 0);
    if (c->c.flags & F_GELU)
        tensor(c, "aux", INOUT, out, m * (n + pad), n + pad, 1, 0);
    c->k = k;
    c->work[0] = 2.0 * (double)m * (double)n * (double)k;
}
static int gemm_forward(struct sec_backend *b, struct call *c)
{
    int64_t m = c->c.dim[0], n = c->c.dim[1], k = c->c.dim[2], pad = c->c.dim[3];
    int f = c->c.flags;
    struct sec_gemm g = {.m = m,
                         .n = n,
                         .k = k,
                         .trans_a = f & F_TRANS_A,
                         .trans_b = f & F_TRANS_B,
                         .accumulate = f & F_ACCUMULATE,
                         .ab_type = c->act,
                         .c_type = f & F_MASTER_C ? c->master : c->act,
                         .a = data(c, "a"),
                         .b = data(c, "b"),
                         .c = data(c, "c"),
                         .lda = (f & F_TRANS_A ? m : k) + pad,
                         .ldb = (f & F_TRANS_B ? k : n) + pad,
                         .ldc = n + pad,
                         .epilogue = f & F_GELU   ? SEC_EPI_BIAS_GELU
                                     : f & F_BIAS ? SEC_EPI_BIAS
                                                  : SEC_EPI_NONE,
                         .bias = data(c, "bias"),
                         .aux = data(c, "aux")};
    return b->gemm(b, &g);
}

/* linear: y = [gelu](x Wt + bias) and its gradients by gemm, gelu_bwd, bias_grad. Dims m, out, in.
 */
static void linear_setup(struct call *c)
{
    int64_t m = c->c.dim[0], out = c->c.dim[1], in = c->c.dim[2];
    double std = 1 / sqrt((double)in);
    int x = tensor(c, "x", IN, c->act, m * in, in, 1, 0);
    int w = tensor(c, "w", IN, c->act, out * in, 0, std, 0);
    int bias = tensor(c, "bias", IN, c->master, out, 0, 1, 0);
    int y = tensor(c, "y", OUT, c->act, m * out, out, 0, 0);
    tensor(c, "aux", OUT, c->act, m * out, out, 0, 0);
    int dy = tensor(c, "dy", IN, c->act, m * out, out, 1, 0);
    tensor(c, "dpre", OUT, c->act, m * out, out, 0, 0);
    link_grad(c, x, tensor(c, "dx", OUT, c->act, m * in, in, 0, 0));
    link_grad(c, w, tensor(c, "dw", INOUT, c->master, out * in, 0, 1, 0));
    link_grad(c, bias, tensor(c, "dbias", INOUT, c->master, out, 0, 1, 0));
    link_grad(c, y, dy);
    c->k = m > in ? m : in;
    c->k = c->k > out ? c->k : out;
    c->work[0] = 2.0 * (double)m * (double)out * (double)in;
    c->work[1] = 2 * c->work[0];
}
static int linear_forward(struct sec_backend *b, struct call *c)
{
    int64_t m = c->c.dim[0], out = c->c.dim[1], in = c->c.dim[2];
    bool gelu = c->c.flags & F_GELU;
    TRY(b->gemm(b, &(struct sec_gemm){.m = m,
                                      .n = out,
                                      .k = in,
                                      .trans_b = true,
                                      .ab_type = c->act,
                                      .c_type = c->act,
                                      .a = data(c, "x"),
                                      .b = data(c, "w"),
                                      .c = data(c, "y"),
                                      .lda = in,
                                      .ldb = in,
                                      .ldc = out,
                                      .epilogue = gelu ? SEC_EPI_BIAS_GELU : SEC_EPI_BIAS,
                                      .bias = data(c, "bias"),
                                      .aux = gelu ? data(c, "aux") : NULL}));
    return gelu ? 0 : copy_tensor(b, c, "aux", "y");
}
static int linear_backward(struct sec_backend *b, struct call *c)
{
    int64_t m = c->c.dim[0], out = c->c.dim[1], in = c->c.dim[2];
    if (c->c.flags & F_GELU)
        TRY(b->gelu_bwd(b, data(c, "dy"), data(c, "aux"), data(c, "dpre"), m * out, c->act));
    else
        TRY(copy_tensor(b, c, "dpre", "dy"));
    struct sec_gemm dx = {.m = m,
                          .n = in,
                          .k = out,
                          .ab_type = c->act,
                          .c_type = c->act,
                          .a = data(c, "dpre"),
                          .b = data(c, "w"),
                          .c = data(c, "dx"),
                          .lda = out,
                          .ldb = in,
                          .ldc = in};
    struct sec_gemm dw = {.m = out,
                          .n = in,
                          .k = m,
                          .trans_a = true,
                          .accumulate = true,
                          .ab_type = c->act,
                          .c_type = c->master,
                          .a = data(c, "dpre"),
                          .b = data(c, "x"),
                          .c = data(c, "dw"),
                          .lda = out,
                          .ldb = in,
                          .ldc = in};
    TRY(b->gemm(b, &dx));
    TRY(b->gemm(b, &dw));
    return b->bias_grad(b, data(c, "dpre"), m, out, out, c->act, data(c, "dbias"));
}

/* embed: dims tokens, width, vocabulary. */
static void embed_setup(struct call *c)
{
    int64_t t = c->c.dim[0], h = c->c.dim[1], v = c->c.dim[2];
    c->ids = sec_xcalloc((size_t)t + 1, sizeof *c->ids);
    for (int64_t r = 0; r < t; r++)
        c->ids[r] = (uint16_t)(mix64((uint64_t)(c->c.row0 + r) + 99) % (uint64_t)v);
    int table = tensor(c, "table", IN, c->act, v * h, 0, 1, 0);
    int x = tensor(c, "x", OUT, c->act, t * h, h, 0, 0);
    link_grad(c, x, tensor(c, "dx", IN, c->act, t * h, h, 1, 0));
    link_grad(c, table, tensor(c, "dtable", INOUT, c->master, v * h, 0, 1, 0));
    double size = (double)sec_dtype_size(c->act), n = (double)(t * h);
    c->work[0] = -2 * n * size;
    c->work[1] = -n * (size + 8);
}
static int embed_forward(struct sec_backend *b, struct call *c)
{
    return b->embed(b, data(c, "table"), c->ids, c->c.dim[0], c->c.dim[1], c->act, data(c, "x"));
}
static int embed_backward(struct sec_backend *b, struct call *c)
{
    return b->embed_bwd(b, data(c, "dx"), c->ids, c->c.dim[0], c->c.dim[1], c->act,
                        c->c.flags & F_PAD ? 3 : -1, data(c, "dtable"));
}

/* add_ln: dims rows, cols. */
static void add_ln_setup(struct call *c)
{
    int64_t rows = c->c.dim[0], cols = c->c.dim[1], n = rows * cols;
    bool keep = !(c->c.flags & F_INFERENCE), residual = c->c.flags & F_RESIDUAL;
    int a = tensor(c, "a", IN, c->act, n, cols, 1.5, 0.3), r = -1;
    if (residual)
        r = tensor(c, "r", IN, c->act, n, cols, 1, -0.2);
    int gamma = tensor(c, "gamma", IN, c->master, cols, 0, 0.5, 1);
    int beta = tensor(c, "beta", IN, c->master, cols, 0, 0.5, 0);
    int y = tensor(c, "y", OUT, c->act, n, cols, 0, 0);
    double size = (double)sec_dtype_size(c->act) * (double)n;
    c->k = rows > cols ? rows : cols;
    c->work[0] = -size * (2 + residual + keep);
    if (!keep)
        return;
    tensor(c, "s", OUT, c->act, n, cols, 0, 0);
    tensor(c, "mean", OUT, c->master, rows, 1, 0, 0);
    tensor(c, "rstd", OUT, c->master, rows, 1, 0, 0);
    link_grad(c, y, tensor(c, "dy", IN, c->act, n, cols, 1, 0));
    int ds = tensor(c, "ds", OUT, c->act, n, cols, 0, 0);
    if (residual)
        link_grad(c, r, ds);
    link_grad(c, a, c->c.p > 0 ? tensor(c, "da", OUT, c->act, n, cols, 0, 0) : ds);
    link_grad(c, gamma, tensor(c, "dgamma", INOUT, c->master, cols, 0, 1, 0));
    link_grad(c, beta, tensor(c, "dbeta", INOUT, c->master, cols, 0, 1, 0));
    c->work[1] = -size * (3 + (c->c.p > 0));
}
static int add_ln_forward(struct sec_backend *b, struct call *c)
{
    return b->add_ln(b, &(struct sec_add_ln){.rows = c->c.dim[0],
                                             .cols = c->c.dim[1],
                                             .act = c->act,
                                             .eps = 1e-7f,
                                             .a = data(c, "a"),
                                             .residual = data(c, "r"),
                                             .dropout = c->drop,
                                             .gamma = data(c, "gamma"),
                                             .beta = data(c, "beta"),
                                             .s = data(c, "s"),
                                             .y = data(c, "y"),
                                             .mean = data(c, "mean"),
                                             .rstd = data(c, "rstd")});
}
static int add_ln_backward(struct sec_backend *b, struct call *c)
{
    if (c->c.flags & F_INFERENCE)
        return 0;
    bool in_place = c->c.flags & F_IN_PLACE;
    if (in_place)
        TRY(copy_tensor(b, c, "ds", "dy"));
    return b->add_ln_bwd(b, &(struct sec_add_ln_bwd){.rows = c->c.dim[0],
                                                     .cols = c->c.dim[1],
                                                     .act = c->act,
                                                     .dy = data(c, in_place ? "ds" : "dy"),
                                                     .s = data(c, "s"),
                                                     .mean = data(c, "mean"),
                                                     .rstd = data(c, "rstd"),
                                                     .gamma = data(c, "gamma"),
                                                     .dropout = c->drop,
                                                     .ds = data(c, "ds"),
                                                     .da = data(c, "da"),
                                                     .dgamma = data(c, "dgamma"),
                                                     .dbeta = data(c, "dbeta")});
}

/* The element-wise ops on rows x cols: x -> y, dy -> dx. */
static void dropout_setup(struct call *c)
{
    int64_t cols = c->c.dim[1], n = c->c.dim[0] * cols;
    int x = tensor(c, "x", IN, c->act, n, cols, 2.5, 0);
    int y = tensor(c, "y", OUT, c->act, n, cols, 0, 0);
    link_grad(c, y, tensor(c, "dy", IN, c->act, n, cols, 1, 0));
    link_grad(c, x, tensor(c, "dx", OUT, c->act, n, cols, 0, 0));
    c->work[0] = -(double)n * 2 * (double)sec_dtype_size(c->act);
    c->work[1] = c->work[0];
}
static int dropout_forward(struct sec_backend *b, struct call *c)
{
    return b->dropout(b, data(c, "x"), data(c, "y"), c->c.dim[0], c->c.dim[1], c->act, &c->drop);
}
static int dropout_backward(struct sec_backend *b, struct call *c)
{
    return b->dropout(b, data(c, "dy"), data(c, "dx"), c->c.dim[0], c->c.dim[1], c->act, &c->drop);
}
static void gelu_setup(struct call *c)
{
    dropout_setup(c);
    c->work[1] *= 1.5;
}
static int gelu_forward(struct sec_backend *b, struct call *c)
{
    return b->gelu(b, data(c, "x"), data(c, "y"), c->c.dim[0] * c->c.dim[1], c->act);
}
static int gelu_backward(struct sec_backend *b, struct call *c)
{
    if (!(c->c.flags & F_IN_PLACE))
        return b->gelu_bwd(b, data(c, "dy"), data(c, "x"), data(c, "dx"), c->c.dim[0] * c->c.dim[1],
                           c->act);
    TRY(copy_tensor(b, c, "dx", "dy"));
    return b->gelu_bwd(b, data(c, "dx"), data(c, "x"), data(c, "dx"), c->c.dim[0] * c->c.dim[1],
                       c->act);
}
static void add_setup(struct call *c)
{
    int64_t cols = c->c.dim[1], n = c->c.dim[0] * cols;
    tensor(c, "x", IN, c->act, n, cols, 1, 0);
    tensor(c, "y", INOUT, c->act, n, cols, 1, 0);
    c->work[0] = -(double)n * 3 * (double)sec_dtype_size(c->act);
}
static int add_forward(struct sec_backend *b, struct call *c)
{
    return b->add(b, data(c, "y"), data(c, "x"), c->c.dim[0] * c->c.dim[1], c->act);
}

/* bias_grad: dims rows, cols, padding of the leading dimension. */
static void bias_grad_setup(struct call *c)
{
    int64_t rows = c->c.dim[0], cols = c->c.dim[1], ld = cols + c->c.dim[2];
    tensor(c, "dy", IN, c->act, rows * ld, ld, 1, 0.1);
    tensor(c, "db", INOUT, c->master, cols, 0, 1, 0);
    c->k = rows;
    c->work[0] = -(double)(rows * cols) * (double)sec_dtype_size(c->act);
}
static int bias_grad_forward(struct sec_backend *b, struct call *c)
{
    int64_t cols = c->c.dim[1];
    return b->bias_grad(b, data(c, "dy"), c->c.dim[0], cols, cols + c->c.dim[2], c->act,
                        data(c, "db"));
}

/* gather: dims picked rows, cols, all rows. */
static void gather_setup(struct call *c)
{
    int64_t n = c->c.dim[0], cols = c->c.dim[1], all = c->c.dim[2];
    c->rows = sec_xcalloc((size_t)n + 1, sizeof *c->rows);
    for (int64_t r = 0; r < n; r++)
        c->rows[r] = (int32_t)((c->c.row0 + r) * all / (c->c.row0 + n)); /* distinct: all >= n */
    int x = tensor(c, "x", IN, c->act, all * cols, 0, 1, 0);
    int y = tensor(c, "y", OUT, c->act, n * cols, 0, 0, 0);
    link_grad(c, y, tensor(c, "dy", IN, c->act, n * cols, 0, 1, 0));
    link_grad(c, x, tensor(c, "dx", INOUT, c->act, all * cols, 0, 1, 0));
    c->work[0] = -(double)(n * cols) * 2 * (double)sec_dtype_size(c->act);
    c->work[1] = 1.5 * c->work[0];
}
static int gather_forward(struct sec_backend *b, struct call *c)
{
    return b->gather_rows(b, data(c, "x"), c->rows, c->c.dim[0], c->c.dim[1], c->act, data(c, "y"));
}
static int gather_backward(struct sec_backend *b, struct call *c)
{
    return b->scatter_add_rows(b, data(c, "dy"), c->rows, c->c.dim[0], c->c.dim[1], c->act,
                               data(c, "dx"));
}

/* attn: dims tokens, heads, head_dim, rel_rows. Q, K, V share one wide row, as after a QKV gemm. */
static void attn_setup(struct call *c)
{
    int64_t t = c->c.dim[0], h = c->c.dim[1] * c->c.dim[2], rel = c->c.dim[3];
    int32_t span = c->max_seqlen + 3, mid = (int32_t)rel / 4;
    c->rel_idx = sec_xcalloc((size_t)(2 * span), sizeof *c->rel_idx);
    for (int32_t d = 1 - span; d < span; d++) { /* near: one row each; far: logarithmic */
        int32_t a = d < 0 ? -d : d;
        int32_t bucket = a <= mid ? a : mid + (int32_t)(2 * log((double)a / (mid + 1e-9)));
        bucket = d < 0 ? -bucket : bucket;
        int64_t row = bucket + rel / 2;
        c->rel_idx[d + span - 1] = (uint16_t)(row < 0 ? 0 : row >= rel ? rel - 1 : row);
    }
    int qkv = tensor(c, "qkv", IN, c->act, t * 3 * h, 3 * h, 1, 0);
    int qr = tensor(c, "qr", IN, c->act, rel * h, 0, 1, 0);
    int kr = tensor(c, "kr", IN, c->act, rel * h, 0, 1, 0);
    int o = tensor(c, "o", OUT, c->act, t * h, h, 0, 0);
    double pairs = 0;
    for (int s = 0; s < c->n_seqs; s++)
        pairs += (double)(c->cu[s + 1] - c->cu[s]) * (double)(c->cu[s + 1] - c->cu[s]);
    c->k = 4 * (c->max_seqlen > c->c.dim[2] ? c->max_seqlen : c->c.dim[2]);
    c->work[0] = pairs * 4 * (double)h + 4 * (double)(t * rel * h);
    c->work[1] = pairs * 10 * (double)h + 8 * (double)(t * rel * h);
    if (c->c.flags & F_INFERENCE)
        return;
    tensor(c, "lse", OUT, c->master, t * c->c.dim[1], 0, 0, 0);
    link_grad(c, o, tensor(c, "do", IN, c->act, t * h, h, 1, 0));
    link_grad(c, qkv, tensor(c, "dqkv", OUT, c->act, t * 3 * h, 3 * h, 0, 0));
    link_grad(c, qr, tensor(c, "dqr", OUT, c->act, rel * h, 0, 0, 0));
    link_grad(c, kr, tensor(c, "dkr", OUT, c->act, rel * h, 0, 0, 0));
}
static struct sec_attn attn_of(struct call *c)
{
    int64_t h = c->c.dim[1] * c->c.dim[2];
    size_t col = (size_t)h * sec_dtype_size(c->act);
    char *qkv = data(c, "qkv"), *dqkv = data(c, "dqkv");
    return (struct sec_attn){.n_tokens = (int32_t)c->c.dim[0],
                             .n_seqs = c->n_seqs,
                             .max_seqlen = c->max_seqlen,
                             .heads = (int32_t)c->c.dim[1],
                             .head_dim = (int32_t)c->c.dim[2],
                             .rel_rows = (int32_t)c->c.dim[3],
                             .rel_span = c->max_seqlen + 3,
                             .act = c->act,
                             .scale = 1 / sqrtf(3 * (float)c->c.dim[2]),
                             .cu_seqlens = c->cu,
                             .rel_idx = c->rel_idx,
                             .q = qkv,
                             .k = qkv + col,
                             .v = qkv + 2 * col,
                             .ld = 3 * h,
                             .qr = data(c, "qr"),
                             .kr = data(c, "kr"),
                             .ld_rel = h,
                             .dropout = c->drop,
                             .o = data(c, "o"),
                             .ld_o = h,
                             .lse = data(c, "lse"),
                             .d_o = data(c, "do"),
                             .ld_do = h,
                             .dq = dqkv,
                             .dk = dqkv ? dqkv + col : NULL,
                             .dv = dqkv ? dqkv + 2 * col : NULL,
                             .ld_d = 3 * h,
                             .dqr = data(c, "dqr"),
                             .dkr = data(c, "dkr"),
                             .ld_drel = h};
}
static int attn_forward(struct sec_backend *b, struct call *c)
{
    struct sec_attn a = attn_of(c);
    return b->attn(b, &a);
}
static int attn_backward(struct sec_backend *b, struct call *c)
{
    struct sec_attn a = attn_of(c);
    return c->c.flags & F_INFERENCE ? 0 : b->attn_bwd(b, &a);
}

/* conv: dims tokens, channels, ksize. */
static void conv_setup(struct call *c)
{
    int64_t t = c->c.dim[0], ch = c->c.dim[1], ks = c->c.dim[2];
    double std = 1 / sqrt((double)(ch * ks));
    int x = tensor(c, "x", IN, c->act, t * ch, ch, 1, 0);
    int w = tensor(c, "w", IN, c->act, ch * ch * ks, 0, std, 0);
    int bias = tensor(c, "bias", IN, c->master, ch, 0, 1, 0);
    int y = tensor(c, "y", OUT, c->act, t * ch, ch, 0, 0);
    link_grad(c, y, tensor(c, "dy", IN, c->act, t * ch, ch, 1, 0));
    link_grad(c, x, tensor(c, "dx", INOUT, c->act, t * ch, ch, 1, 0));
    link_grad(c, w, tensor(c, "dw", INOUT, c->master, ch * ch * ks, 0, 1, 0));
    link_grad(c, bias, tensor(c, "dbias", INOUT, c->master, ch, 0, 1, 0));
    c->k = ch * ks > t ? ch * ks : t;
    c->work[0] = 2.0 * (double)t * (double)(ch * ch * ks);
    c->work[1] = 2 * c->work[0];
}
static struct sec_conv conv_of(struct call *c)
{
    return (struct sec_conv){.n_tokens = (int32_t)c->c.dim[0],
                             .n_seqs = c->n_seqs,
                             .channels = (int32_t)c->c.dim[1],
                             .ksize = (int32_t)c->c.dim[2],
                             .act = c->act,
                             .cu_seqlens = c->cu,
                             .x = data(c, "x"),
                             .w = data(c, "w"),
                             .bias = data(c, "bias"),
                             .y = data(c, "y"),
                             .dy = data(c, "dy"),
                             .dx = data(c, "dx"),
                             .dw = data(c, "dw"),
                             .dbias = data(c, "dbias")};
}
static int conv_forward(struct sec_backend *b, struct call *c)
{
    struct sec_conv a = conv_of(c);
    return b->conv(b, &a);
}
static int conv_backward(struct sec_backend *b, struct call *c)
{
    struct sec_conv a = conv_of(c);
    return b->conv_bwd(b, &a);
}

/* xent: dims rows, cols. The gradient is taken on a copy of the logits. */
static void xent_setup(struct call *c)
{
    int64_t rows = c->c.dim[0], cols = c->c.dim[1];
    c->ids = sec_xcalloc((size_t)rows + 1, sizeof *c->ids);
    c->rank = sec_xcalloc((size_t)rows + 1, sizeof *c->rank);
    for (int64_t r = 0; r < rows; r++)
        c->ids[r] = c->c.flags & F_NO_LABEL && (c->c.row0 + r) % 3 == 0
                        ? SEC_NO_LABEL
                        : (uint16_t)(mix64((uint64_t)(c->c.row0 + r) + 5) % (uint64_t)cols);
    bool large = c->c.flags & F_LARGE;
    int x = tensor(c, "logits", IN, c->act, rows * cols, cols, large ? 30 : 2, large ? 500 : 0);
    int loss = tensor(c, "loss", OUT, c->master, rows, 1, 0, 0);
    tensor(c, "rank", OUT, c->master, rows, 1, 0, 0);
    link_grad(c, loss, tensor(c, "scale", IN, c->master, rows, 1, 0, 0.37));
    link_grad(c, x, tensor(c, "grad", OUT, c->act, rows * cols, cols, 0, 0));
    c->k = large ? 256 * cols : cols;
    c->work[0] = -(double)(rows * cols) * (double)sec_dtype_size(c->act);
    c->work[1] = 4 * c->work[0]; /* the copy, a read and a write */
}
static int xent_call(struct sec_backend *b, struct call *c, const char *logits, bool want_grad)
{
    int64_t rows = c->c.dim[0], cols = c->c.dim[1];
    TRY(b->xent(b, &(struct sec_xent){.rows = rows,
                                      .cols = cols,
                                      .type = c->act,
                                      .logits = data(c, logits),
                                      .ld = cols,
                                      .labels = c->ids,
                                      .scale = 0.37,
                                      .want_grad = want_grad,
                                      .loss = data(c, "loss"),
                                      .rank = c->rank}));
    for (int64_t r = 0; r < rows && b->host; r++)
        sec_ref_set(data(c, "rank"), c->master, r, c->rank[r]);
    return 0;
}
static int xent_forward(struct sec_backend *b, struct call *c)
{
    return xent_call(b, c, "logits", false);
}
static int xent_backward(struct sec_backend *b, struct call *c)
{
    TRY(copy_tensor(b, c, "grad", "logits"));
    return xent_call(b, c, "grad", true);
}

/* adamw: dims elements, first step. Three steps in a row. */
static void adamw_setup(struct call *c)
{
    int64_t n = c->c.dim[0];
    tensor(c, "param", INOUT, c->master, n, 1, 1, 0);
    tensor(c, "m", INOUT, c->master, n, 1, 0.1, 0);
    tensor(c, "v", INOUT, c->master, n, 1, 0.02, 0.05);
    tensor(c, "grad", IN, c->master, n, 1, 1, 0);
    if (c->act == SEC_BF16)
        tensor(c, "copy", OUT, SEC_BF16, n, 1, 0, 0);
    c->k = 16;
    c->work[0] = -3 * (double)n * (c->act == SEC_BF16 ? 30 : 28);
}
static int adamw_forward(struct sec_backend *b, struct call *c)
{
    for (int64_t step = 0; step < 3; step++)
        TRY(b->adamw(b, &(struct sec_adamw){.n = c->c.dim[0],
                                            .step = c->c.dim[1] + step,
                                            .master = c->master,
                                            .param = data(c, "param"),
                                            .m = data(c, "m"),
                                            .v = data(c, "v"),
                                            .grad = data(c, "grad"),
                                            .copy = data(c, "copy"),
                                            .lr = 1e-2,
                                            .beta1 = 0.9,
                                            .beta2 = 0.98,
                                            .eps = 1e-6,
                                            .weight_decay = 0.01,
                                            .grad_scale = 0.7}));
    return 0;
}

/* sumsq: dim elements. */
static void sumsq_setup(struct call *c)
{
    tensor(c, "x", IN, c->master, c->c.dim[0], 0, 1, 0);
    tensor(c, "sum", OUT, SEC_F64, 1, 0, 0, 0);
    c->work[0] = -4 * (double)c->c.dim[0];
}
static int sumsq_forward(struct sec_backend *b, struct call *c)
{
    double sum;
    TRY(b->sumsq(b, data(c, "x"), c->c.dim[0], c->master, &sum));
    return b->upload(b, data(c, "sum"), &sum, sizeof sum);
}

#define ENTRY(id, ...)                                                                             \
    static const struct op op_##id = {                                                             \
        .name = #id, .setup = id##_setup, .forward = id##_forward, __VA_ARGS__}

ENTRY(cast, .exact = true);
ENTRY(gemm, .exact = false);
ENTRY(linear, .backward = linear_backward, .bf16_l2 = 2e-3);
ENTRY(embed, .backward = embed_backward, .exact = true);
ENTRY(add_ln, .backward = add_ln_backward, .bf16_l2 = 1e-3);
ENTRY(dropout, .backward = dropout_backward);
ENTRY(gelu, .backward = gelu_backward);
ENTRY(add, .exact = true);
ENTRY(bias_grad, .exact = false);
ENTRY(gather, .backward = gather_backward, .exact = true);
ENTRY(attn, .backward = attn_backward, .bf16_l2 = 6e-3, .unit = 0.25);
ENTRY(conv, .backward = conv_backward);
ENTRY(xent, .backward = xent_backward);
ENTRY(adamw, .exact = false);
ENTRY(sumsq, .exact = false);

#endif
