/* Batches, the loader and the evaluation loader. */
#include "loader_fixture.h"

#include "data/masking_impl.h"

/* ---- batches ---- */

/* A batch against the order and the documents' known tokens; returns the next sample. */
static uint64_t check_batch(const struct sec_loader *l, const struct sec_batch *b, uint64_t next)
{
    static uint16_t ids[BUDGET];
    int longest = 0;
    uint64_t n = sec_order_samples(l), first, doc, doc_first;
    uint32_t len;
    assert_true(b->n_tokens <= BUDGET && b->n_seqs > 0);
    assert_int_equal(b->cu_seqlens[0], 0);
    assert_int_equal(b->cu_seqlens[b->n_seqs], b->n_tokens);
    memcpy(ids, b->ids, (size_t)b->n_tokens * sizeof *ids);
    for (int i = 0; i < b->n_masked; i++) {
        assert_true(b->masked_rows[i] < b->n_tokens &&
                    (!i || b->masked_rows[i - 1] < b->masked_rows[i]));
        assert_int_equal(sec_tokenizer_class(tok, b->labels[i]), SEC_CLASS_CONTENT);
        ids[b->masked_rows[i]] = b->labels[i];
    }
    for (int s = 0; s < b->n_seqs; s++, next++) {
        int at = b->cu_seqlens[s], size = b->cu_seqlens[s + 1] - at;
        assert_int_equal(b->sample_id[s], next);
        assert_ok(sec_order_sample(l, next / n, next % n, &first, &len, &doc));
        assert_int_equal(size, len + 2);
        longest = size > longest ? size : longest;
        sec_tokens_doc(tokens, doc, &doc_first, NULL, NULL, NULL);
        assert_int_equal(ids[at], SEC_TOK_CLS);
        assert_int_equal(ids[at + size - 1], SEC_TOK_SEP);
        for (int i = 0; i < size; i++)
            assert_int_equal(b->row_key[at + i], next << 16 | (uint64_t)i);
        for (uint32_t i = 0; i < len; i++)
            assert_int_equal(
                ids[at + 1 + (int)i],
                fixture_id(doc, (uint32_t)(first - doc_first) + i, sec_tokenizer_vocab_size(tok)));
    }
    assert_int_equal(b->max_seqlen, longest);
    assert_ok(sec_order_sample(l, next / n, next % n, &first, &len, &doc));
    assert_true(b->n_tokens + (int)len + 2 > BUDGET); /* closed by the first that does not fit */
    return next;
}

static void batches_follow_the_order(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_loader *l = open_loader(&o, NULL);
    const struct sec_batch *b;
    struct sec_loader_state s;
    uint64_t next = 0;
    for (int i = 0; i < 40; i++) {
        assert_ok(sec_loader_next(l, &b));
        next = check_batch(l, b, next);
        sec_loader_state(l, &s);
        assert_int_equal(s.step, (i + 1) / 2);
        if (i % 2)
            assert_int_equal(s.next, next);
    }
    assert_true(sec_loader_wait_seconds(l) >= 0);
    sec_loader_close(l);
}

/* Through the end of an epoch and on: ids go on, the state's epoch rises, one batch mixes both. */
static void rolls_into_the_next_epoch(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_loader *l = open_loader(&o, NULL);
    uint64_t n = sec_order_samples(l), next;
    struct sec_loader_state s;
    const struct sec_batch *b;
    sec_loader_state(l, &s);
    sec_loader_close(l);
    s.next = n - 40;
    l = open_loader(&o, &s);
    next = s.next;
    for (int i = 0; i < 12; i++) {
        assert_ok(sec_loader_next(l, &b));
        next = check_batch(l, b, next);
    }
    assert_true(next > n);
    sec_loader_state(l, &s);
    assert_int_equal(s.epoch, 1);
    assert_int_equal(s.epoch * n + s.next, next);
    sec_loader_close(l);
}

static uint64_t run(const struct sec_loader_options *o, const struct sec_loader_state *from,
                    int n_batches, struct sec_loader_state *end)
{
    struct sec_loader *l = open_loader(o, from);
    const struct sec_batch *b;
    uint64_t h = 0;
    for (int i = 0; i < n_batches; i++) {
        assert_ok(sec_loader_next(l, &b));
        h = hash_batch(h, b);
    }
    if (end)
        sec_loader_state(l, end);
    sec_loader_close(l);
    return h;
}

static void threads_and_ring_change_nothing(void **state)
{
    struct sec_loader_options o = loader_options();
    const int n = 3000; /* more than one window */
    uint64_t want = run(&o, NULL, n, NULL);
    o.threads = 3;
    o.ring = 2;
    assert_int_equal(run(&o, NULL, n, NULL), want);
    o.ring = 9;
    assert_int_equal(run(&o, NULL, n, NULL), want);
    o.seed++;
    assert_int_not_equal(run(&o, NULL, n, NULL), want);
}

/* Hash of every micro-batch of the global sequence, put together from the ranks' loaders. */
static void global_sequence(int world, int total, int steps, const struct sec_loader_state *from,
                            uint64_t *hashes, struct sec_loader_state *end)
{
    for (int r = 0; r < world; r++) {
        struct sec_loader_options o = loader_options();
        struct sec_loader_state s;
        o.world = world;
        o.rank = r;
        o.micro_batches = total / world;
        struct sec_loader *l = open_loader(&o, from);
        for (int i = 0; i < steps; i++)
            for (int m = 0; m < o.micro_batches; m++) {
                const struct sec_batch *b;
                assert_ok(sec_loader_next(l, &b));
                hashes[i * total + r * o.micro_batches + m] = hash_batch(0, b);
            }
        sec_loader_state(l, &s);
        if (r)
            assert_memory_equal(&s, end, sizeof s);
        *end = s;
        sec_loader_close(l);
    }
}

static void ranks_see_one_sequence(void **state)
{
    enum { TOTAL = 24, STEPS = 3 };
    static const int worlds[] = {2, 3, 4, 6, 8};
    uint64_t want[TOTAL * STEPS], got[TOTAL * STEPS];
    struct sec_loader_state end, s;
    global_sequence(1, TOTAL, STEPS, NULL, want, &end);
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        global_sequence(worlds[i], TOTAL, STEPS, NULL, got, &s);
        assert_memory_equal(got, want, sizeof want);
        assert_memory_equal(&s, &end, sizeof s);
    }
    /* Stop after one step on two ranks, go on with three, then with eight. */
    struct sec_loader_state one, two;
    global_sequence(2, TOTAL, 1, NULL, got, &one);
    global_sequence(3, TOTAL, 1, &one, got + TOTAL, &two);
    global_sequence(8, TOTAL, 1, &two, got + 2 * TOTAL, &s);
    assert_memory_equal(got, want, sizeof want);
    assert_memory_equal(&s, &end, sizeof s);
}

static void resumes_where_it_stopped(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_loader_state mid, end, end2;
    const int total = 5000; /* well into the third window */
    uint64_t after = 0;
    o.micro_batches = 1;
    struct sec_loader *l = open_loader(&o, NULL);
    const struct sec_batch *b;
    for (int i = 0; i < total; i++) {
        assert_ok(sec_loader_next(l, &b));
        if (i >= 2000)
            after = hash_batch(after, b);
        if (i == 1999)
            sec_loader_state(l, &mid);
    }
    sec_loader_state(l, &end);
    sec_loader_close(l);
    assert_int_equal(mid.step, 2000);
    assert_int_equal(run(&o, &mid, total - 2000, &end2), after);
    assert_memory_equal(&end, &end2, sizeof end);
}

static void closes_at_any_time(void **state)
{
    struct sec_loader_options o = loader_options();
    for (int n = 0; n < 20; n++) {
        const struct sec_batch *b;
        o.threads = 1 + n % 3;
        struct sec_loader *l = open_loader(&o, NULL);
        for (int i = 0; i < n; i++)
            assert_ok(sec_loader_next(l, &b));
        sec_loader_close(l);
    }
}

static void refuses_what_does_not_fit(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_loader_state s;
    struct sec_loader *l = open_loader(&o, NULL);
    sec_loader_state(l, &s);
    sec_loader_close(l);
    assert_int_equal(sizeof s, 64);
    uint64_t *checked[] = {&s.fingerprint, &s.seed, &s.seq_len, &s.batch_tokens};
    for (size_t i = 0; i < 4; i++) {
        char now[32];
        snprintf(now, sizeof now, "%llu", (unsigned long long)*checked[i]);
        *checked[i] += 1;
        assert_int_equal(sec_loader_open(tokens, tok, &o, &s, &l), SEC_ECONFIG);
        assert_non_null(strstr(sec_error(), now));
        *checked[i] -= 1;
    }
    s.masks = 0; /* a state that does not tell */
    assert_ok(sec_loader_open(tokens, tok, &o, &s, &l));
    sec_loader_state(l, &s);
    sec_loader_close(l);
    assert_int_equal(s.masks, sec_mask_fingerprint(&o.mask));
    for (int i = 0; i < 6; i++) {
        struct sec_loader_options other_masks = o;
        struct sec_mask_options *m = &other_masks.mask;
        m->seed += i == 0;
        m->probability += i == 1 ? 0.01 : 0;
        m->p_mask -= i == 2 ? 0.1 : 0;
        m->p_random -= i == 3 ? 0.1 : 0;
        m->whole_field = i == 4;
        m->ngram_max += i == 5;
        assert_fails(sec_loader_open(tokens, tok, &other_masks, &s, &l), SEC_ECONFIG,
                     "mask options");
    }
    s.next = UINT64_MAX;
    assert_int_equal(sec_loader_open(tokens, tok, &o, &s, &l), SEC_EDATA);
    o.batch_tokens = SEQ_LEN - 1;
    assert_int_equal(sec_loader_open(tokens, tok, &o, NULL, &l), SEC_ECONFIG);

    struct sec_bpe_options bo = {.vocab_size = 300, .pretok = SEC_PRETOK_LOG, .threads = 1};
    struct sec_bpe_trainer *trainer = sec_bpe_trainer_new(&bo);
    struct sec_tokenizer *other;
    assert_ok(sec_bpe_trainer_add(trainer, "a b c a b", 9));
    assert_ok(sec_bpe_train(trainer, &other));
    sec_bpe_trainer_free(trainer);
    o = loader_options();
    assert_int_equal(sec_loader_open(tokens, other, &o, NULL, &l), SEC_ECONFIG);
    sec_tokenizer_free(other);
}

/* ---- long documents ---- */

/* Documents of up to 48,000 tokens: whole while the sequence length allows, else cut once. */
static void long_documents_stay_whole(void **state)
{
    enum { N = 60, LONG = 48000 };
    static const uint64_t n_long[SEC_N_SPLITS] = {N, 0, 0};
    char *folder = scratch_dir();
    struct sec_tokens *t;
    uint64_t n_tokens = 0, longest = 0;
    fixture_dataset(folder, tok, n_long, LONG, 400000);
    assert_ok(sec_tokens_open(folder, SEC_SPLIT_TRAIN, &t));
    for (uint64_t d = 0; d < N; d++)
        longest = fixture_len(d, LONG) > longest ? fixture_len(d, LONG) : longest;
    assert_true(longest > LONG * 9 / 10);
    for (int seq_len = (int)longest + 2; seq_len >= (int)longest + 1; seq_len--) {
        struct sec_loader_options o = loader_options();
        struct sec_loader *l;
        const struct sec_batch *b;
        uint64_t samples = 0, whole = 0;
        o.seq_len = seq_len;
        o.batch_tokens = 65536;
        o.micro_batches = 1;
        assert_ok(sec_loader_open(t, tok, &o, NULL, &l));
        n_tokens = 0;
        while (samples < sec_order_samples(l)) {
            assert_ok(sec_loader_next(l, &b));
            for (int s = 0; s < b->n_seqs && samples < sec_order_samples(l); s++, samples++) {
                uint64_t len = (uint64_t)(b->cu_seqlens[s + 1] - b->cu_seqlens[s] - 2), first, doc;
                uint32_t doc_len, want;
                assert_ok(sec_order_sample(l, 0, samples, &first, &want, &doc));
                sec_tokens_doc(t, doc, NULL, &doc_len, NULL, NULL);
                assert_int_equal(len, want);
                whole += len == doc_len;
                n_tokens += len;
            }
        }
        assert_int_equal(n_tokens, sec_tokens_info(t)->n_tokens);
        assert_int_equal(samples, seq_len == (int)longest + 2 ? N : N + 1);
        assert_int_equal(whole, seq_len == (int)longest + 2 ? N : N - 1);
        sec_loader_close(l);
    }
    sec_tokens_close(t);
    scratch_free(folder);
}

/* ---- evaluation ---- */

struct seen {
    uint64_t doc;
    uint32_t pos;
    uint16_t label;
};

static size_t run_eval(int seq_len, int batch_tokens, uint64_t max_docs, struct seen *out,
                       size_t cap, uint64_t *n_tokens)
{
    struct sec_tokens *t;
    struct sec_eval_loader *l;
    const struct sec_batch *b;
    size_t n = 0;
    uint64_t doc = 0, next_doc = 0;
    uint32_t pos = 0;
    int rc;
    *n_tokens = 0;
    assert_ok(sec_tokens_open(dir, SEC_SPLIT_IDTS, &t));
    assert_ok(sec_eval_loader_open(t, tok, 99, seq_len, batch_tokens, max_docs, &l));
    while (!(rc = sec_eval_loader_next(l, &b))) {
        int m = 0;
        assert_true(b->n_tokens <= batch_tokens && b->max_seqlen <= seq_len);
        for (int s = 0; s < b->n_seqs; s++) {
            if (b->sample_id[s] != doc || !*n_tokens) {
                doc = b->sample_id[s];
                assert_int_equal(doc, next_doc++);
                pos = 0;
            }
            int start = b->cu_seqlens[s], end = b->cu_seqlens[s + 1];
            for (; m < b->n_masked && b->masked_rows[m] < end; m++) {
                assert_true(n < cap);
                assert_int_equal(b->ids[b->masked_rows[m]], SEC_TOK_MASK);
                uint32_t at = pos + (uint32_t)(b->masked_rows[m] - start - 1);
                assert_int_equal(b->labels[m], fixture_id(doc, at, sec_tokenizer_vocab_size(tok)));
                out[n++] = (struct seen){doc, at, b->labels[m]};
            }
            pos += (uint32_t)(end - start - 2);
            *n_tokens += (uint64_t)(end - start - 2);
        }
        assert_int_equal(m, b->n_masked);
    }
    assert_int_equal(rc, 1);
    sec_eval_loader_close(l);
    sec_tokens_close(t);
    return n;
}

static void evaluation_masks_are_fixed(void **state)
{
    enum { CAP = 20000 };
    static struct seen want[CAP], got[CAP];
    uint64_t n_tokens, n_total;
    size_t n = run_eval(SEQ_LEN, BUDGET, 0, want, CAP, &n_total), k;
    uint64_t sum = 0;
    for (uint64_t d = 0; d < n_docs[SEC_SPLIT_IDTS]; d++)
        sum += fixture_len(d, LONGEST);
    assert_int_equal(n_total, sum);
    assert_true(n > sum / 20 && n < sum / 5);
    static const int shapes[][2] = {{SEQ_LEN, SEQ_LEN}, {SEQ_LEN, 7777}, {61, 200}, {5000, 5000}};
    for (size_t i = 0; i < 4; i++) {
        k = run_eval(shapes[i][0], shapes[i][1], 0, got, CAP, &n_tokens);
        assert_int_equal(k, n);
        assert_int_equal(n_tokens, sum);
        for (size_t j = 0; j < n; j++)
            assert_true(got[j].doc == want[j].doc && got[j].pos == want[j].pos &&
                        got[j].label == want[j].label);
    }
    k = run_eval(SEQ_LEN, BUDGET, 7, got, CAP, &n_tokens);
    assert_true(k < n && got[k - 1].doc <= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_follow_the_order),
        cmocka_unit_test(rolls_into_the_next_epoch),
        cmocka_unit_test(threads_and_ring_change_nothing),
        cmocka_unit_test(ranks_see_one_sequence),
        cmocka_unit_test(resumes_where_it_stopped),
        cmocka_unit_test(closes_at_any_time),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(long_documents_stay_whole),
        cmocka_unit_test(evaluation_masks_are_fixed),
    };
    return cmocka_run_group_tests(tests, loader_set_up, loader_tear_down);
}
