/* Generator of realistic security logs: one made-up organisation with people, hosts, services and a
 * day rhythm, seen by 18 kinds of log at once, with planted incidents labelled by line.
 *
 * Output in DIR: one file a format in time order, labels.jsonl (one object a labelled line) and
 * incidents.jsonl (one object an incident). Every labelled line names an actor of its incident, and
 * no line outside the incidents names an attacker's address. For one build of the program the bytes
 * depend on the options and the seed only, never on the number of threads. Every file is written
 * under a temporary name and renamed at the end; on failure nothing is left under a final name.
 *
 * Memory: the entities (about 1 KiB a person) plus two days' sessions and some megabytes a thread,
 * whatever the size. Thread rule: one call at a time a directory. */
#ifndef SEC_DATA_SYNTH_H
#define SEC_DATA_SYNTH_H

#include <stdbool.h>
#include <stdint.h>

#define SEC_SYNTH_FORMATS 18

struct sec_synth_options {
    const char *dir;
    uint64_t size;  /* bytes over all log files; 0 = use lines */
    uint64_t lines; /* lines over all log files when size is 0 */
    uint64_t seed;
    uint32_t days;       /* 0 = by size: 1 to 14 */
    uint32_t people;     /* 0 = by size: 12 to 20,000 */
    uint32_t hosts;      /* servers, workstations not counted; 0 = by people */
    int64_t incidents;   /* -1 = by size: 6 to 600; 0 = none */
    const char *formats; /* comma-separated names, NULL or "all" */
    int threads;         /* 0 = sec_threads() */
    bool force;          /* write into a directory that has other files; same names are replaced */
};

struct sec_synth_file {
    const char *format, *name; /* static texts */
    bool on;
    uint64_t bytes, lines, labelled;
};

struct sec_synth_report {
    struct sec_synth_file file[SEC_SYNTH_FORMATS];
    uint64_t bytes, lines, labelled, incidents;
    uint32_t days, people, hosts;
    double seconds;
};

/* Name of format i and of its file, "sshd" and "auth.log"; NULL past the end. */
const char *sec_synth_format(unsigned i, const char **file_name);

/* Generate. SEC_EUSAGE: impossible options, unknown format, or a directory that is not empty;
 * SEC_EFAIL: I/O, with the file named. */
int sec_synth_run(const struct sec_synth_options *o, struct sec_synth_report *report);

#endif
