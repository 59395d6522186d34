#include "data/corpus_frames.h"

#include "base/error.h"
#include "base/ranks.h"
#include "data/corpus_near_work.h"
#include "data/docjson.h"
#include "data/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stage {
    struct sec_corpus_work *w;
    struct sec_groups groups;
};

/* A task at work. */
struct packer {
    const struct sec_corpus_work *w;
    const struct sec_groups *groups;
    size_t task;
    struct sec_stores stores; /* reader 0: the task's own documents; 1: keepers */
    struct sec_frame open[SEC_N_FRAME_KINDS];
    struct sec_frames_head head;
    struct sec_buf table; /* entries */
    struct sec_atomic file;
    bool file_open;
};

static const char *source_name(const struct packer *p)
{
    return p->w->in.sources[p->w->tasks[p->task].source].name;
}

static int flush(struct packer *p, int kind)
{
    int rc;
    struct sec_frame *f = &p->open[kind];
    if (kind == SEC_FRAMES_LEDGER ? !f->raw.len : !f->n_docs)
        return 0;
    SEC_TRY(kind == SEC_FRAMES_LEDGER ? sec_frame_compress(f) : sec_frame_pack(f));
    struct sec_frames_entry e = {.at = p->file.written,
                                 .xxh3 = sec_hash64(f->packed.data, f->packed.len, 0),
                                 .bytes_text = f->text.len,
                                 .kind = (uint32_t)kind,
                                 .packed = (uint32_t)f->packed.len,
                                 .raw = (uint32_t)f->raw.len,
                                 .documents = (uint32_t)f->n_docs,
                                 .records = f->records};
    SEC_TRY(sec_atomic_write(&p->file, f->packed.data, f->packed.len));
    SEC_TRY(sec_buf_add(&p->table, &e, sizeof e));
    p->head.n++;
    rc = sec_frame_reset(f, f->source);
fail:
    return rc;
}

/* A line of the ledger for a document that goes. */
static int ledger_line(struct packer *p, const struct sec_docrow *row, const uint64_t *gone)
{
    int rc;
    struct sec_docrow keeper;
    struct sec_buf *out = &p->open[SEC_FRAMES_LEDGER].raw;
    const char *source = source_name(p), *path = p->w->in.v[row->input].path;
    char id[32];
    SEC_TRY(sec_stores_get(&p->stores, gone[SEC_GONE_KEEPER], 1, &keeper, NULL));
    sec_h128_hex(keeper.id, id);
    SEC_TRY(sec_buf_printf(
        out, "{\"reason\":\"%s\",\"source\":", sec_reason_names[gone[SEC_GONE_REASON]]));
    SEC_TRY(sec_docjson_quote(out, source, strlen(source)));
    SEC_TRY(sec_buf_adds(out, ",\"file\":"));
    SEC_TRY(sec_docjson_quote(out, path, strlen(path)));
    SEC_TRY(sec_buf_printf(out,
                           ",\"line\":%" PRIu64 ",\"records\":%" PRIu32 ",\"keeper\":\"%.16s\"",
                           row->line, row->records, id));
    if (gone[SEC_GONE_REASON] != SEC_DROP_DOCUMENT)
        SEC_TRY(
            sec_buf_printf(out, ",\"similarity\":%.4f", sec_of_bits(gone[SEC_GONE_SIMILARITY])));
    SEC_TRY(sec_buf_adds(out, "}\n"));
    if (out->len >= SEC_FRAME_TEXT)
        rc = flush(p, SEC_FRAMES_LEDGER);
fail:
    return rc;
}

static int drop(struct packer *p, uint64_t i, const uint64_t *gone)
{
    int rc;
    struct sec_docrow row;
    SEC_TRY(sec_stores_get(&p->stores, sec_doc_key(p->task, i), 0, &row, NULL));
    struct sec_amount *a = &p->head.gone[gone[SEC_GONE_REASON] - SEC_DROP_DOCUMENT];
    a->documents++;
    a->records += row.records;
    a->bytes += row.len;
    if (p->w->o->ledger)
        rc = ledger_line(p, &row, gone);
fail:
    return rc;
}

static int keep(struct packer *p, uint64_t i)
{
    int rc;
    struct sec_docrow row;
    const char *text;
    SEC_TRY(sec_stores_get(&p->stores, sec_doc_key(p->task, i), 0, &row, &text));
    int split = (int)sec_corpus_split(p->w, p->task, row.cluster);
    struct sec_doc doc = {row.id, source_name(p), text, row.len, row.records};
    SEC_TRY(sec_frame_add(&p->open[split], &doc));
    if (sec_frame_full(&p->open[split]))
        rc = flush(p, split);
fail:
    return rc;
}

/* What goes comes in document order. */
static int pack_documents(struct packer *p, struct sec_part_stream *gone)
{
    int rc;
    const uint64_t *g = NULL;
    int end = sec_part_next(gone, &g);
    for (uint64_t i = 0; i < p->w->sums[p->task].documents; i++) {
        if (end < 0)
            return end;
        if (end || g[SEC_GONE_DOCUMENT] != sec_doc_key(p->task, i)) {
            SEC_TRY(keep(p, i));
            continue;
        }
        SEC_TRY(drop(p, i, g));
        end = sec_part_next(gone, &g);
    }
    rc = end < 0 ? end : 0;
    for (int k = 0; k < SEC_N_FRAME_KINDS && !rc; k++)
        rc = flush(p, k);
fail:
    return rc;
}

static int open_gone(const struct packer *p, struct sec_part_stream **out)
{
    int rc;
    size_t group = p->groups->of[p->task];
    struct sec_list file = {0};
    char *path = sec_work_path(p->w, "gone", group, "part");
    rc = path ? sec_list_add(&file, path) : SEC_ENOMEM;
    if (!rc)
        rc = sec_part_open(&file, p->task - p->groups->first[group], SEC_GONE_WORDS,
                           p->w->task_memory / 4, p->w->dir, out);
    sec_list_free(&file);
    free(path);
    return rc;
}

/* The table is sealed last. */
static int seal(struct packer *p, const char *table_path)
{
    int rc;
    struct sec_buf sealed = {0};
    p->file_open = false;
    SEC_TRY(sec_atomic_commit_unsynced(&p->file));
    SEC_TRY(sec_buf_add(&sealed, &p->head, sizeof p->head));
    if (p->table.len)
        SEC_TRY(sec_buf_add(&sealed, p->table.data, p->table.len));
    rc = sec_sealed_write(table_path, sealed.data, sealed.len);
fail:
    sec_buf_free(&sealed);
    return rc;
}

static int run(void *ctx, size_t task)
{
    int rc = SEC_ENOMEM;
    const struct stage *st = ctx;
    struct packer p = {.w = st->w, .groups = &st->groups, .task = task};
    struct sec_part_stream *gone = NULL;
    char *path = sec_work_path(p.w, "frames", task, "zst"),
         *table = sec_work_path(p.w, "frames", task, "table");
    sec_stores_init(&p.stores, p.w);
    if (!path || !table)
        goto fail;
    for (int k = 0; k < SEC_N_FRAME_KINDS; k++)
        SEC_TRY(sec_frame_reset(&p.open[k], source_name(&p)));
    SEC_TRY(open_gone(&p, &gone));
    SEC_TRY(sec_atomic_open(&p.file, path));
    p.file_open = true;
    SEC_TRY(pack_documents(&p, gone));
    rc = seal(&p, table);
fail:
    if (p.file_open)
        sec_atomic_abort(&p.file);
    sec_part_close(gone);
    sec_stores_free(&p.stores);
    for (int k = 0; k < SEC_N_FRAME_KINDS; k++)
        sec_frame_free(&p.open[k]);
    sec_buf_free(&p.table);
    free(path);
    free(table);
    return rc;
}

static bool have(const struct sec_corpus_work *w, size_t task, const char *suffix)
{
    char *path = sec_work_path(w, "frames", task, suffix);
    bool yes = path && sec_exists(path);
    free(path);
    return yes;
}

static bool done(void *ctx, size_t task)
{
    const struct stage *st = ctx;
    return have(st->w, task, "zst") && have(st->w, task, "table");
}

int sec_corpus_frames(struct sec_corpus_work *w)
{
    int rc;
    struct stage st = {.w = w};
    uint64_t *cost = calloc(w->n_tasks + 1, sizeof *cost);
    rc = cost ? sec_work_stage_dir(w, "frames")
              : sec_fail(SEC_ENOMEM, "out of memory for %zu tasks", w->n_tasks);
    if (!rc)
        rc = sec_groups_make(w, &st.groups);
    rc = sec_ranks_agree(rc);
    if (!rc) {
        for (size_t t = 0; t < w->n_tasks; t++)
            cost[t] = w->sums[t].bytes_documents;
        struct sec_stage s = {"frames", w->n_tasks, cost, w->threads, w->o->stop, done, run, &st};
        rc = sec_stage_run(&s);
    }
    sec_groups_free(&st.groups);
    free(cost);
    return rc;
}

int sec_frames_load(const struct sec_corpus_work *w, size_t task, struct sec_frames *out)
{
    int rc;
    struct sec_buf sealed = {0};
    memset(out, 0, sizeof *out);
    char *path = sec_work_path(w, "frames", task, "table");
    if (!path)
        return SEC_ENOMEM;
    SEC_TRY(sec_sealed_read(path, &sealed));
    if (sealed.len >= sizeof out->head)
        memcpy(&out->head, sealed.data, sizeof out->head);
    if (sealed.len != sizeof out->head + out->head.n * sizeof *out->v) {
        sec_set_aside(path);
        rc = sec_fail(SEC_EDATA, "%s is damaged (its length); run the same command again", path);
        goto fail;
    }
    out->v = malloc((size_t)out->head.n * sizeof *out->v + 1);
    if (!out->v)
        rc = sec_fail(SEC_ENOMEM, "out of memory for %" PRIu64 " frames", out->head.n);
    else
        memcpy(out->v, sealed.data + sizeof out->head, (size_t)out->head.n * sizeof *out->v);
fail:
    sec_buf_free(&sealed);
    free(path);
    return rc;
}

void sec_frames_free(struct sec_frames *f)
{
    free(f->v);
    f->v = NULL;
}

int sec_frames_read(const struct sec_corpus_work *w, size_t task, const struct sec_frames_entry *e,
                    struct sec_buf *out)
{
    int rc = SEC_ENOMEM, fd = -1;
    char *path = sec_work_path(w, "frames", task, "zst"),
         *table = sec_work_path(w, "frames", task, "table");
    if (!path || !table)
        goto fail;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rc = sec_fail_errno(errno, "cannot open %s", path);
        goto fail;
    }
    sec_buf_clear(out);
    SEC_TRY(sec_buf_reserve(out, e->packed + 1));
    rc = sec_pread_full(fd, out->data, e->packed, e->at, path);
    out->len = e->packed;
    if (!rc && sec_hash64(out->data, out->len, 0) != e->xxh3)
        rc = sec_fail(SEC_EDATA,
                      "%s is damaged in the frame at byte %" PRIu64
                      "; run the same command again, it is made anew",
                      path, e->at);
    if (rc == SEC_EDATA) {
        sec_set_aside(path);
        sec_set_aside(table);
    }
fail:
    if (fd >= 0)
        close(fd);
    free(path);
    free(table);
    return rc;
}
