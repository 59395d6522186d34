/* Private state of a model: the plan of its activation arena and the pass under way. Pointers of
 * struct sec_acts point into one backend block whose layout comes from sec_plan(), the same
 * function that sec_model_memory() asks; nothing else is allocated on the backend after creation.
 */
#ifndef SEC_MODEL_STATE_H
#define SEC_MODEL_STATE_H

#include "model/model.h"

/* Dropout sites (struct sec_dropout.site). Layer l uses 16 l + op. Never renumber: resumed runs
 * depend on them. */
enum {
    SITE_REL = 0,      /* relative embeddings of the layer; row key = REL_KEY | row */
    SITE_ATTN = 1,     /* attention probabilities (the op adds head << 16) */
    SITE_ATTN_OUT = 2, /* after attention.output.dense */
    SITE_FFN_OUT = 3,  /* after output.dense */
    SITE_CONV = 4,     /* after the convolution (layer 0) */
    SITE_EMBEDDING = 0xFFF0,
    SITE_CLASSIFIER = 0xFFF1 /* pooled vector; row key of the sequence's first token */
};
#define REL_KEY (UINT64_C(1) << 63) /* apart from every sample << 16 | position */

/* What backward needs of a layer. In inference all layers share one set; with opt.recompute too,
 * but for in and out. */
struct sec_layer_acts {
    void *in;                      /* [T,H] input, = out of the layer before */
    void *qkv;                     /* [T,3H] */
    void *rel;                     /* [R,2H]: Qr in columns 0..H, Kr in H..2H */
    void *o;                       /* [T,H] attention context */
    float *lse;                    /* [heads,T] */
    void *s1, *mean1, *rstd1, *y1; /* [T,H], [T], [T], [T,H] */
    void *aux;                     /* [T,I] before gelu */
    void *s2, *mean2, *rstd2;
    void *out; /* [T,H] */
};

struct sec_acts {
    /* inputs of the pass, and its losses */
    uint16_t *ids, *labels;
    uint64_t *row_key, *rel_key, *first_key, *seed;
    int32_t *masked_rows, *first_rows;
    void *loss;
    int32_t *rank;
    /* relative embeddings: master type, then act (the same when they agree) */
    void *rel_master, *rel_act, *rel_mean, *rel_rstd, *rel_drop;
    void *x0, *mean0, *rstd0;
    void *conv, *conv_s, *conv_mean, *conv_rstd; /* before gelu (after dropout); LN sum */
    struct sec_layer_acts *layer;
    /* MLM head over [M,H] and classifier over [B,H]. The head's buffers, the logits and the
     * feed-forward scratch are never live together and share memory. */
    void *head_x, *head_aux, *head_s, *head_t, *head_dt, *head_mean, *head_rstd, *logits;
    void *pool_x, *pool_aux, *pool_y, *pool_d, *cls_logits, *cls_d;
    /* scratch */
    void *inner;                 /* [T, max(I, 4H)] */
    void *grad_a;                /* [T,H] gradient that flows down */
    void *grad_b;                /* [T,H] through a dropout; only with dropout */
    void *grad_conv;             /* [T,H] */
    void *grad_rel;              /* [R,2H] act */
    void *grad_relm, *grad_reln; /* [R,H] master: sum over layers, one layer's share */
};

/* A batch filled up to the shape of all batches (batch.c); NULL pointers without opt.pad. */
struct sec_padded {
    struct sec_batch b;
    int32_t *cu_seqlens, *masked_rows;
    uint16_t *ids, *labels;
    uint64_t *row_key;
    bool *masked; /* [max_tokens] */
};

struct sec_model_state {
    struct sec_acts a;
    void *block;       /* the arena */
    uint16_t *rel_idx; /* host, span max_seqlen */
    int32_t logit_rows_train, logit_rows_eval;
    /* host staging, sized at creation */
    uint64_t *key_host;
    int32_t *row_host;
    int32_t *rank_host;
    void *loss_host;
    struct sec_padded padded;
    /* the last pass */
    const struct sec_batch *batch; /* valid only while a public call runs */
    int32_t n_tokens, n_seqs;
    int32_t n_given; /* tokens without those that filled up */
    bool training, have_forward, have_classify;
};

struct sec_plan {
    uint64_t bytes;       /* of the arena */
    uint64_t activations; /* part of it that backward needs */
    int32_t logit_rows_train, logit_rows_eval;
};
/* Lays the arena out from `base` (NULL to measure) into a; a->layer must hold num_hidden_layers. */
void sec_plan(const struct sec_model_config *c, const struct sec_model_options *o, char *base,
              struct sec_acts *a, struct sec_plan *plan);

static inline void *sec_at(const void *base, int64_t element, enum sec_dtype t)
{
    return (char *)base + (size_t)element * sec_dtype_size(t);
}
static inline enum sec_dtype sec_m_master(const struct sec_model *m)
{
    return sec_master_type(m->opt.act);
}
/* The compute copy, master and gradient of the parameter at an offset. */
static inline const void *sec_w(const struct sec_model *m, int64_t offset)
{
    return sec_at(m->compute, offset, m->opt.act);
}
static inline const void *sec_v(const struct sec_model *m, int64_t offset)
{
    return sec_at(m->master, offset, sec_m_master(m));
}
static inline void *sec_g(const struct sec_model *m, int64_t offset)
{
    return sec_at(m->grad, offset, sec_m_master(m));
}
struct sec_dropout sec_site(const struct sec_model *m, uint32_t site, double p,
                            const uint64_t *row_key);

/* y[rows,out] = x[rows,in] Wᵀ + b, and its three gradients. ldx, ldy in elements. */
int sec_linear(struct sec_model *m, const void *x, int64_t rows, int64_t in, int64_t out, int64_t w,
               int64_t b, void *y, int64_t ldy, void *gelu_aux);
int sec_linear_bwd_weight(struct sec_model *m, const void *dy, int64_t ldy, const void *x,
                          int64_t rows, int64_t in, int64_t out, int64_t w, int64_t b);
int sec_linear_bwd_input(struct sec_model *m, const void *dy, int64_t ldy, int64_t rows, int64_t in,
                         int64_t out, int64_t w, void *dx, enum sec_dtype dx_type, bool accumulate);

struct sec_attn sec_layer_attn(struct sec_model *m, int l);
int sec_check_batch(const struct sec_model *m, const struct sec_batch *b);
/* Makes a checked batch the one of the pass that follows and brings it to the backend, seed of
 * dropout included. */
int sec_begin_pass(struct sec_model *m, const struct sec_batch *b, bool training, uint64_t seed);
/* Forward of the encoder over that batch; the host is not touched. */
int sec_encoder(struct sec_model *m);
/* Recomputation: everything of layer l but its output, as forward left it. */
int sec_layer_again(struct sec_model *m, int l);
/* The batch filled up; the masked rows that are added have SEC_NO_LABEL. It lives in the model
 * until the next call. */
int sec_padded_alloc(struct sec_model *m);
void sec_padded_free(struct sec_model *m);
const struct sec_batch *sec_padded(struct sec_model *m, const struct sec_batch *b);
/* Runs a training pass over the batch that was begun, recorded or replayed where the backend does
 * that (record.c). */
int sec_run_pass(struct sec_model *m, double loss_scale,
                 int (*pass)(struct sec_model *m, double loss_scale));
/* Backward of the encoder from grad_a (gradient of the last hidden states), consumed; over the
 * batch of the forward pass. */
int sec_encoder_bwd(struct sec_model *m);
/* Fetch n elements of type t as fp32. */
int sec_fetch_f32(struct sec_model *m, const void *src, enum sec_dtype t, int64_t n, float *out);

#endif
