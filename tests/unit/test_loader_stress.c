/* The loader when reads hang, fail or lie, and when ranks come and go. Nothing here measures time:
 * a read that hangs does so until the consumer has taken what the look-ahead promises. */
#include "loader_fixture.h"

#include "data/tokshard_reader.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* ---- the order, spelled out ---- */

struct expected {
    uint64_t first; /* in the split's stream */
    uint32_t len;
    uint32_t stands_for; /* length of the sample it replaces, or its own */
};

struct reference {
    uint64_t n;    /* samples of an epoch */
    uint16_t *ids; /* the whole split */
    struct expected *epoch[2];
    uint64_t replaced[2];
};

static bool touches(const uint64_t *bad, size_t n_bad, uint64_t w, const struct sec_piece *p)
{
    for (size_t i = 0; i < n_bad; i++)
        if (bad[i] >= w * SEC_ORDER_WINDOW + p->at / SEC_TOK_CHUNK &&
            bad[i] <= w * SEC_ORDER_WINDOW + (p->at + p->len - 1) / SEC_TOK_CHUNK)
            return true;
    return false;
}

/* Epoch e with chunks bad[] gone, by the rule of data/loader.h; ends early at a window all bad. */
static void expect_epoch(struct reference *r, int e, const uint64_t *bad, size_t n_bad)
{
    struct sec_order *order;
    struct sec_perm windows, samples;
    uint64_t at = 0, first;
    assert_ok(sec_order_new(tokens, SEED, SEQ_LEN, &order));
    struct sec_piece *stream = malloc(sec_order_largest(order) * sizeof *stream);
    struct sec_piece *list = malloc(sec_order_largest(order) * sizeof *list);
    r->n = sec_order_total(order);
    r->epoch[e] = malloc(r->n * sizeof *r->epoch[e]);
    assert_true(stream && list && r->epoch[e]);
    sec_order_epoch(order, (uint64_t)e, &windows);
    for (uint64_t k = 0; k < sec_order_windows(order); k++) {
        uint64_t w = sec_perm_at(&windows, k);
        uint32_t n = sec_order_window_size(order, w), good = 0;
        assert_ok(sec_order_pieces(order, w, stream));
        sec_order_within(order, (uint64_t)e, w, &samples);
        for (uint32_t i = 0; i < n; i++) {
            list[i] = stream[sec_perm_at(&samples, i)];
            good += !touches(bad, n_bad, w, &list[i]);
        }
        for (uint32_t i = 0; good && i < n; i++, at++) {
            uint32_t j = i;
            while (touches(bad, n_bad, w, &list[j]))
                j = (j + 1) % n;
            sec_tokens_doc(tokens, list[j].doc, &first, NULL, NULL, NULL);
            r->epoch[e][at] = (struct expected){first + list[j].first, list[j].len, list[i].len};
            r->replaced[e] += i != j;
        }
    }
    free(stream);
    free(list);
    sec_order_free(order);
}

static void reference_free(struct reference *r)
{
    free(r->ids);
    free(r->epoch[0]);
    free(r->epoch[1]);
    *r = (struct reference){0};
}

static void reference_make(struct reference *r, const uint64_t *bad, size_t n_bad)
{
    const uint64_t n = sec_tokens_info(tokens)->n_tokens;
    *r = (struct reference){0};
    r->ids = malloc(n * sizeof *r->ids);
    assert_non_null(r->ids);
    assert_ok(sec_tokens_read(tokens, 0, (uint32_t)n, r->ids));
    expect_epoch(r, 0, bad, n_bad);
    expect_epoch(r, 1, bad, n_bad);
}

/* A batch is samples next, next + 1, ... of the reference; returns the one after it. */
static uint64_t assert_expected(const struct reference *r, const struct sec_batch *b, uint64_t next)
{
    static uint16_t ids[BUDGET];
    assert_true(b->n_seqs > 0 && b->n_tokens <= BUDGET);
    memcpy(ids, b->ids, (size_t)b->n_tokens * sizeof *ids);
    for (int i = 0; i < b->n_masked; i++)
        ids[b->masked_rows[i]] = b->labels[i];
    for (int s = 0; s < b->n_seqs; s++, next++) {
        const struct expected *x = &r->epoch[next / r->n][next % r->n];
        int at = b->cu_seqlens[s] + 1, len = b->cu_seqlens[s + 1] - at - 1;
        assert_int_equal(b->sample_id[s], next);
        assert_int_equal(len, x->len < x->stands_for ? x->len : x->stands_for);
        assert_memory_equal(ids + at, r->ids + x->first, (size_t)len * sizeof *ids);
    }
    return next;
}

/* ---- reads that hang ---- */

/* Every read passes here; read number `close_at` does not return until the gate is opened. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t reads, close_at;
    bool closed;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void pass_gate(void *ctx, const char *name)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = ++gate.reads == gate.close_at;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

/* True if the gate is closed; else waits until that many reads were begun (or it closes). */
static bool gate_closed(uint64_t reads)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.reads < reads && !gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    bool closed = gate.closed;
    pthread_mutex_unlock(&gate.lock);
    return closed;
}

static void open_gate(uint64_t close_at)
{
    pthread_mutex_lock(&gate.lock);
    gate.close_at = close_at;
    gate.closed = false;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

enum { VISITS = 14, STALL_EVERY = 5, STALL_BUDGET = 8192 };

/* The first windows the loader visits: reads and tokens (with [CLS] and [SEP]) up to each. */
static void list_visits(uint64_t reads[VISITS + 1], uint64_t end[VISITS + 1])
{
    struct sec_order *order;
    struct sec_perm p;
    assert_ok(sec_order_new(tokens, SEED, SEQ_LEN, &order));
    struct sec_piece *pieces = malloc(sec_order_largest(order) * sizeof *pieces);
    const uint64_t n = sec_order_windows(order);
    assert_non_null(pieces);
    reads[0] = end[0] = 0;
    for (uint64_t v = 0; v < VISITS; v++) {
        sec_order_epoch(order, v / n, &p);
        uint64_t w = sec_perm_at(&p, v % n);
        assert_ok(sec_order_pieces(order, w, pieces));
        reads[v + 1] = reads[v] + sec_order_chunks(order, w);
        end[v + 1] = end[v];
        for (uint32_t i = 0; i < sec_order_window_size(order, w); i++)
            end[v + 1] += pieces[i].len + 2;
    }
    free(pieces);
    sec_order_free(order);
}

/* One thread reads, so when the first read of the visit v hangs all before it are done. The
 * consumer is slow, as training is: it lets the reader fill every window between two stalls. Then
 * it must be able to take the windows - 1 windows before v while the read hangs: were it to wait
 * for the reader, nobody would ever open the gate. */
static void hanging_reads_starve_nobody(int windows)
{
    uint64_t reads[VISITS + 1], end[VISITS + 1], taken = 0, v = 0, stalls = 0, h = 0, want = 0;
    struct sec_loader_options o = loader_options();
    const struct sec_batch *b;
    o.batch_tokens = STALL_BUDGET;
    o.micro_batches = 1;
    o.windows = windows;
    list_visits(reads, end);
    gate.reads = 0;
    gate.close_at = reads[STALL_EVERY] + 1;
    sec_set_stall(pass_gate, NULL);
    struct sec_loader *l = open_loader(&o, NULL);
    int n = 0;
    for (uint64_t stall = STALL_EVERY; stall + 1 < VISITS; n++) {
        while (taken >= end[v + 1])
            v++;
        uint64_t ahead = v + (uint64_t)windows < VISITS ? v + (uint64_t)windows : VISITS;
        if (gate_closed(reads[ahead])) {
            uint64_t before = taken;
            for (; taken + 2 * STALL_BUDGET <= end[stall]; n++) {
                assert_ok(sec_loader_next(l, &b));
                h = hash_batch(h, b);
                taken += (uint64_t)b->n_tokens;
            }
            assert_true(taken - before + 4 * STALL_BUDGET >=
                        end[stall] - end[stall + 1 - (uint64_t)windows]);
            stalls++;
            stall += STALL_EVERY;
            open_gate(stall < VISITS ? reads[stall] + 1 : 0);
        }
        assert_ok(sec_loader_next(l, &b));
        h = hash_batch(h, b);
        taken += (uint64_t)b->n_tokens;
    }
    sec_loader_close(l);
    sec_set_stall(NULL, NULL);
    assert_int_equal(stalls, (VISITS - 1) / STALL_EVERY);
    l = open_loader(&o, NULL);
    for (int i = 0; i < n; i++) {
        assert_ok(sec_loader_next(l, &b));
        want = hash_batch(want, b);
    }
    sec_loader_close(l);
    assert_int_equal(h, want);
}

static void hanging_reads_of_4_windows(void **state)
{
    hanging_reads_starve_nobody(4);
}

static void hanging_reads_of_2_windows(void **state)
{
    hanging_reads_starve_nobody(2);
}

/* ---- damage ---- */

/* Flip one bit in the middle of chunk i of the split; calling it again mends it. Returns the name
 * of its shard. */
static const char *flip_chunk(uint64_t i)
{
    static char path[512];
    struct sec_tokmanifest m;
    struct sec_tokfile f;
    uint64_t addr;
    uint32_t len;
    uint8_t byte;
    assert_ok(sec_tokmanifest_read(dir, &m));
    size_t k = 0;
    for (;; k++) {
        assert_true(k < m.n_shards && m.shards[k].split == SEC_SPLIT_TRAIN);
        snprintf(path, sizeof path, "%s/%s", dir, m.shards[k].path);
        assert_ok(sec_tokfile_open(path, &m.shards[k], &f));
        if (i < f.n_chunks)
            break;
        i -= f.n_chunks;
        sec_tokfile_close(&f);
    }
    memcpy(&addr, f.chunk_addr + 8 * i, 8);
    memcpy(&len, f.chunk_len + 4 * i, 4);
    sec_tokfile_close(&f);
    sec_tokmanifest_free(&m);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)(addr + len / 2)), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(addr + len / 2)), 1);
    close(fd);
    return strrchr(path, '/') + 1;
}

/* Takes batches until the loader fails; the failure. */
static int run_to_failure(const struct sec_loader_options *o)
{
    const struct sec_batch *b;
    int rc;
    struct sec_loader *l = open_loader(o, NULL);
    do {
        rc = sec_loader_next(l, &b);
    } while (!rc);
    assert_int_equal(sec_loader_next(l, &b), rc); /* and again */
    sec_loader_close(l);
    return rc;
}

static void damaged_chunk_stops_the_run(void **state)
{
    struct sec_loader_options o = loader_options();
    const char *shard = flip_chunk(14);
    assert_fails(run_to_failure(&o), SEC_EDATA, shard);
    assert_non_null(strstr(sec_error(), "at byte"));
    flip_chunk(14);
}

/* A chunk reads wrong until it has been read `fails` times in a row, then right. */
static struct {
    uint64_t read, chunk, nth, fails;
} flaky;

static void read_flaky(void *ctx, const char *name)
{
    if (++flaky.read == flaky.nth || flaky.read == flaky.nth + flaky.fails)
        flip_chunk(flaky.chunk);
}

/* The nth read of a run on one thread is of a known chunk: the one that the order says. */
static void transient_damage_is_read_again(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_order *order;
    struct sec_perm p;
    struct reference r;
    reference_make(&r, NULL, 0);
    assert_ok(sec_order_new(tokens, SEED, SEQ_LEN, &order));
    sec_order_epoch(order, 0, &p);
    for (uint64_t fails = 1; fails <= 3; fails++) {
        flaky.read = 0;
        flaky.nth = 2;
        flaky.fails = fails;
        flaky.chunk = sec_perm_at(&p, 0) * SEC_ORDER_WINDOW + 1;
        sec_set_stall(read_flaky, NULL);
        if (fails == 3) { /* the third try fails too */
            assert_fails(run_to_failure(&o), SEC_EDATA, "damaged");
            if (flaky.read < 5)
                flip_chunk(flaky.chunk);
            continue;
        }
        struct sec_loader *l = open_loader(&o, NULL);
        const struct sec_batch *b;
        for (uint64_t i = 0, next = 0; i < 100; i++) {
            assert_ok(sec_loader_next(l, &b));
            next = assert_expected(&r, b, next);
        }
        assert_int_equal(sec_loader_substituted(l), 0);
        sec_loader_close(l);
        assert_true(flaky.read >= 2 + fails);
    }
    sec_set_stall(NULL, NULL);
    sec_order_free(order);
    reference_free(&r);
}

/* Runs rank r of a world of `world` through both epochs' worth of steps; the reports go to text. */
static void run_rank(const struct reference *ref, int world, int rank, int steps, bool check,
                     uint64_t *hashes, char *text, size_t size)
{
    enum { TOTAL = 12 };
    struct sec_loader_options o = loader_options();
    uint64_t next, step;
    char *line;
    size_t used = 0;
    o.substitute = true;
    o.world = world;
    o.rank = rank;
    o.threads = 1 + rank % 3;
    o.micro_batches = TOTAL / world;
    struct sec_loader *l = open_loader(&o, NULL);
    for (int i = 0; i < steps * o.micro_batches; i++) {
        const struct sec_batch *b;
        assert_ok(sec_loader_next(l, &b));
        next = b->sample_id[0];
        if (check)
            assert_expected(ref, b, next);
        hashes[i / o.micro_batches * TOTAL + rank * o.micro_batches + i % o.micro_batches] =
            hash_batch(0, b);
        while (sec_loader_damage(l, &step, &line)) {
            assert_int_equal(i % o.micro_batches, o.micro_batches - 1);
            used += (size_t)snprintf(text + used, size - used, "%d %s\n", (int)step, line);
            free(line);
        }
    }
    sec_loader_close(l);
}

/* Chunks in three windows and two shards are gone: all worlds see one sequence, the reference's,
 * and report the same at the same steps. */
static void damage_is_replaced_alike_on_all_ranks(void **state)
{
    enum { STEPS = 650, TOTAL = 12, TEXT = 4096 };
    static const uint64_t bad[] = {2, 3, 17, 18, 19, 30, 33};
    static uint64_t want[STEPS * TOTAL], got[STEPS * TOTAL];
    static const int worlds[] = {2, 3, 4, 6};
    char first[TEXT] = "", other[TEXT];
    struct reference r;
    reference_make(&r, bad, 7);
    assert_true(r.replaced[0] > 1000);
    for (size_t i = 0; i < 7; i++)
        flip_chunk(bad[i]);
    run_rank(&r, 1, 0, STEPS, true, want, first, TEXT);
    assert_non_null(strstr(first, " epoch 0: "));
    assert_non_null(strstr(first, " samples of chunks 16 to 31 replaced: "));
    assert_non_null(strstr(first, "epoch 1: "));
    for (size_t w = 0; w < 4; w++)
        for (int rank = 0; rank < worlds[w]; rank++) {
            other[0] = 0;
            run_rank(&r, worlds[w], rank, STEPS, false, got, other, TEXT);
            assert_string_equal(other, first);
            if (rank == worlds[w] - 1)
                assert_memory_equal(got, want, sizeof want);
        }
    for (size_t i = 0; i < 7; i++)
        flip_chunk(bad[i]);
    reference_free(&r);
}

/* One rank alone cannot read: the other's batches and both states are those of a sound disk. */
static void damage_on_one_rank_moves_no_cut(void **state)
{
    enum { STEPS = 1800 };
    struct sec_loader_options o = loader_options();
    struct sec_loader_state s[2];
    const struct sec_batch *b;
    uint64_t sound[2] = {0}, hurt[2] = {0}, n_seqs[2][2] = {{0}};
    o.substitute = true;
    o.world = 2;
    for (int damaged = 0; damaged < 2; damaged++)
        for (o.rank = 0; o.rank < 2; o.rank++) {
            if (damaged && o.rank == 1)
                flip_chunk(20);
            struct sec_loader *l = open_loader(&o, NULL);
            for (int i = 0; i < STEPS * o.micro_batches; i++) {
                uint64_t *h = damaged ? hurt : sound;
                assert_ok(sec_loader_next(l, &b));
                h[o.rank] = hash_batch(h[o.rank], b);
                n_seqs[damaged][o.rank] += (uint64_t)b->n_seqs;
            }
            sec_loader_state(l, &s[o.rank]);
            assert_true((sec_loader_substituted(l) > 0) == (damaged && o.rank == 1));
            sec_loader_close(l);
            if (o.rank)
                assert_memory_equal(&s[0], &s[1], sizeof *s);
        }
    assert_int_equal(hurt[0], sound[0]);
    assert_int_not_equal(hurt[1], sound[1]);
    assert_memory_equal(n_seqs[0], n_seqs[1], sizeof n_seqs[0]);
    flip_chunk(20);
}

static void window_without_a_good_sample_is_named(void **state)
{
    struct sec_loader_options o = loader_options();
    o.substitute = true;
    for (uint64_t c = 16; c < 33; c++) /* the last sample may reach into chunk 32 */
        flip_chunk(c);
    assert_fails(run_to_failure(&o), SEC_EDATA, "samples of chunks 16 to 31 touch damaged chunks");
    assert_non_null(strstr(sec_error(), "at byte"));
    for (uint64_t c = 16; c < 33; c++)
        flip_chunk(c);
}

/* ---- a shard that shrinks or goes ---- */

static void shrunk_shard_is_named(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_buf whole = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, flip_chunk(14));
    flip_chunk(14);
    assert_ok(sec_read_file(path, &whole));
    for (int substitute = 0; substitute < 2; substitute++) {
        struct sec_loader *l;
        const struct sec_batch *b;
        int rc;
        o.substitute = substitute;
        l = open_loader(&o, NULL);
        assert_ok(sec_loader_next(l, &b));
        assert_int_equal(truncate(path, (off_t)(whole.len / 3)), 0);
        do {
            rc = sec_loader_next(l, &b);
        } while (!rc);
        assert_int_equal(rc, SEC_EDATA);
        assert_true(strstr(sec_error(), "shrank from") || strstr(sec_error(), "truncated"));
        sec_loader_close(l);
        int fd = open(path, O_WRONLY);
        assert_ok(sec_write_all(fd, whole.data, whole.len, path));
        close(fd);
    }
    sec_buf_free(&whole);
}

static void shard_may_go_while_it_is_open(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_tokens *again;
    struct reference r;
    const struct sec_batch *b;
    char path[512], aside[520];
    snprintf(path, sizeof path, "%s/%s", dir, flip_chunk(14));
    snprintf(aside, sizeof aside, "%s.aside", path);
    flip_chunk(14);
    reference_make(&r, NULL, 0);
    struct sec_loader *l = open_loader(&o, NULL);
    assert_int_equal(rename(path, aside), 0);
    for (uint64_t next = 0; next < r.n;) {
        assert_ok(sec_loader_next(l, &b));
        next = assert_expected(&r, b, next);
    }
    sec_loader_close(l);
    assert_fails(sec_tokens_open(dir, SEC_SPLIT_TRAIN, &again), SEC_EDATA, "missing");
    assert_int_equal(rename(aside, path), 0);
    reference_free(&r);
}

/* ---- ranks ---- */

/* One epoch through three ranks, killed in mid-step after a third of it and resumed on four: every
 * sample and so every token once. */
static void epoch_over_ranks_and_a_kill(void **state)
{
    enum { TOTAL = 12 };
    struct reference r;
    struct sec_loader_state at = {0}, end = {0};
    uint64_t samples = 0, n_tokens = 0, one = 0, all = 0;
    reference_make(&r, NULL, 0);
    uint8_t *seen = calloc(r.n, 1);
    assert_non_null(seen);
    for (int part = 0; part < 2; part++) {
        struct sec_loader_options o = loader_options();
        o.world = part ? 4 : 3;
        o.micro_batches = TOTAL / o.world;
        int steps = part ? INT32_MAX : 150;
        for (o.rank = 0; o.rank < o.world; o.rank++) {
            struct sec_loader *l = open_loader(&o, part ? &at : NULL);
            const struct sec_batch *b;
            for (int i = 0; i < steps && (!part || end.epoch == 0); i++) {
                for (int m = 0; m < o.micro_batches; m++) {
                    assert_ok(sec_loader_next(l, &b));
                    assert_expected(&r, b, b->sample_id[0]);
                    for (int s = 0; s < b->n_seqs && b->sample_id[s] < r.n; s++) {
                        assert_int_equal(seen[b->sample_id[s]]++, 0);
                        samples++;
                        n_tokens += (uint64_t)(b->cu_seqlens[s + 1] - b->cu_seqlens[s] - 2);
                    }
                }
                sec_loader_state(l, &end);
            }
            if (!part)
                for (int m = 0; m < o.rank + 1 && m < o.micro_batches; m++)
                    assert_ok(sec_loader_next(l, &b)); /* a step cut short: not in the state */
            sec_loader_state(l, &end);
            one = end.step;
            all = o.rank ? all : one;
            assert_int_equal(one, all);
            if (part)
                end.epoch = 0;
            sec_loader_close(l);
        }
        at = end;
    }
    assert_int_equal(samples, r.n);
    assert_int_equal(n_tokens, sec_tokens_info(tokens)->n_tokens);
    free(seen);
    reference_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hanging_reads_of_4_windows),
        cmocka_unit_test(hanging_reads_of_2_windows),
        cmocka_unit_test(damaged_chunk_stops_the_run),
        cmocka_unit_test(transient_damage_is_read_again),
        cmocka_unit_test(damage_is_replaced_alike_on_all_ranks),
        cmocka_unit_test(damage_on_one_rank_moves_no_cut),
        cmocka_unit_test(window_without_a_good_sample_is_named),
        cmocka_unit_test(shrunk_shard_is_named),
        cmocka_unit_test(shard_may_go_while_it_is_open),
        cmocka_unit_test(epoch_over_ranks_and_a_kill),
    };
    alarm(300); /* a loader that waits for what cannot come ends the test, not the suite */
    return cmocka_run_group_tests(tests, loader_set_up, loader_tear_down);
}
