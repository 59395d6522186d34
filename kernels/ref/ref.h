/* The reference backend: the plainest C for every op, all arithmetic in double, a value rounded to
 * its type when it is stored. It is the oracle of the other backends, never fast. Allocates scratch
 * with malloc where an op needs it; no other state. */
#ifndef SEC_KERNELS_REF_REF_H
#define SEC_KERNELS_REF_REF_H

#include "kernels/ops.h"

static inline double sec_ref_get(const void *p, enum sec_dtype t, int64_t i)
{
    switch (t) {
    case SEC_F32:
        return (double)((const float *)p)[i];
    case SEC_BF16:
        return (double)sec_bf16_to_f32(((const uint16_t *)p)[i]);
    default:
        return ((const double *)p)[i];
    }
}

static inline void sec_ref_set(void *p, enum sec_dtype t, int64_t i, double x)
{
    switch (t) {
    case SEC_F32:
        ((float *)p)[i] = (float)x;
        break;
    case SEC_BF16:
        ((uint16_t *)p)[i] = sec_f32_to_bf16((float)x);
        break;
    default:
        ((double *)p)[i] = x;
    }
}

/* x as a value of type t holds it. */
static inline double sec_ref_round(enum sec_dtype t, double x)
{
    return t == SEC_F32    ? (double)(float)x
           : t == SEC_BF16 ? (double)sec_bf16_to_f32(sec_f32_to_bf16((float)x))
                           : x;
}

/* What dropout multiplies element (row, col) by: 0 or 1/(1-p), 1 when it is off. */
double sec_ref_drop(const struct sec_dropout *d, int64_t row, uint32_t site, int64_t col);

/* The exact GELU and its derivative. */
double sec_ref_gelu(double x);
double sec_ref_gelu_grad(double x);

int sec_ref_gemm(struct sec_backend *b, const struct sec_gemm *g);
int sec_ref_add_ln(struct sec_backend *b, const struct sec_add_ln *a);
int sec_ref_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a);
int sec_ref_attn(struct sec_backend *b, const struct sec_attn *a);
int sec_ref_attn_bwd(struct sec_backend *b, const struct sec_attn *a);
int sec_ref_conv(struct sec_backend *b, const struct sec_conv *c);
int sec_ref_conv_bwd(struct sec_backend *b, const struct sec_conv *c);
int sec_ref_xent(struct sec_backend *b, const struct sec_xent *x);
int sec_ref_adamw(struct sec_backend *b, const struct sec_adamw *a);

#endif
