/* secenc corpus build */
#include "base/error.h"
#include "base/json.h"
#include "base/opt.h"
#include "base/str.h"
#include "data/corpus.h"
#include "tools/commands.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct build_opts {
    char *out, *source, *dedup, *split, *shingle, *bands, *key, *patterns;
    struct sec_list exclude, json_fields;
    int format, source_from, json_take;
    int64_t template_cap, seed;
    double similarity, decontaminate;
    uint64_t doc_bytes, max_record, shard_bytes, memory, target_bytes;
    bool force, ledger, json, keep_oui;
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
    {"json-take", 0, SEC_T_ENUM, false, AT(json_take), "raw", 0, 0, SEC_JSON_TAKE_CHOICES, "WHAT",
     "of JSONL records: all of it as it is, one field, or all of it as key=value pairs"},
    {"json-field", 0, SEC_T_STRING, true, AT(json_fields), NULL, 0, 0, NULL, "PATH",
     "the field: message, event.original; given several times, the first that is there"},
    {"pseudonymize", 0, SEC_T_STRING, false, AT(key), NULL, 0, 0, NULL, "KEYFILE",
     "replace addresses, names and secrets by values of the same shape; a file of at least 32 "
     "random bytes that only you can read. The same key gives the same names"},
    {"pseudonym-patterns", 0, SEC_T_STRING, false, AT(patterns), NULL, 0, 0, NULL, "FILE",
     "further values to replace: regular expressions, one a line; group 1 or the whole match"},
    {"keep-oui", 0, SEC_T_BOOL, false, AT(keep_oui), NULL, 0, 0, NULL, NULL,
     "leave the vendor's half of MAC addresses"},
    {"dedup", 0, SEC_T_STRING, false, AT(dedup), "exact", 0, 0, NULL, "LIST",
     "what to remove: exact (repeated records and documents), template (more than so many records "
     "that differ in values only), minhash (near-duplicate documents); or none"},
    {"template-cap", 0, SEC_T_INT, false, AT(template_cap), "0", 0, 1e15, NULL, "K",
     "keep at most K records of a masked template and source, spread evenly; 0 = all"},
    {"target-bytes", 0, SEC_T_SIZE, false, AT(target_bytes), "0", 0, 0, NULL, "SIZE",
     "find each source's K so that about this much text is left over all; 0 = off"},
    {"shingle", 0, SEC_T_STRING, false, AT(shingle), "char5", 0, 0, NULL, "UNIT",
     "documents are compared as sets of these: charN or wordN, values masked"},
    {"bands", 0, SEC_T_STRING, false, AT(bands), "16x8", 0, 0, NULL, "BxR",
     "pairs to look at: equal in one of B bands of R hashes; B x R up to 128"},
    {"similarity", 0, SEC_T_FLOAT, false, AT(similarity), "0.8", 0.01, 1, NULL, "J",
     "near-duplicates share at least this part of their shingles (Jaccard)"},
    {"decontaminate", 0, SEC_T_FLOAT, false, AT(decontaminate), "0.8", 0, 1, NULL, "J",
     "remove training documents this similar to a test document; 0 = off"},
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
     "most memory of this process (of each rank), kept whatever the input; 0 = half of the "
     "machine's"},
    {"ledger", 0, SEC_T_BOOL, false, AT(ledger), "true", 0, 0, NULL, NULL,
     "write removed.jsonl.zst, which names every removed record and document"},
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
        else if (!strcmp(stage, "minhash"))
            o->minhash = true;
        else if (strcmp(stage, "none"))
            return sec_fail(SEC_EUSAGE,
                            "--dedup %s: unknown stage; they are exact, template and minhash (or "
                            "none)",
                            stage);
    }
    if (capped && !o->template_cap && !o->target_bytes)
        return sec_fail(SEC_EUSAGE, "--dedup template needs --template-cap K or --target-bytes "
                                    "SIZE");
    return 0;
}

static int parse_near(const struct build_opts *b, struct sec_minhash_options *near)
{
    char more;
    int rc = sec_minhash_parse_shingle(b->shingle, near);
    if (rc)
        return sec_fail_at(rc, "--shingle");
    if (sscanf(b->bands, "%ux%u%c", &near->bands, &near->rows, &more) != 2)
        return sec_fail(SEC_EUSAGE, "--bands %s: two numbers are needed, like 16x8", b->bands);
    near->similarity = b->similarity;
    return sec_minhash_check(near);
}

static int parse_json(const struct build_opts *b, struct sec_corpus_options *o)
{
    o->json_take = (enum sec_json_take)b->json_take;
    o->json_paths = &b->json_fields;
    if (b->json_fields.n && o->json_take != SEC_JSON_FIELD)
        return sec_fail(SEC_EUSAGE, "--json-field %s has no effect without --json-take field",
                        b->json_fields.v[0]);
    if (o->json_take == SEC_JSON_FIELD && !b->json_fields.n)
        return sec_fail(SEC_EUSAGE, "--json-take field needs --json-field PATH");
    return 0;
}

static int parse_pseudonyms(const struct build_opts *b, struct sec_corpus_options *o)
{
    if (!*b->key && (*b->patterns || b->keep_oui))
        return sec_fail(SEC_EUSAGE, "%s has no effect without --pseudonymize KEYFILE",
                        *b->patterns ? "--pseudonym-patterns" : "--keep-oui");
    if (*b->key)
        o->pseudo =
            (struct sec_pseudo_options){b->key, *b->patterns ? b->patterns : NULL, b->keep_oui};
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
    if (r->largest_similarity >= 0)
        printf("%-8s %12.4f similarity at most between a training and a test document\n", "left",
               r->largest_similarity);
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
    if (r->largest_similarity >= 0)
        sec_jw_kf64(&w, "largest_train_test_similarity", r->largest_similarity);
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
    return sec_jw_print(&w);
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
        .target_bytes = b->target_bytes,
        .decontaminate = b->decontaminate,
        .force = b->force,
        .ledger = b->ledger,
        .stop = &stopped,
    };
    int rc = 0;
    if (!n || !b->out || !*b->out)
        return sec_fail(SEC_EUSAGE, "corpus build needs inputs and -o DIR; see --help");
    SEC_TRY(parse_dedup(b->dedup, &o));
    SEC_TRY(parse_near(b, &o.near));
    SEC_TRY(parse_json(b, &o));
    SEC_TRY(parse_pseudonyms(b, &o));
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
    .details =
        "IN are files, folders (read recursively, hidden files left out) or - for standard input; "
        "plain,\n"
        "gzip and zstd are told apart by content. The corpus depends on inputs and options alone: "
        "not on\n"
        "--threads, --memory, the number of ranks or the order of the inputs.\n"
        "\n"
        "Work goes to DIR/.build in stages; a build that was stopped or killed goes on from there "
        "when the\n"
        "same command is given again. Several processes, also on several machines that share the "
        "files:\n"
        "  mpirun -n 16 secenc corpus build logs -o corpus --dedup exact,minhash --memory 2G\n"
        "About half as much disk as the unpacked input is needed meanwhile.\n"
        "\n"
        "DIR/report.json tells what was removed, by stage and source, with examples.",
    .opts = build_options,
    .values_size = sizeof(struct build_opts),
    .run = run_build,
};
