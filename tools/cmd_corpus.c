/* secenc corpus build | stats | sample */
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/str.h"
#include "data/corpus.h"
#include "tools/commands.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct build_opts {
    char *out, *source, *dedup, *split;
    struct sec_list exclude;
    int format, source_from;
    int64_t template_cap, seed;
    uint64_t doc_bytes, max_record, shard_bytes, memory;
    bool force, ledger, json;
};
#define AT(field) offsetof(struct build_opts, field)

static const struct sec_opt build_options[] = {
    {"out", 'o', SEC_T_STRING, false, AT(out), NULL, 0, 0, NULL, "DIR", "the corpus to make"},
    {"format", 0, SEC_T_ENUM, false, AT(format), "auto", 0, 0, SEC_FORMAT_CHOICES, "FORMAT",
     "of the records; auto = by each file's first bytes"},
    {"source-from", 0, SEC_T_ENUM, false, AT(source_from), "path", 0, 0, "path|dir", "RULE",
     "name of a file's source: its base name without endings, or its folder's name"},
    {"source", 0, SEC_T_STRING, false, AT(source), NULL, 0, 0, NULL, "NAME",
     "one source name for everything"},
    {"exclude", 0, SEC_T_STRING, true, AT(exclude), NULL, 0, 0, NULL, "GLOB",
     "leave out files of folders by base name; may be given several times"},
    {"dedup", 0, SEC_T_STRING, false, AT(dedup), "exact", 0, 0, NULL, "LIST",
     "stages, of exact,template; or none"},
    {"template-cap", 0, SEC_T_INT, false, AT(template_cap), "0", 0, 1e15, NULL, "K",
     "keep at most K records of a masked template and source, spread evenly; 0 = all"},
    {"doc-bytes", 0, SEC_T_SIZE, false, AT(doc_bytes), "4K", 64, 168 << 10, NULL, "SIZE",
     "cut documents at this many bytes, between records"},
    {"split", 0, SEC_T_STRING, false, AT(split), "idts=.01", 0, 0, NULL, "SPEC",
     "idts=SHARE,odts=GLOB[:GLOB...] (globs over sources), or none"},
    {"seed", 0, SEC_T_INT, false, AT(seed), "0", 0, 0, NULL, "N", "of the idts split"},
    {"max-record", 0, SEC_T_SIZE, false, AT(max_record), "1M", 64, 64 << 20, NULL, "SIZE",
     "drop longer records"},
    {"shard-bytes", 0, SEC_T_SIZE, false, AT(shard_bytes), "256M", 1 << 16, 1e12, NULL, "SIZE",
     "size of a shard before compression"},
    {"memory", 0, SEC_T_SIZE, false, AT(memory), "0", 0, 0, NULL, "SIZE",
     "for the tables of deduplication; 0 = half of the machine's"},
    {"ledger", 0, SEC_T_BOOL, false, AT(ledger), "true", 0, 0, NULL, NULL,
     "write removed.jsonl.zst, which names every removed record"},
    {"force", 0, SEC_T_BOOL, false, AT(force), NULL, 0, 0, NULL, NULL,
     "replace an existing corpus"},
    {"json", 'j', SEC_T_BOOL, false, AT(json), NULL, 0, 0, NULL, NULL, "print the result as JSON"},
    {0}};

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
    /* A second one ends the program at once. */
    signal(signo, SIG_DFL);
    stopped = signo;
}

static int parse_dedup(const char *list, struct sec_corpus_options *o)
{
    char copy[200], *save;
    if (snprintf(copy, sizeof copy, "%s", list) >= (int)sizeof copy)
        return sec_fail(SEC_EUSAGE, "--dedup: %zu characters are too many", strlen(list));
    bool capped = false;
    for (char *stage = strtok_r(copy, ",", &save); stage; stage = strtok_r(NULL, ",", &save)) {
        if (!strcmp(stage, "exact"))
            o->exact = true;
        else if (!strcmp(stage, "template"))
            capped = true;
        else if (strcmp(stage, "none"))
            return sec_fail(SEC_EUSAGE,
                            "--dedup %s: unknown stage; they are exact and template (or none)",
                            stage);
    }
    if (capped && !o->template_cap)
        return sec_fail(SEC_EUSAGE, "--dedup template needs --template-cap K");
    return 0;
}

static void print_report(const struct sec_corpus_report *r, const char *out)
{
    char a[32], b[32];
    const uint64_t *reasons = r->counts.reasons;
    printf("%-8s %zu files, %s; %" PRIu64 " records, %s of text\n", "read", r->files,
           sec_human_bytes((double)r->bytes_in, a), r->counts.records_read,
           sec_human_bytes((double)r->counts.bytes_read, b));
    for (int k = SEC_KEPT + 1; k < SEC_N_REASONS; k++)
        if (reasons[k])
            printf("%-8s %12" PRIu64 " records: %s\n", "removed", reasons[k], sec_reason_names[k]);
    for (int k = 0; k < SEC_N_CHANGES; k++)
        if (r->counts.changes[k])
            printf("%-8s %12" PRIu64 " records: %s\n", "cleaned", r->counts.changes[k],
                   sec_change_names[k]);
    if (r->damaged_files)
        printf("%-8s %12zu files, read up to the damage\n", "damaged", r->damaged_files);
    for (int s = 0; s < SEC_N_SPLITS; s++)
        printf("%-8s %12" PRIu64 " documents, %" PRIu64
               " records of %zu sources, %s of text, %s packed\n",
               sec_split_names[s], r->splits[s].documents, r->splits[s].records,
               r->splits[s].sources, sec_human_bytes((double)r->splits[s].bytes_text, a),
               sec_human_bytes((double)r->splits[s].bytes_packed, b));
    printf("%s in %.1f s (%.0f MB/s)\n", out, r->seconds,
           (double)r->counts.bytes_read / 1e6 / (r->seconds > 0 ? r->seconds : 1));
}

static int print_report_json(const struct sec_corpus_report *r)
{
    struct sec_buf out = {0};
    struct sec_jw w;
    sec_jw_init(&w, &out, true);
    sec_jw_obj(&w);
    sec_jw_ki64(&w, "files", (int64_t)r->files);
    sec_jw_ki64(&w, "damaged_files", (int64_t)r->damaged_files);
    sec_jw_ki64(&w, "sources", (int64_t)r->sources);
    sec_jw_ki64(&w, "bytes_in", (int64_t)r->bytes_in);
    sec_jw_ki64(&w, "bytes_read", (int64_t)r->counts.bytes_read);
    sec_jw_ki64(&w, "records_read", (int64_t)r->counts.records_read);
    sec_jw_ki64(&w, "records_kept", (int64_t)r->counts.reasons[SEC_KEPT]);
    sec_jw_kf64(&w, "seconds", r->seconds);
    sec_jw_key(&w, "removed");
    sec_jw_obj(&w);
    for (int k = SEC_KEPT + 1; k < SEC_N_REASONS; k++)
        sec_jw_ki64(&w, sec_reason_names[k], (int64_t)r->counts.reasons[k]);
    sec_jw_obj_end(&w);
    sec_jw_key(&w, "changed");
    sec_jw_obj(&w);
    for (int k = 0; k < SEC_N_CHANGES; k++)
        sec_jw_ki64(&w, sec_change_names[k], (int64_t)r->counts.changes[k]);
    sec_jw_obj_end(&w);
    sec_jw_key(&w, "splits");
    sec_jw_obj(&w);
    for (int s = 0; s < SEC_N_SPLITS; s++) {
        sec_jw_key(&w, sec_split_names[s]);
        sec_jw_obj(&w);
        sec_jw_ki64(&w, "documents", (int64_t)r->splits[s].documents);
        sec_jw_ki64(&w, "records", (int64_t)r->splits[s].records);
        sec_jw_ki64(&w, "sources", (int64_t)r->splits[s].sources);
        sec_jw_ki64(&w, "bytes_text", (int64_t)r->splits[s].bytes_text);
        sec_jw_ki64(&w, "bytes_packed", (int64_t)r->splits[s].bytes_packed);
        sec_jw_obj_end(&w);
    }
    sec_jw_obj_end(&w);
    sec_jw_obj_end(&w);
    int rc = sec_jw_end(&w);
    if (!rc)
        puts(out.data);
    sec_buf_free(&out);
    return rc;
}

static int run_build(const void *opts, char **args, int n)
{
    const struct build_opts *b = opts;
    struct sec_list inputs = {args, (size_t)n};
    struct sec_corpus_report report;
    struct sec_corpus_options o = {
        .inputs = &inputs,
        .exclude = &b->exclude,
        .out = b->out,
        .format = (enum sec_format)b->format,
        .source_from_dir = b->source_from == 1,
        .source = b->source,
        .template_cap = (uint64_t)b->template_cap,
        .doc_bytes = b->doc_bytes,
        .max_record = b->max_record,
        .shard_bytes = b->shard_bytes,
        .memory = b->memory,
        .force = b->force,
        .ledger = b->ledger,
        .stop = &stopped,
    };
    int rc = 0;
    if (!n || !b->out || !*b->out)
        return sec_fail(SEC_EUSAGE, "corpus build needs inputs and -o DIR; see --help");
    SEC_TRY(parse_dedup(b->dedup, &o));
    SEC_TRY(sec_split_parse(b->split, &o.split));
    o.split.seed = (uint64_t)b->seed;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    SEC_TRY(sec_corpus_build(&o, &report));
    if (b->json)
        rc = print_report_json(&report);
    else
        print_report(&report, b->out);
fail:
    sec_split_free(&o.split);
    return rc;
}

const struct sec_command sec_cmd_corpus_build = {
    .name = "corpus build",
    .synopsis = "IN... -o DIR [options]",
    .summary = "clean, deduplicate and split raw logs into text shards",
    .details = "IN are files, folders (read recursively, hidden files left out) or - for standard "
               "input; plain,\n"
               "gzip and zstd are told apart by content. The corpus does not depend on --threads "
               "or on the\n"
               "order of the inputs.",
    .opts = build_options,
    .values_size = sizeof(struct build_opts),
    .run = run_build,
};

struct stats_opts {
    bool json;
};

static const struct sec_opt stats_options[] = {{"json", 'j', SEC_T_BOOL, false,
                                                offsetof(struct stats_opts, json), NULL, 0, 0, NULL,
                                                NULL, "machine-readable"},
                                               {0}};

static int print_buf(struct sec_buf *out)
{
    if (out->len)
        fwrite(out->data, 1, out->len, stdout);
    sec_buf_free(out);
    return 0;
}

static int run_stats(const void *opts, char **args, int n)
{
    struct sec_buf out = {0};
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "corpus stats takes one DIR, %d given", n);
    int rc = sec_corpus_stats(args[0], ((const struct stats_opts *)opts)->json, &out);
    if (!rc)
        return print_buf(&out);
    sec_buf_free(&out);
    return rc;
}

const struct sec_command sec_cmd_corpus_stats = {
    .name = "corpus stats",
    .synopsis = "DIR [--json]",
    .summary = "documents, records and bytes by split and source; what was removed",
    .opts = stats_options,
    .values_size = sizeof(struct stats_opts),
    .run = run_stats,
};

struct sample_opts {
    int64_t n, seed;
    int split;
    char *source;
};

static const struct sec_opt sample_options[] = {
    {"n", 'n', SEC_T_INT, false, offsetof(struct sample_opts, n), "10", 1, 1e7, NULL, "N",
     "how many documents"},
    {"split", 0, SEC_T_ENUM, false, offsetof(struct sample_opts, split), "any", 0, 0,
     "any|train|idts|odts", "SPLIT", "of this split only"},
    {"source", 0, SEC_T_STRING, false, offsetof(struct sample_opts, source), NULL, 0, 0, NULL,
     "GLOB", "of these sources only"},
    {"seed", 0, SEC_T_INT, false, offsetof(struct sample_opts, seed), "0", 0, 0, NULL, "N",
     "another seed, another sample"},
    {0}};

static int run_sample(const void *opts, char **args, int n)
{
    const struct sample_opts *s = opts;
    struct sec_buf out = {0};
    if (n != 1)
        return sec_fail(SEC_EUSAGE, "corpus sample takes one DIR, %d given", n);
    int rc = sec_corpus_sample(args[0], (uint64_t)s->n, s->split - 1,
                               s->source && *s->source ? s->source : NULL, (uint64_t)s->seed, &out);
    if (!rc)
        return print_buf(&out);
    sec_buf_free(&out);
    return rc;
}

const struct sec_command sec_cmd_corpus_sample = {
    .name = "corpus sample",
    .synopsis = "DIR -n N [options]",
    .summary = "print random documents as JSON lines",
    .details =
        "Documents are drawn uniformly and without replacement; the same seed gives the same ones.",
    .opts = sample_options,
    .values_size = sizeof(struct sample_opts),
    .run = run_sample,
};
