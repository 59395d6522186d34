/* Runs a Hugging Face folder through a backend and dumps everything that test_model.py compares
 * with PyTorch: model_parity DIR BATCH OUT DEVICE(ref|cpu|cuda) ACT(f32|bf16) STEPS.
 * model_parity relative BUCKETS MAX SPAN prints the table of relative positions instead.
 *
 * BATCH: int32 n_tokens, n_seqs, max_seqlen, n_masked, n_classes; cu_seqlens; ids (u16);
 * masked_rows; labels (u16); classes (int32, n_classes > 0 means a classifier and no masked rows).
 * OUT: records of char name[128], int64 count, float values[count]. */
#include "base/error.h"
#include "base/file.h"
#include "model/hf.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct input {
    struct sec_buf text;
    struct sec_batch b;
    const int32_t *classes;
    int32_t n_classes;
};

struct run {
    struct sec_model *m;
    struct input in;
    FILE *out;
    float *logits, *dlogits;
    bool keep_logits;
};

static int put(FILE *out, const char *name, const float *v, int64_t n)
{
    char field[128] = {0};
    snprintf(field, sizeof field, "%s", name);
    if (fwrite(field, sizeof field, 1, out) != 1 || fwrite(&n, sizeof n, 1, out) != 1 ||
        fwrite(v, sizeof *v, (size_t)n, out) != (size_t)n)
        return sec_fail(SEC_EFAIL, "cannot write %s", name);
    return 0;
}

static int read_input(const char *path, struct input *in)
{
    int rc = sec_read_file(path, &in->text);
    if (rc)
        return rc;
    const int32_t *p = (const int32_t *)in->text.data;
    in->b =
        (struct sec_batch){.n_tokens = p[0], .n_seqs = p[1], .max_seqlen = p[2], .n_masked = p[3]};
    in->n_classes = p[4];
    p += 5;
    in->b.cu_seqlens = p;
    p += in->b.n_seqs + 1;
    in->b.masked_rows = p;
    p += in->b.n_masked;
    in->classes = p;
    p += in->n_classes ? in->b.n_seqs : 0;
    in->b.ids = (const uint16_t *)p;
    in->b.labels = in->b.ids + in->b.n_tokens;
    return 0;
}

/* Mean cross-entropy over the sequences and its gradient. */
static double class_loss(const struct input *in, int labels, const float *logits, float *d)
{
    double sum = 0;
    for (int s = 0; s < in->b.n_seqs; s++) {
        const float *x = logits + s * labels;
        double max = (double)x[0], total = 0;
        for (int j = 1; j < labels; j++)
            max = fmax(max, (double)x[j]);
        for (int j = 0; j < labels; j++)
            total += exp((double)x[j] - max);
        sum += max + log(total) - (double)x[in->classes[s]];
        for (int j = 0; j < labels; j++)
            d[s * labels + j] =
                (float)((exp((double)x[j] - max) / total - (j == in->classes[s] ? 1 : 0)) /
                        in->b.n_seqs);
    }
    return sum / in->b.n_seqs;
}

/* Forward and backward; *loss is the mean. */
static int pass(struct run *r, double *loss)
{
    const struct sec_batch *b = &r->in.b;
    int labels = r->m->opt.num_labels, rc;
    SEC_TRY(sec_model_zero_grad(r->m));
    if (r->in.n_classes) {
        SEC_TRY(sec_model_classify(r->m, b, true, 0, r->logits));
        *loss = class_loss(&r->in, labels, r->logits, r->dlogits);
        if (r->keep_logits)
            SEC_TRY(put(r->out, "logits", r->logits, (int64_t)b->n_seqs * labels));
        rc = sec_model_classify_bwd(r->m, b, r->dlogits);
    } else {
        if (r->keep_logits) {
            SEC_TRY(sec_model_forward(r->m, b, false, 0));
            SEC_TRY(sec_model_mlm_logits(r->m, b->masked_rows, b->n_masked, r->logits));
            SEC_TRY(put(r->out, "logits", r->logits, b->n_masked * r->m->config.vocab_size));
        }
        SEC_TRY(sec_model_train_mlm(r->m, b, 1.0 / b->n_masked, 0, loss, NULL));
        *loss /= b->n_masked;
    }
fail:
    return rc;
}

static int dump_pass(struct run *r)
{
    struct sec_model *m = r->m;
    double loss;
    char name[128];
    int64_t n = r->in.b.n_tokens * m->config.hidden_size;
    float *hidden = malloc((size_t)n * sizeof *hidden);
    float *grad = malloc((size_t)m->params.total * sizeof *grad);
    int rc;
    r->keep_logits = true;
    SEC_TRY(pass(r, &loss));
    r->keep_logits = false;
    float value = (float)loss;
    SEC_TRY(put(r->out, "loss", &value, 1));
    for (int l = 0; l <= (int)m->config.num_hidden_layers; l++) {
        snprintf(name, sizeof name, "hidden.%d", l);
        SEC_TRY(sec_model_layer_rows(m, l, hidden));
        SEC_TRY(put(r->out, name, hidden, n));
    }
    SEC_TRY(m->be->download(m->be, grad, m->grad, (size_t)m->params.total * sizeof *grad));
    for (int i = 0; i < m->params.n; i++) {
        const struct sec_param *p = &m->params.v[i];
        snprintf(name, sizeof name, "grad.%s", p->name);
        SEC_TRY(put(r->out, name, grad + p->offset, p->count));
    }
fail:
    free(hidden);
    free(grad);
    return rc;
}

static int adamw(struct sec_model *m, float *first, float *second, int64_t step)
{
    for (int i = 0; i < m->params.n; i++) {
        const struct sec_param *p = &m->params.v[i];
        struct sec_adamw a = {.n = p->count,
                              .step = step,
                              .master = SEC_F32,
                              .param = (float *)m->master + p->offset,
                              .m = first + p->offset,
                              .v = second + p->offset,
                              .grad = (float *)m->grad + p->offset,
                              .lr = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.98,
                              .eps = 1e-6,
                              .weight_decay = p->decay ? 0.01 : 0,
                              .grad_scale = 1};
        int rc = m->be->adamw(m->be, &a);
        if (rc)
            return rc;
    }
    return sec_model_refresh(m);
}

static int train(struct run *r, int steps)
{
    struct sec_backend *be = r->m->be;
    size_t n = (size_t)r->m->params.total;
    void *moments = NULL;
    float *losses = calloc((size_t)steps, sizeof *losses);
    int rc;
    SEC_TRY(be->alloc(be, 2 * n * sizeof(float), &moments));
    SEC_TRY(be->zero(be, moments, 2 * n * sizeof(float)));
    for (int s = 0; s < steps; s++) {
        double loss;
        SEC_TRY(pass(r, &loss));
        losses[s] = (float)loss;
        SEC_TRY(adamw(r->m, moments, (float *)moments + n, s + 1));
    }
    if (steps)
        rc = put(r->out, "losses", losses, steps);
fail:
    if (moments)
        be->free(be, moments);
    free(losses);
    return rc;
}

static int print_relative(char **argv)
{
    struct sec_model_config c = {.position_buckets = atoi(argv[2]),
                                 .max_relative_positions = atoi(argv[3])};
    int32_t span = atoi(argv[4]);
    uint16_t *table = calloc(2 * (size_t)span, sizeof *table);
    if (!table)
        return 4;
    sec_relative_index(&c, span, table);
    for (int32_t i = 0; i < 2 * span - 1; i++)
        printf("%u\n", table[i]);
    free(table);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && !strcmp(argv[1], "relative"))
        return print_relative(argv);
    struct run r = {0};
    struct sec_model_config c;
    struct sec_params p;
    struct sec_backend *be;
    unsigned heads;
    float *master;
    int rc;
    if (argc != 7)
        return 2;
    SEC_TRY(sec_hf_load(argv[1], &c, &heads, &p, &master));
    SEC_TRY(read_input(argv[2], &r.in));
    SEC_TRY(sec_backend_open(argv[4], &be));
    const struct sec_batch *b = &r.in.b;
    struct sec_model_options o = {.act = !strcmp(argv[5], "bf16") ? SEC_BF16 : SEC_F32,
                                  .train = true,
                                  .heads = heads,
                                  .num_labels = p.num_labels,
                                  .max_tokens = b->n_tokens,
                                  .max_seqs = b->n_seqs,
                                  .max_seqlen = b->max_seqlen,
                                  .logit_rows = 7};
    r.logits = calloc((size_t)(b->n_masked + 1) * (size_t)c.vocab_size, sizeof *r.logits);
    r.dlogits = calloc((size_t)(b->n_seqs * (p.num_labels + 1)), sizeof *r.dlogits);
    r.out = fopen(argv[3], "wb");
    SEC_TRY(sec_model_create(&c, be, &o, &r.m));
    SEC_TRY(sec_model_load(r.m, master));
    SEC_TRY(dump_pass(&r));
    SEC_TRY(train(&r, atoi(argv[6])));
    if (fclose(r.out))
        rc = sec_fail(SEC_EFAIL, "%s: cannot close", argv[3]);
    sec_model_free(r.m);
    be->destroy(be);
    sec_params_free(&p);
    sec_buf_free(&r.in.text);
    free(master);
    free(r.logits);
    free(r.dlogits);
fail:
    if (rc)
        fprintf(stderr, "%s\n", sec_error());
    return sec_exit_code(rc);
}
