/* The cpu backend: state, scratch memory and the table of ops. */
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/peak.h"
#include "kernels/cpu/rows.h"
#include "kernels/host_memory.h"

#include <stdio.h>
#include <stdlib.h>

void *sec_cpu_scratch(struct sec_backend *b, enum sec_scratch user, size_t bytes)
{
    struct sec_cpu_state *st = sec_cpu_state(b);
    if (bytes > st->scratch_size[user] || !st->scratch[user]) {
        sec_free_aligned(st->scratch[user]);
        st->scratch_size[user] = 0;
        st->scratch[user] = sec_alloc_aligned(bytes);
        if (st->scratch[user])
            st->scratch_size[user] = bytes;
    }
    return st->scratch[user];
}

static double cpu_peak_flops(struct sec_backend *b, enum sec_dtype t)
{
    struct sec_cpu_state *st = sec_cpu_state(b);
    double *peak = &st->peak[t == SEC_BF16];
    if (*peak == 0)
        *peak = 1e9 * sec_cpu_peak_gflops_threads(t, st->threads);
    return *peak;
}

static void cpu_destroy(struct sec_backend *b)
{
    struct sec_cpu_state *st = sec_cpu_state(b);
    for (int i = 0; i < SEC_SCRATCH_COUNT; i++)
        sec_free_aligned(st->scratch[i]);
    free(st);
    free(b);
}

int sec_backend_cpu_with(enum sec_isa isa, int threads, struct sec_backend **out)
{
    struct sec_backend *b = calloc(1, sizeof *b);
    struct sec_cpu_state *st = calloc(1, sizeof *st);
    *out = NULL;
    if (!b || !st) {
        free(b);
        free(st);
        return sec_fail(SEC_ENOMEM, "no memory for the cpu backend");
    }
    st->isa = isa;
    st->threads = threads ? threads : sec_threads();
    sec_host_memory(b);
    b->name = "cpu";
    b->state = st;
    snprintf(b->detail, sizeof b->detail, "%s, %d thread%s", sec_isa_name(isa), st->threads,
             st->threads == 1 ? "" : "s");
    b->peak_flops = cpu_peak_flops;
    b->cast = sec_cpu_cast;
    b->gemm = sec_cpu_gemm;
    b->embed = sec_cpu_embed;
    b->embed_bwd = sec_cpu_embed_bwd;
    b->add_ln = sec_cpu_add_ln;
    b->add_ln_bwd = sec_cpu_add_ln_bwd;
    b->dropout = sec_cpu_dropout;
    b->gelu = sec_cpu_gelu;
    b->gelu_bwd = sec_cpu_gelu_bwd;
    b->bias_grad = sec_cpu_bias_grad;
    b->add = sec_cpu_add;
    b->attn = sec_cpu_attn;
    b->attn_bwd = sec_cpu_attn_bwd;
    b->conv = sec_cpu_conv;
    b->conv_bwd = sec_cpu_conv_bwd;
    b->gather_rows = sec_cpu_gather_rows;
    b->scatter_add_rows = sec_cpu_scatter_add_rows;
    b->xent = sec_cpu_xent;
    b->adamw = sec_cpu_adamw;
    b->sumsq = sec_cpu_sumsq;
    b->destroy = cpu_destroy;
    *out = b;
    return 0;
}

int sec_backend_cpu(struct sec_backend **out)
{
    return sec_backend_cpu_with(sec_cpu_isa(), 0, out);
}
