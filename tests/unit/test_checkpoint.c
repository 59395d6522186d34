/* Checkpoints: round trip, every byte of the manifest and a sample of the data file damaged, disk
 * full and kills at every write, fallback, retention, comparison. */
#include "model/checkpoint.h"
#include "model/compare.h"
#include "model/hf.h"
#include "model/open.h"
#include "model_fixture.h"
#include "testing.h"

#include "base/log.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct rig {
    char *root; /* a run directory; checkpoints are in root/ckpt */
    char *ckpt;
    struct sec_model_config c;
    struct sec_params p;
    float *arena[3];
};

static const char *const names[3] = {"param", "adam_m", "adam_v"};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    r->root = scratch_dir();
    r->ckpt = sec_path_join(r->root, "ckpt");
    assert_ok(sec_mkdir_p(r->ckpt));
    r->c = fix_config(3, 512, 0.1);
    assert_ok(sec_params_build(&r->c, SEC_HEAD_MLM, 0, &r->p));
    for (int a = 0; a < 3; a++) {
        r->arena[a] = calloc((size_t)r->p.total, sizeof(float));
        for (int i = 0; i < r->p.n; i++)
            for (int64_t j = 0; j < r->p.v[i].count; j++)
                r->arena[a][r->p.v[i].offset + j] = (float)sec_rand_normal(
                    (uint64_t)a, SEC_STREAM_SAMPLE, (uint64_t)(r->p.v[i].offset + j));
    }
    sec_set_quiet(true);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    scratch_free(r->root);
    free(r->ckpt);
    for (int a = 0; a < 3; a++)
        free(r->arena[a]);
    sec_params_free(&r->p);
    free(r);
    return 0;
}

static int save(struct rig *r, int64_t step)
{
    struct sec_ckpt_info info = {.step = step, .config = r->c, .heads = SEC_HEAD_MLM};
    struct sec_ckpt_arena a[3];
    for (int i = 0; i < 3; i++)
        a[i] = (struct sec_ckpt_arena){names[i], r->arena[i]};
    snprintf(info.tokenizer_fingerprint, sizeof info.tokenizer_fingerprint, "f00d");
    info.state = cJSON_CreateObject();
    cJSON_AddNumberToObject(info.state, "tokens", 12345678901.0);
    cJSON_AddStringToObject(info.state, "note", "a \"quoted\"\nline");
    int rc = sec_ckpt_save(r->ckpt, &info, &r->p, a, 3);
    cJSON_Delete(info.state);
    return rc;
}

static char *step_dir(struct rig *r, int step)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/step-%d", r->ckpt, step);
    return path;
}

static void assert_found(struct rig *r, int step)
{
    char *dir;
    assert_ok(sec_ckpt_find(r->ckpt, &dir));
    assert_string_equal(dir, step_dir(r, step));
    free(dir);
}

static void test_round_trip(void **state)
{
    struct rig *r = *state;
    struct sec_ckpt_info info;
    float *back[2];
    assert_ok(save(r, 7));
    assert_ok(sec_ckpt_verify(step_dir(r, 7)));
    assert_ok(sec_ckpt_read_info(step_dir(r, 7), &info));
    assert_int_equal(info.step, 7);
    assert_int_equal(info.heads, SEC_HEAD_MLM);
    assert_memory_equal(&info.config, &r->c, sizeof r->c);
    assert_string_equal(info.tokenizer_fingerprint, "f00d");
    assert_true(cJSON_GetObjectItem(info.state, "tokens")->valuedouble == 12345678901.0);
    assert_string_equal(cJSON_GetObjectItem(info.state, "note")->valuestring, "a \"quoted\"\nline");
    sec_ckpt_info_free(&info);
    for (int i = 0; i < 2; i++)
        back[i] = calloc((size_t)r->p.total, sizeof(float));
    struct sec_ckpt_arena a[2] = {{"adam_v", back[0]}, {"param", back[1]}};
    assert_ok(sec_ckpt_read(step_dir(r, 7), &r->p, a, 2));
    assert_memory_equal(back[0], r->arena[2], (size_t)r->p.total * sizeof(float));
    assert_memory_equal(back[1], r->arena[0], (size_t)r->p.total * sizeof(float));
    a[0].name = "other";
    assert_fails(sec_ckpt_read(step_dir(r, 7), &r->p, a, 2), SEC_EDATA, "of the");
    assert_true(sec_ckpt_has(step_dir(r, 7), "adam_m") && !sec_ckpt_has(step_dir(r, 7), "adam_x"));
    for (int i = 0; i < 2; i++)
        free(back[i]);
}

/* Flip one bit of a byte; returns the old content through data for putting back. */
static void flip(const char *path, struct sec_buf *data, size_t at, int bit)
{
    data->data[at] = (char)(data->data[at] ^ 1 << bit);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(data->data[at], f), (unsigned char)data->data[at]);
    assert_int_equal(fclose(f), 0);
}

static void test_damage(void **state)
{
    struct rig *r = *state;
    struct sec_buf text = {0}, data = {0};
    assert_ok(save(r, 1));
    char *manifest = sec_path_join(step_dir(r, 1), "manifest.json");
    char *file = sec_path_join(step_dir(r, 1), "rank-0.h5");
    assert_ok(sec_read_file(manifest, &text));
    assert_ok(sec_read_file(file, &data));
    for (size_t at = 0; at < text.len; at += at + 40 < text.len ? 37 : 1) {
        int bit = (int)(at % 5); /* not 0x20, which is the case of a hexadecimal digit */
        flip(manifest, &text, at, bit);
        struct sec_ckpt_info info;
        assert_int_equal(sec_ckpt_read_info(step_dir(r, 1), &info), SEC_EDATA);
        flip(manifest, &text, at, bit);
    }
    /* Any flipped bit of a tensor's values is found, and the tensor is named. */
    const float *w = r->arena[1] + r->p.layer[1].w1;
    char *value = memmem(data.data, data.len, w, 64);
    assert_non_null(value);
    for (size_t i = 0; i < 64; i += 7) {
        flip(file, &data, (size_t)(value - data.data) + i, (int)(i % 8));
        assert_fails(sec_ckpt_verify(step_dir(r, 1)), SEC_EDATA,
                     "adam_m/deberta.encoder.layer.1.intermediate.dense.weight is damaged");
        flip(file, &data, (size_t)(value - data.data) + i, (int)(i % 8));
    }
    assert_ok(sec_ckpt_verify(step_dir(r, 1)));
    assert_int_equal(truncate(file, (off_t)data.len - 1), 0);
    assert_fails(sec_ckpt_verify(step_dir(r, 1)), SEC_EDATA, "expected");
    assert_int_equal(remove(file), 0);
    assert_fails(sec_ckpt_verify(step_dir(r, 1)), SEC_EDATA, "missing");
    assert_ok(sec_write_file(manifest, "{}", 2));
    assert_fails(sec_ckpt_verify(step_dir(r, 1)), SEC_EDATA, "not a checkpoint manifest");
    sec_buf_free(&text);
    sec_buf_free(&data);
    free(manifest);
    free(file);
}

static void test_fallback_and_retention(void **state)
{
    struct rig *r = *state;
    char *dir, path[600];
    int64_t pinned[] = {2};
    assert_fails(sec_ckpt_find(r->ckpt, &dir), SEC_EDATA, "no checkpoint yet");
    for (int step = 1; step <= 10; step++)
        assert_ok(save(r, step));
    assert_found(r, 10); /* by number, not by name */
    snprintf(path, sizeof path, "%s/rank-0.h5", step_dir(r, 10));
    assert_int_equal(truncate(path, 100), 0);
    assert_found(r, 9);
    snprintf(path, sizeof path, "%s/step-11.tmp-1", r->ckpt);
    assert_ok(sec_mkdir_p(path));
    snprintf(path, sizeof path, "%s/step-7x", r->ckpt);
    assert_ok(sec_mkdir_p(path));
    assert_found(r, 9);
    assert_ok(sec_ckpt_retain(r->ckpt, 2, pinned, 1));
    assert_found(r, 9);
    struct sec_list l = {0};
    assert_ok(sec_list_dir(r->ckpt, &l));
    /* the damaged newest, two whole ones, the pinned one, and what is none of ours */
    static const char *const left[] = {"LATEST",  "step-10", "step-2",
                                       "step-7x", "step-8",  "step-9"};
    assert_int_equal(l.n, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(l.v[i], left[i]);
    sec_list_free(&l);
    assert_ok(save(r, 10)); /* the damaged one is replaced */
    assert_found(r, 10);
}

/* In a child, since fault points are read once a process. Returns its exit status. */
static int save_with_fault(struct rig *r, const char *fault, int64_t step)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("SECENC_FAULT", fault, 1);
        _exit(save(r, step) ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void test_faults(void **state)
{
    static const char *const points[] = {"write",         "fsync",       "rename",
                                         "ckpt-manifest", "ckpt-rename", "ckpt-latest"};
    struct rig *r = *state;
    char fault[64], old[512];
    assert_ok(save(r, 1));
    for (size_t p = 0; p < sizeof points / sizeof points[0]; p++) {
        for (int kill = 0; kill < 2; kill++) {
            bool wide = !strcmp(points[p], "write");
            for (int k = 1;; k += wide && k > 3 ? 25 : 1) {
                snprintf(fault, sizeof fault, "%s:%d%s", points[p], k, kill ? ":kill" : "");
                int status = save_with_fault(r, fault, 2);
                char *dir;
                assert_ok(sec_ckpt_find(r->ckpt, &dir)); /* step 1 at least, always whole */
                bool second = strstr(dir, "step-2") != NULL;
                free(dir);
                if (status == 0)
                    assert_true(second);
                if (!second && !kill) {
                    struct sec_list l = {0}; /* a failed save leaves nothing of its own */
                    assert_ok(sec_list_dir(r->ckpt, &l));
                    for (size_t i = 0; i < l.n; i++)
                        assert_null(strstr(l.v[i], "step-2"));
                    sec_list_free(&l);
                }
                snprintf(old, sizeof old, "%s", step_dir(r, 2));
                assert_ok(sec_remove_tree(old));
                assert_ok(sec_ckpt_retain(r->ckpt, 3, NULL, 0)); /* left-overs of the killed */
                if (status == 0)
                    break; /* the k-th call is beyond what a save makes */
            }
        }
    }
    assert_found(r, 1);
}

/* HDF5's own writes fail too, wherever the disk ends: the limit on file size stands in for it. */
static void test_disk_full(void **state)
{
    struct rig *r = *state;
    assert_ok(save(r, 1));
    for (rlim_t limit = 0; limit < (rlim_t)1 << 20; limit += 9973) {
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit l = {limit, limit};
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &l);
            int rc = save(r, 2);
            _exit(rc == SEC_EFAIL && *sec_error() ? 1 : rc ? 2 : 0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        assert_found(r, WEXITSTATUS(status) ? 1 : 2);
        assert_true(WEXITSTATUS(status) || limit > 100000);
        if (WEXITSTATUS(status) == 0)
            return;
        assert_false(sec_exists(step_dir(r, 2)));
    }
    fail_msg("a megabyte was not enough");
}

static void test_open_and_compare(void **state)
{
    struct rig *r = *state;
    struct sec_model_diff d;
    struct sec_opened o;
    char first[512], *exported = sec_path_join(r->root, "hf");
    assert_ok(save(r, 1));
    snprintf(first, sizeof first, "%s", step_dir(r, 1));
    r->arena[1][r->p.layer[0].o_w + 3] += 0.5f;
    assert_ok(save(r, 2));
    assert_ok(sec_model_open(r->root, &o));
    assert_int_equal(o.step, 2);
    assert_memory_equal(o.master, r->arena[0], (size_t)r->p.total * sizeof(float));
    assert_ok(sec_hf_export(&o.config, &o.params, o.master, NULL, NULL, "float32", exported));
    sec_opened_free(&o);
    assert_ok(sec_model_compare(first, first, &d));
    assert_true(d.n == 3 * (size_t)r->p.n && !d.n_diff);
    sec_model_diff_free(&d);
    assert_ok(sec_model_compare(first, r->root, &d));
    assert_int_equal(d.n_diff, 1);
    for (size_t i = 0; i < d.n; i++) {
        bool this =
            !strcmp(d.v[i].name, "adam_m/deberta.encoder.layer.0.attention.output.dense.weight");
        assert_int_equal(d.v[i].n_diff, this);
        assert_true(this ? fabs(d.v[i].max_abs - 0.5) < 1e-6 : d.v[i].max_abs == 0);
    }
    sec_model_diff_free(&d);
    assert_ok(sec_model_compare(exported, first, &d)); /* row 0 is row 1 in an export */
    assert_true(d.n == (size_t)r->p.n && !d.n_diff);
    sec_model_diff_free(&d);
    assert_fails(sec_model_open("/no/such/place", &o), SEC_EFAIL, "no such folder");
    assert_fails(sec_model_open(r->ckpt, &o), SEC_EDATA, "not a model");
    free(exported);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fallback_and_retention, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_and_compare, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
