/* The memory plan against what the CUDA backend in emulation really allocates in a training step,
 * and what is said when a device has too little. */
#include "kernels/cuda_memory.h"
#include "model/state.h"
#include "tests/cuda_host/emulation.h"
#include "tests/testing.h"
#include "train/memory.h"
#include "train/trainer_internal.h"

static struct sec_train_config nano(bool bf16, bool recompute, int64_t batch_tokens)
{
    struct sec_train_config c = {0};
    assert_ok(sec_config_defaults(sec_train_schema, &c));
    assert_ok(sec_config_load(sec_train_schema, &c, "configs/nano.yaml"));
    assert_ok(sec_config_set(sec_train_schema, &c, "train.device", "cuda", "test"));
    c.precision = bf16 ? SEC_PRECISION_BF16 : SEC_PRECISION_FP32;
    c.recompute = recompute;
    c.seq_len = 64;
    c.batch_tokens = batch_tokens;
    c.model.vocab_size = 2000;
    c.model.position_buckets = 32;
    return c;
}

/* Sequences of 3 to 64 tokens, all of them masked: the most that a batch can take. */
struct made {
    struct sec_batch b;
    int32_t cu[4096], masked_rows[4096];
    uint16_t ids[4096], labels[4096];
    uint64_t row_key[4096];
};

static void make_batch(struct made *m, int32_t tokens)
{
    struct sec_batch *b = &m->b;
    *b = (struct sec_batch){.n_tokens = tokens,
                            .cu_seqlens = m->cu,
                            .ids = m->ids,
                            .row_key = m->row_key,
                            .masked_rows = m->masked_rows,
                            .labels = m->labels};
    for (int32_t t = 0, len = 3; t < tokens; len = 3 + len * 7 % 62) {
        len = tokens - t < len ? tokens - t : len;
        t += len;
        b->max_seqlen = len > b->max_seqlen ? len : b->max_seqlen;
        m->cu[++b->n_seqs] = t;
    }
    for (int32_t t = 0; t < tokens; t++) {
        m->ids[t] = (uint16_t)(5 + t * 37 % 1900);
        m->row_key[t] = (uint64_t)t;
        m->masked_rows[b->n_masked] = t;
        m->labels[b->n_masked++] = (uint16_t)(5 + t % 1900);
    }
}

static int train(struct sec_trainer *t, int32_t tokens)
{
    static struct made m;
    double loss, norm;
    bool applied;
    struct sec_optimizer_step s = {
        .t = 1, .lr = 1e-4, .grad_scale = 1, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6};
    make_batch(&m, tokens);
    int rc;
    SEC_TRY(sec_model_init(t->model, 1));
    SEC_TRY(sec_model_train_mlm(t->model, &m.b, 1, 5, &loss, NULL));
    rc = sec_optimizer_apply(&t->opt, &s, &norm, &applied);
fail:
    return rc;
}

static void test_plan(void **state)
{
    for (int v = 0; v < 8; v++) {
        struct sec_train_config c = nano(v & 1, v & 2, v & 4 ? 2048 : 640);
        struct sec_trainer t = {.c = &c, .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
        struct sec_train_memory plan;
        uint64_t before = cuda_host_stats_now().allocated;
        assert_int_equal(before, 0);
        assert_ok(sec_train_memory(&c, true, &plan));
        assert_ok(sec_trainer_open_model(&t));
        assert_ok(train(&t, (int32_t)c.batch_tokens - 50));
        double taken = (double)cuda_host_stats_now().allocated;
        double said = (double)(plan.total - SEC_CUDA_RUNTIME_BYTES);
        double fixed = 32 << 20; /* the workspace would hide a mistake */
        print_message("%s%s, %lld tokens: %.3f MB planned, %.3f MB allocated\n",
                      v & 1 ? "bf16" : "fp32", v & 2 ? ", recompute" : "",
                      (long long)c.batch_tokens, said / 1e6, taken / 1e6);
        assert_true(said >= taken && (said - fixed) <= 1.01 * (taken - fixed));
        sec_trainer_close(&t);
        sec_config_free(sec_train_schema, &c);
    }
}

/* A device of 100 MB: refused with a batch that is named, and that batch trains. */
static void test_advice(void **state)
{
    struct cuda_host_config before = cuda_host_current(), small = before;
    struct sec_train_config c = nano(true, false, 65536);
    long long plain = 0, again = 0;
    struct sec_trainer t = {.c = &c, .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
    small.memory = (size_t)100 << 20;
    small.quiet = true;
    cuda_host_configure(&small);
    assert_fails(sec_trainer_open_model(&t), SEC_EDEVICE, "data.batch_tokens = 65536 takes");
    print_message("%s\n", sec_error());
    const char *text = strstr(sec_error(), "data.batch_tokens=");
    assert_non_null(text);
    assert_int_equal(
        sscanf(text, "data.batch_tokens=%lld fits, with train.recompute=true %lld", &plain, &again),
        2);
    sec_trainer_close(&t);
    assert_int_equal(cuda_host_stats_now().allocated, 0);
    for (int i = 0; i < 2; i++) {
        t = (struct sec_trainer){.c = &c, .dir = {.lock_fd = -1}, .metrics = {.fd = -1}};
        c.recompute = i;
        c.batch_tokens = i ? again : plain;
        assert_ok(sec_trainer_open_model(&t));
        assert_ok(train(&t, 4000 < c.batch_tokens ? 4000 : (int32_t)c.batch_tokens));
        sec_trainer_close(&t);
    }
    sec_config_free(sec_train_schema, &c);
    cuda_host_configure(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plan), cmocka_unit_test(test_advice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
