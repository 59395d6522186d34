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
    return p;
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
        p.drop = sec_cuda_drop_of(&a->dropout);
        return attn_fwd_naive(p, s->sequences.tile_blocks, s->stream);
    });
}

int sec_cuda_attn_bwd(struct sec_backend *b, const struct sec_attn *a)
{
    int rc = sec_cuda_set_sequences(b, a->cu_seqlens, a->n_seqs, a->rel_idx, a->rel_span);
    if (rc)
        return rc;
    size_t stats = (size_t)a->heads * (size_t)a->n_tokens;
    float *delta = (float *)sec_cuda_scratch(b, SCRATCH_ATTN, stats * sizeof *delta);
    if (!delta)
        return SEC_EDEVICE;
    return sec_cuda_by_type(a->act, "attn_bwd", [&](auto t) {
        using T = decltype(t);
        struct sec_cuda *s = sec_cuda_of(b);
        Attn<T> p = device_form<T>(s, a);
        p.drop = sec_cuda_drop_of(&a->dropout);
        p.delta = delta;
        if (a->n_tokens)
            CUDA_RETURN(attn_delta(p, s->stream));
        return attn_bwd_naive(p, (T *)a->dqr, (T *)a->dkr, a->ld_drel, s->sequences.tile_blocks,
                              s->stream);
    });
}
