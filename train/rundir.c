#include "train/rundir.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/thread.h"
#include "base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int sec_rundir_open(const char *path, struct sec_rundir *r)
{
    int rc;
    char *lock = NULL;
    *r = (struct sec_rundir){.lock_fd = -1};
    r->path = sec_xstrdup(path);
    r->ckpt = sec_path_join(path, "ckpt");
    r->tokenizer = sec_path_join(path, "tokenizer");
    r->tb = sec_path_join(path, "tb");
    r->metrics = sec_path_join(path, "metrics.jsonl");
    r->events = sec_path_join(path, "events.jsonl");
    r->prom = sec_path_join(path, "metrics.prom");
    r->report = sec_path_join(path, "report.html");
    SEC_TRY(sec_mkdir_p(r->ckpt));
    SEC_TRY(sec_mkdir_p(r->tb));
    lock = sec_path_join(path, "LOCK");
    rc = sec_lock_file(lock, &r->lock_fd);
    if (rc) {
        rc = sec_fail_at(rc, "run directory %s is in use (choose another --run, or wait)", path);
        goto fail;
    }
    free(lock);
    return 0;
fail:
    free(lock);
    sec_rundir_close(r);
    return rc;
}

void sec_rundir_close(struct sec_rundir *r)
{
    if (r->lock_fd >= 0)
        sec_unlock_file(r->lock_fd);
    free(r->path);
    free(r->ckpt);
    free(r->tokenizer);
    free(r->tb);
    free(r->metrics);
    free(r->events);
    free(r->prom);
    free(r->report);
    *r = (struct sec_rundir){.lock_fd = -1};
}

static int write_in(const struct sec_rundir *r, const char *name, const struct sec_buf *b)
{
    char *path = sec_path_join(r->path, name);
    int rc = sec_write_file(path, b->data, b->len);
    free(path);
    return rc;
}

int sec_rundir_describe(const struct sec_rundir *r, const struct sec_train_config *c,
                        const char *data_dir, const char *backend)
{
    int rc;
    char host[256] = "";
    struct sec_buf b = {0};
    struct sec_jw w;
    SEC_TRY(sec_config_dump(sec_train_schema, c, &b));
    SEC_TRY(write_in(r, "config.yaml", &b));
    sec_buf_clear(&b);
    gethostname(host, sizeof host - 1);
    sec_jw_init(&w, &b, true);
    sec_jw_obj(&w);
    sec_jw_kstr(&w, "version", SEC_VERSION);
    sec_jw_kstr(&w, "host", host);
    sec_jw_kstr(&w, "cpu", sec_cpu_model());
    sec_jw_kstr(&w, "isa", sec_isa_name(sec_cpu_isa()));
    sec_jw_kstr(&w, "backend", backend);
    sec_jw_ki64(&w, "threads", sec_threads());
    sec_jw_ki64(&w, "memory_bytes", (int64_t)sec_total_memory());
    sec_jw_kstr(&w, "data", data_dir);
    sec_jw_ki64(&w, "pid", (int64_t)getpid());
    sec_jw_ki64(&w, "started", (int64_t)time(NULL));
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(sec_buf_addc(&b, '\n'));
    SEC_TRY(write_in(r, "env.json", &b));
fail:
    sec_buf_free(&b);
    return rc;
}

int sec_rundir_event(const struct sec_rundir *r, const char *kind, int64_t step, const char *detail)
{
    int rc, fd = -1;
    struct sec_buf b = {0};
    struct sec_jw w;
    sec_jw_init(&w, &b, false);
    sec_jw_obj(&w);
    sec_jw_ki64(&w, "time", (int64_t)time(NULL));
    sec_jw_kstr(&w, "event", kind);
    sec_jw_ki64(&w, "step", step);
    sec_jw_kstr(&w, "detail", detail);
    sec_jw_obj_end(&w);
    SEC_TRY(sec_jw_end(&w));
    SEC_TRY(sec_buf_addc(&b, '\n'));
    fd = open(r->events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) {
        rc = sec_fail_errno(errno, "cannot append to %s", r->events);
        goto fail;
    }
    rc = sec_write_all(fd, b.data, b.len, r->events);
fail:
    if (fd >= 0)
        close(fd);
    sec_buf_free(&b);
    return rc;
}
