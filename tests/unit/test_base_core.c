/* base/error.h, base/mem.h, base/thread.h, base/cpu.h. */
#include "testing.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static void test_error_chain(void **state)
{
    assert_int_equal(sec_fail(SEC_EDATA, "%s:%d: bad\nline", "a.log", 7), SEC_EDATA);
    assert_string_equal(sec_error(), "a.log:7: bad line");
    assert_int_equal(sec_fail_at(SEC_EDATA, "corpus build"), SEC_EDATA);
    assert_string_equal(sec_error(), "corpus build: a.log:7: bad line");
    assert_int_equal(sec_fail(SEC_EFAIL, "again: %s", sec_error()), SEC_EFAIL);
    assert_string_equal(sec_error(), "again: corpus build: a.log:7: bad line");
    assert_int_equal(sec_fail_errno(ENOSPC, "x"), SEC_EFAIL);
    assert_string_equal(sec_error(), "x: No space left on device");
    assert_int_equal(sec_fail_errno(ENOMEM, "x"), SEC_ENOMEM);
    char *taken = sec_error_take();
    assert_string_equal(sec_error(), "");
    assert_int_equal(sec_error_put(SEC_EFAIL, taken), SEC_EFAIL);
    assert_string_equal(sec_error(), "x: Cannot allocate memory");
    char *long_text = sec_xmalloc(10001);
    memset(long_text, 'y', 10000);
    long_text[10000] = 0;
    sec_fail(SEC_EFAIL, "%s", long_text);
    sec_fail_at(SEC_EFAIL, "%s", long_text);
    assert_true(strlen(sec_error()) > 1000);
    free(long_text);
    sec_error_clear();
}

static void test_exit_codes(void **state)
{
    static const int codes[][2] = {{SEC_OK, 0},      {SEC_EFAIL, 1},      {SEC_EUSAGE, 2},
                                   {SEC_EDATA, 3},   {SEC_ECONFIG, 3},    {SEC_ENOMEM, 4},
                                   {SEC_EDEVICE, 4}, {SEC_EDIVERGED, 5},  {SEC_EPREEMPT, 75},
                                   {SEC_EHANG, 76},  {SEC_EDISAGREE, 77}, {SEC_EINTR, 130}};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_int_equal(sec_exit_code(codes[i][0]), codes[i][1]);
}

static void test_arena(void **state)
{
    struct sec_arena a;
    sec_arena_init(&a, 4096);
    for (int round = 0; round < 3; round++) {
        char *blocks[300];
        for (int i = 0; i < 300; i++) {
            size_t size = (size_t)(i * 37 % 1500);
            blocks[i] = sec_arena_alloc(&a, size);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 64, 0);
            memset(blocks[i], i & 0xFF, size);
        }
        for (int i = 0; i < 300; i++)
            for (int k = 0; k < i * 37 % 1500; k++)
                assert_int_equal((unsigned char)blocks[i][k], i & 0xFF);
        static size_t reserved;
        if (round)
            assert_int_equal(a.reserved, reserved); /* a reset arena asks for nothing new */
        reserved = a.reserved;
        sec_arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    char *big = sec_arena_zalloc(&a, 100000);
    assert_non_null(big);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(big[i], 0);
    assert_string_equal(sec_arena_strdup(&a, "abcdef", 3), "abc");
    assert_null(sec_arena_alloc(&a, SIZE_MAX));
    assert_true(strstr(sec_error(), "cannot allocate") != NULL);
    sec_arena_free(&a);
}

static void test_buffer(void **state)
{
    struct sec_buf b = {0};
    for (int i = 0; i < 1000; i++) {
        assert_ok(sec_buf_printf(&b, "%d,", i));
        assert_ok(sec_buf_addc(&b, 'x'));
        assert_int_equal(b.data[b.len], 0);
    }
    assert_memory_equal(b.data, "0,x1,x2,x", 9);
    assert_int_equal(b.len, 2890 + 2000);
    sec_buf_clear(&b);
    assert_ok(sec_buf_adds(&b, ""));
    assert_string_equal(b.data, "");
    sec_buf_free(&b);
    void *p = sec_alloc_aligned((size_t)9 << 20);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    sec_free_aligned(p);
    assert_true(sec_total_memory() > sec_peak_rss() && sec_peak_rss() > 0);
}

static atomic_int times[1000];

static int count_item(void *ctx, size_t i)
{
    atomic_fetch_add(&times[i], 1);
    return 0;
}

static int fail_item(void *ctx, size_t i)
{
    return i % 100 == 37 ? sec_fail(SEC_EDATA, "item %zu", i) : 0;
}

static void test_parallel_for(void **state)
{
    for (int threads = 1; threads <= 7; threads += 3) {
        for (int i = 0; i < 1000; i++)
            atomic_store(&times[i], 0);
        assert_ok(sec_parallel_for(1000, threads, count_item, NULL));
        for (int i = 0; i < 1000; i++)
            assert_int_equal(atomic_load(&times[i]), 1);
        for (int round = 0; round < 20; round++)
            assert_fails(sec_parallel_for(1000, threads, fail_item, NULL), SEC_EDATA, "item 37");
    }
    assert_ok(sec_parallel_for(0, 4, fail_item, NULL));
    assert_true(sec_cpu_count() >= 1);
    sec_set_threads(3);
    assert_int_equal(sec_threads(), 3);
}

enum { ITEMS = 20000, SIDES = 4 };
static struct sec_queue *queue;
static atomic_ullong total, taken;

static void *produce(void *arg)
{
    for (uintptr_t i = 1; i <= ITEMS; i++)
        if (sec_queue_push(queue, (void *)i))
            return arg;
    return NULL;
}

static void *consume(void *arg)
{
    void *item;
    while (!sec_queue_pop(queue, &item)) {
        atomic_fetch_add(&total, (uintptr_t)item);
        atomic_fetch_add(&taken, 1);
    }
    return NULL;
}

static void test_queue(void **state)
{
    pthread_t producers[SIDES], consumers[SIDES];
    void *item;
    queue = sec_queue_new(3);
    assert_non_null(queue);
    for (int i = 0; i < SIDES; i++) {
        assert_int_equal(pthread_create(&producers[i], NULL, produce, NULL), 0);
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, NULL), 0);
    }
    for (int i = 0; i < SIDES; i++)
        pthread_join(producers[i], NULL);
    sec_queue_close(queue);
    for (int i = 0; i < SIDES; i++)
        pthread_join(consumers[i], NULL);
    assert_int_equal(atomic_load(&taken), SIDES * ITEMS);
    assert_int_equal(atomic_load(&total), (unsigned long long)SIDES * ITEMS * (ITEMS + 1) / 2);
    assert_int_equal(sec_queue_push(queue, queue), 1);
    assert_int_equal(sec_queue_pop(queue, &item), 1);
    sec_queue_free(queue);

    queue = sec_queue_new(8); /* what was in when it closed still comes out, in order */
    for (uintptr_t i = 1; i <= 3; i++)
        assert_int_equal(sec_queue_push(queue, (void *)i), 0);
    sec_queue_close(queue);
    for (uintptr_t i = 1; i <= 3; i++) {
        assert_int_equal(sec_queue_pop(queue, &item), 0);
        assert_int_equal((uintptr_t)item, i);
    }
    assert_int_equal(sec_queue_pop(queue, &item), 1);
    sec_queue_free(queue);
    assert_null(sec_queue_new(SIZE_MAX));
}

static void test_cpu(void **state)
{
    assert_true(sec_cpu_isa() <= sec_cpu_isa_detected());
    assert_int_equal(sec_cpu_isa(), SEC_ISA_PORTABLE); /* main() asked for it */
    assert_string_equal(sec_isa_name(SEC_ISA_AVX512BF16), "avx512bf16");
    assert_true(strlen(sec_cpu_model()) > 0);
}

int main(void)
{
    setenv("SECENC_ISA", "portable", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_chain),  cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_arena),        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_parallel_for), cmocka_unit_test(test_queue),
        cmocka_unit_test(test_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
