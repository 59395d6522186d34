/* Disentangled attention, the operations: which kernels run, and what stands around them.
 *
 * The flash kernels take head sizes 32, 64 and 128 and rows of 16 bytes' alignment; the others go
 * to the kernels of attn_naive.cu, which SECENC_CUDA_ATTN=naive in the environment asks for in any
 * case (to compare, or to look for the cause of a difference). */
#include "kernels/cuda/attn.h"

#include <stdlib.h>
#include <string.h>

/* Rows at these addresses and strides start at multiples of 16 bytes. */
template <class T> static bool aligned16(const struct sec_attn *a)
{
    uintptr_t bits = 0;
    for (const void *p : {a->q, a->k, a->v, a->qr, a->kr, (const void *)a->o, a->d_o,
                          (const void *)a->dq, (const void *)a->dk, (const void *)a->dv})
        bits |= reinterpret_cast<uintptr_t>(p);
    for (int64_t ld : {a->ld, a->ld_rel, a->ld_o, a->ld_do, a->ld_d})
        bits |= (uintptr_t)ld * sizeof(T);
    return bits % 16 == 0;
}

template <class T> static bool use_flash(const struct sec_attn *a)
{
    const char *asked = getenv("SECENC_CUDA_ATTN");
    bool size = a->head_dim == 32 || a->head_dim == 64 || a->head_dim == 128;
    return size && aligned16<T>(a) && !(asked && !strcmp(asked, "naive"));
}

template <class T> static Attn<T> device_form(struct sec_cuda *s, const struct sec_attn *a)
{
    const struct sec_cuda_sequences *q = &s->sequences;
    Attn<T> p = {};
    p.tiles = q->tiles;
    p.rel = q->rel;
    p.linear = q->linear;
    p.n_tokens = a->n_tokens;
    p.rel_rows = a->rel_rows;
    p.head_dim = a->head_dim;
    p.heads = a->heads;
    p.scale = a->scale;
    p.q = (const T *)a->q;
    p.k = (const T *)a->k;
    p.v = (const T *)a->v;
    p.qr = (const T *)a->qr;
    p.kr = (const T *)a->kr;
    p.ld = a->ld;
    p.ld_rel = a->ld_rel;
    p.ld_o = a->ld_o;
    p.o = (T *)a->o;
    p.lse = a->lse;
    p.d_o = (const T *)a->d_o;
    p.dq = (T *)a->dq;
    p.dk = (T *)a->dk;
    p.dv = (T *)a->dv;
    p.ld_do = a->ld_do;
    p.ld_d = a->ld_d;
    p.drop = sec_cuda_drop_of(&a->dropout);
    return p;
}

static cudaError_t flash_forward(const Attn<float> &a, int tile_blocks, cudaStream_t stream)
{
    return attn_fwd_f32(a, tile_blocks, stream);
}
static cudaError_t flash_forward(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    return attn_fwd_bf16(a, tile_blocks, stream);
}
static cudaError_t flash_backward(const Attn<float> &a, int tile_blocks, cudaStream_t stream)
{
    return attn_bwd_f32(a, tile_blocks, stream);
}
static cudaError_t flash_backward(const Attn<bf16> &a, int tile_blocks, cudaStream_t stream)
{
    return attn_bwd_bf16(a, tile_blocks, stream);
}

int sec_cuda_attn(struct sec_backend *b, const struct sec_attn *a)
{
    if (a->n_tokens == 0)
        return 0;
    int rc = sec_cuda_set_sequences(b, a->cu_seqlens, a->n_seqs, a->rel_idx, a->rel_span);
    if (rc)
        return rc;
    return sec_cuda_by_type(a->act, "attn", [&](auto t) {
        using T = decltype(t);
        struct sec_cuda *s = sec_cuda_of(b);
        Attn<T> p = device_form<T>(s, a);
        int blocks = s->sequences.tile_blocks;
        return use_flash<T>(a) ? flash_forward(p, blocks, s->stream)
                               : attn_fwd_naive(p, blocks, s->stream);
    });
}

/* dKr = dC^T Q and dQr = dT^T K of every head. */
static int relative_products(struct sec_backend *b, const struct sec_attn *a, const void *dc,
                             const void *dt)
{
    const struct sec_cuda_batches heads = {a->heads, (int64_t)a->n_tokens * a->rel_rows,
                                           a->head_dim, a->head_dim};
    struct sec_gemm g = {};
    g.m = a->rel_rows;
    g.n = a->head_dim;
    g.k = a->n_tokens;
    g.trans_a = true;
    g.ab_type = g.c_type = a->act;
    g.lda = a->rel_rows;
    g.ldb = a->ld;
    g.ldc = a->ld_drel;
    g.a = dc;
    g.b = a->q;
    g.c = a->dkr;
    int rc = sec_cuda_gemm_batched(b, &g, &heads);
    g.a = dt;
    g.b = a->k;
    g.c = a->dqr;
    return rc ? rc : sec_cuda_gemm_batched(b, &g, &heads);
}

/* The kernels of the backward. `scratch`: delta, then dc and dt at `sums`. */
template <class T>
static cudaError_t backward(struct sec_cuda *s, const struct sec_attn *a, char *scratch, char *sums,
                            size_t sums_bytes, bool flash)
{
    int blocks = s->sequences.tile_blocks;
    Attn<T> p = device_form<T>(s, a);
    p.delta = (float *)scratch;
    if (a->n_tokens)
        CUDA_RETURN(attn_delta(p, s->stream));
    if (!flash)
        return attn_bwd_naive(p, (T *)a->dqr, (T *)a->dkr, a->ld_drel, blocks, s->stream);
    p.dc = (T *)sums;
    p.dt = (T *)(sums + sums_bytes);
    CUDA_RETURN(cudaMemsetAsync(sums, 0, 2 * sums_bytes, s->stream));
    return flash_backward(p, blocks, s->stream);
}

int sec_cuda_attn_bwd(struct sec_backend *b, const struct sec_attn *a)
{
    int rc = sec_cuda_set_sequences(b, a->cu_seqlens, a->n_seqs, a->rel_idx, a->rel_span);
    if (rc)
        return rc;
    size_t rows = (size_t)a->heads * (size_t)a->n_tokens;
    size_t delta_bytes = (rows * sizeof(float) + 255) & ~(size_t)255;
    size_t sums_bytes = (rows * (size_t)a->rel_rows * sec_dtype_size(a->act) + 255) & ~(size_t)255;
    bool flash = a->n_tokens && (a->act == SEC_F32 ? use_flash<float>(a) : use_flash<bf16>(a));
    char *scratch =
        (char *)sec_cuda_scratch(b, SCRATCH_ATTN, delta_bytes + (flash ? 2 * sums_bytes : 0));
    if (!scratch)
        return SEC_EDEVICE;
    char *sums = scratch + delta_bytes;
    rc = sec_cuda_by_type(a->act, "attn_bwd", [&](auto t) {
        return backward<decltype(t)>(sec_cuda_of(b), a, scratch, sums, sums_bytes, flash);
    });
    return rc || !flash ? rc : relative_products(b, a, sums, sums + sums_bytes);
}
