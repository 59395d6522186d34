/* data/stage.h: every open task runs once, done ones never, failures and stops end the stage and
 * leave the rest for the next run. (Spreading over ranks: tests/cli/test_ranks.sh.) */
#include "testing.h"

#include "data/stage.h"

#include <pthread.h>

enum { N = 100 };

struct job {
    pthread_mutex_t lock;
    int runs[N];
    size_t order[N], started;
    bool done[N];
    size_t fail_at; /* N = none */
    size_t stop_after;
    volatile sig_atomic_t stop;
};

static bool done(void *ctx, size_t task)
{
    return ((struct job *)ctx)->done[task];
}

static int run(void *ctx, size_t task)
{
    struct job *j = ctx;
    int rc = 0;
    pthread_mutex_lock(&j->lock);
    j->runs[task]++;
    j->order[j->started++] = task;
    if (j->started == j->stop_after)
        j->stop = 1;
    if (task == j->fail_at)
        rc = sec_fail(SEC_EDATA, "task %zu is bad", task);
    else
        j->done[task] = true;
    pthread_mutex_unlock(&j->lock);
    return rc;
}

static struct job new_job(void)
{
    return (struct job){.lock = PTHREAD_MUTEX_INITIALIZER, .fail_at = N};
}

static struct sec_stage stage_of(struct job *j, int threads)
{
    return (struct sec_stage){.name = "scan",
                              .n = N,
                              .threads = threads,
                              .stop = &j->stop,
                              .done = done,
                              .run = run,
                              .ctx = j};
}

static void test_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct job j = new_job();
        for (size_t i = 0; i < N; i += 3)
            j.done[i] = true;
        struct sec_stage s = stage_of(&j, threads);
        assert_ok(sec_stage_run(&s));
        for (size_t i = 0; i < N; i++)
            assert_int_equal(j.runs[i], i % 3 != 0);
        assert_ok(sec_stage_run(&s)); /* nothing left */
        assert_int_equal(j.started, N - (N + 2) / 3);
    }
    struct job none = new_job();
    struct sec_stage s = stage_of(&none, 2);
    s.n = 0;
    assert_ok(sec_stage_run(&s));
}

static void test_longest_first(void **state)
{
    (void)state;
    uint64_t cost[N];
    for (size_t i = 0; i < N; i++)
        cost[i] = i * 37 % 50;
    struct job j = new_job();
    struct sec_stage s = stage_of(&j, 1);
    s.cost = cost;
    s.done = NULL;
    assert_ok(sec_stage_run(&s));
    for (size_t i = 1; i < N; i++) {
        size_t a = j.order[i - 1], b = j.order[i];
        assert_true(cost[a] > cost[b] || (cost[a] == cost[b] && a < b));
    }
}

static void test_failure(void **state)
{
    (void)state;
    struct job j = new_job();
    struct sec_stage s = stage_of(&j, 2);
    j.fail_at = 40;
    assert_fails(sec_stage_run(&s), SEC_EDATA, "task 40 is bad");
    assert_true(j.started < N);
    j.fail_at = N;
    assert_ok(sec_stage_run(&s));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(j.runs[i], i == 40 ? 2 : 1);
}

static void test_stop(void **state)
{
    (void)state;
    struct job j = new_job();
    struct sec_stage s = stage_of(&j, 1);
    j.stop_after = 10;
    assert_fails(sec_stage_run(&s), SEC_EINTR, "scan: stopped");
    assert_int_equal(j.started, 10);
    j.stop = 0;
    assert_ok(sec_stage_run(&s));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(j.runs[i], 1);
}

static void test_fault(void **state)
{
    (void)state;
    struct job j = new_job();
    struct sec_stage s = stage_of(&j, 1);
    assert_fails(sec_stage_run(&s), SEC_EFAIL, "scan: cannot start task 6"); /* see main() */
    assert_int_equal(j.started, 6);
    assert_ok(sec_stage_run(&s));
}

int main(void)
{
    setenv("SECENC_FAULT", "stage-scan:7", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault), /* first: it uses the process's one fault */
        cmocka_unit_test(test_once),    cmocka_unit_test(test_longest_first),
        cmocka_unit_test(test_failure), cmocka_unit_test(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
