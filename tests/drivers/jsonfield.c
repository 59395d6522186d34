/* jsonfield field|pairs PATH... <lines: a result a line: "ok TEXT", "absent" or "malformed".
 * jsonfield speed field|pairs ROUNDS FILE PATH...: megabytes a second of processor time. */
#include "data/jsonfield.h"

#include "base/error.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int results(const struct sec_jsonfield *j)
{
    struct sec_buf out = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;
    while (rc >= 0 && (n = getline(&line, &cap, stdin)) > 0) {
        sec_buf_clear(&out);
        n -= line[n - 1] == '\n';
        rc = sec_jsonfield_get(j, line, (size_t)n, &out);
        fputs(rc == SEC_JSON_OK ? "ok " : rc == SEC_JSON_ABSENT ? "absent" : "malformed", stdout);
        if (out.len)
            fwrite(out.data, 1, out.len, stdout);
        putchar('\n');
    }
    free(line);
    sec_buf_free(&out);
    return rc < 0 ? rc : 0;
}

static int speed(const struct sec_jsonfield *j, int rounds, const char *file)
{
    struct sec_buf text = {0}, out = {0};
    double best = 1e9;
    size_t records = 0, given = 0;
    int rc = sec_read_file(file, &text);
    for (int r = 0; r < rounds && rc >= 0; r++) {
        double t = now();
        records = given = 0;
        const char *p = text.data, *end = p + text.len, *nl;
        for (; p < end && rc >= 0; p = nl + 1, records++) {
            nl = memchr(p, '\n', (size_t)(end - p));
            nl = nl ? nl : end;
            sec_buf_clear(&out);
            rc = sec_jsonfield_get(j, p, (size_t)(nl - p), &out);
            given += rc == SEC_JSON_OK;
        }
        t = now() - t;
        best = t < best ? t : best;
    }
    if (rc >= 0)
        printf("%.0f MB/s, %zu of %zu records\n", (double)text.len / best / 1e6, given, records);
    sec_buf_free(&text);
    sec_buf_free(&out);
    return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
    bool timed = argc > 4 && !strcmp(argv[1], "speed");
    int first = timed ? 2 : 1, skip = timed ? first + 3 : first + 1;
    if (argc <= first) {
        fprintf(stderr, "usage: jsonfield [speed] field|pairs [ROUNDS FILE] PATH...\n");
        return 2;
    }
    struct sec_list paths = {argv + skip, (size_t)(argc > skip ? argc - skip : 0)};
    struct sec_jsonfield *j;
    int rc = sec_jsonfield_open(!strcmp(argv[first], "pairs") ? SEC_JSON_PAIRS : SEC_JSON_FIELD,
                                &paths, &j);
    if (!rc) {
        rc = timed ? speed(j, atoi(argv[3]), argv[4]) : results(j);
        sec_jsonfield_close(j);
    }
    if (rc)
        fprintf(stderr, "%s\n", sec_error());
    return rc ? 1 : 0;
}
