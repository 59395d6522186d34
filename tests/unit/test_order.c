/* The sample order: permutations, and every token of every document exactly once an epoch. */
#include "loader_fixture.h"

static void permutations_are_bijections(void **state)
{
    static uint8_t seen[5000];
    for (uint64_t n = 1; n < 5000; n = n < 70 ? n + 1 : n * 3) {
        struct sec_perm p;
        memset(seen, 0, sizeof seen);
        sec_perm_init(&p, n, 9, n, 0);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t v = sec_perm_at(&p, i);
            assert_true(v < n && !seen[v]);
            seen[v] = 1;
        }
    }
    struct sec_perm big; /* of more than 2^32: still below n, and not the identity */
    sec_perm_init(&big, UINT64_C(1) << 40, 1, 2, 0);
    int moved = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t v = sec_perm_at(&big, i);
        assert_true(v < UINT64_C(1) << 40);
        moved += v != i;
    }
    assert_true(moved > 990);
}

/* Where the first element goes is uniform over keys (chi-square, 7 degrees of freedom). */
static void permutations_are_uniform(void **state)
{
    double seen[8] = {0}, chi2 = 0;
    for (uint64_t key = 0; key < 8000; key++) {
        struct sec_perm p;
        sec_perm_init(&p, 8, key, 0, 0);
        seen[sec_perm_at(&p, 3)]++;
    }
    for (int i = 0; i < 8; i++)
        chi2 += (seen[i] - 1000) * (seen[i] - 1000) / 1000;
    assert_true(chi2 < 26); /* p = 0.0005 */
}

/* Walk an epoch window by window, as the loader does. Each token is met once; finding a sample from
 * its index gives the same. first[] = first token of each sample. */
static void walk_epoch(const struct sec_loader *l, uint64_t epoch, uint64_t *first)
{
    struct sec_order *order;
    struct sec_perm windows, samples;
    uint64_t n_tokens = sec_tokens_info(tokens)->n_tokens, at = 0, got_first, doc;
    uint8_t *seen = calloc(n_tokens, 1);
    uint32_t len;
    assert_ok(sec_order_new(tokens, SEED, SEQ_LEN, &order));
    struct sec_piece *pieces = malloc(sec_order_largest(order) * sizeof *pieces);
    assert_true(seen && pieces);
    assert_true(sec_order_windows(order) >= 3);
    sec_order_epoch(order, epoch, &windows);
    for (uint64_t r = 0; r < sec_order_windows(order); r++) {
        uint64_t w = sec_perm_at(&windows, r);
        assert_ok(sec_order_pieces(order, w, pieces));
        sec_order_within(order, epoch, w, &samples);
        for (uint32_t i = 0; i < sec_order_window_size(order, w); i++, at++) {
            const struct sec_piece *p = &pieces[sec_perm_at(&samples, i)];
            sec_tokens_doc(tokens, p->doc, &first[at], &len, NULL, NULL);
            assert_true(p->len >= 1 && p->len <= SEQ_LEN - 2 && p->first + p->len <= len);
            first[at] += p->first;
            for (uint32_t k = 0; k < p->len; k++)
                assert_int_equal(seen[first[at] + k]++, 0);
            if (at % 997) /* finding rescans a window: not for each */
                continue;
            assert_ok(sec_order_sample(l, epoch, at, &got_first, &len, &doc));
            assert_true(got_first == first[at] && len == p->len && doc == p->doc);
        }
    }
    assert_int_equal(at, sec_order_samples(l));
    for (uint64_t t = 0; t < n_tokens; t++)
        assert_int_equal(seen[t], 1);
    free(pieces);
    free(seen);
    sec_order_free(order);
}

static void every_token_once_an_epoch(void **state)
{
    struct sec_loader_options o = loader_options();
    struct sec_loader *l = open_loader(&o, NULL);
    uint64_t n = sec_order_samples(l), same = 0, in_place = 0;
    uint64_t *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    assert_true(a && b);
    walk_epoch(l, 0, a);
    walk_epoch(l, 1, b);
    for (uint64_t i = 0; i < n; i++) {
        same += a[i] == b[i];
        in_place += i && a[i] > a[i - 1];
    }
    assert_true(same < n / 1000 + 10);                               /* epochs differ */
    assert_true(in_place > n * 45 / 100 && in_place < n * 55 / 100); /* and are no sorted runs */
    free(a);
    free(b);
    sec_loader_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutations_are_bijections),
        cmocka_unit_test(permutations_are_uniform),
        cmocka_unit_test(every_token_once_an_epoch),
    };
    return cmocka_run_group_tests(tests, loader_set_up, loader_tear_down);
}
