#include "data/records.h"

#include "base/str.h"

#include <string.h>

/* A quoted field or a run of continuation lines longer than this is taken for a stray quote or for
 * a file that is indented throughout: the record then ends at a line end. */
enum { MERGE_LIMIT = 1 << 16 };

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char event_open[] = "<Event", event_close[] = "</Event>";
enum { EVENT_OPEN = sizeof event_open - 1, EVENT_CLOSE = sizeof event_close - 1 };

static bool space(char c)
{
    return blank(c) || c == '\n' || c == '\r';
}

/* <Event> or <Event attribute...>, not <Events> or <EventData>. */
static bool at_event(const char *p, const char *end)
{
    return end - p > EVENT_OPEN && !memcmp(p, event_open, EVENT_OPEN) &&
           (p[EVENT_OPEN] == '>' || space(p[EVENT_OPEN]));
}

static const char *find_event(const char *p, const char *end)
{
    while ((p = memmem(p, (size_t)(end - p), event_open, EVENT_OPEN))) {
        if (at_event(p, end))
            return p;
        p += EVENT_OPEN;
    }
    return NULL;
}

/* Events, and behind the first one nothing but markup: a single event may stand in a log of lines.
 */
static bool only_events(const char *p, const char *end)
{
    if (!(p = find_event(p, end)))
        return false;
    p = memmem(p, (size_t)(end - p), event_close, EVENT_CLOSE);
    for (p = p ? p + EVENT_CLOSE : end; p < end; p++)
        if (!space(*p))
            return *p == '<';
    return true;
}

/* Length of "83 <34>1 ..." counted octets from p, with the count; 0 = not octet counting. */
static size_t octet_frame(const char *p, size_t n, size_t *header)
{
    size_t i = 0, len = 0;
    while (i < n && i < 7 && digit(p[i]))
        len = len * 10 + (size_t)(p[i++] - '0');
    if (!i || p[0] == '0' || i + 1 >= n || p[i] != ' ' || p[i + 1] != '<')
        return 0;
    *header = i + 1;
    return i + 1 + len;
}

enum sec_format sec_format_detect(enum sec_format wanted, const char *name, const char *head,
                                  size_t n)
{
    const char *end = head + n, *p = head;
    if (wanted == SEC_FORMAT_XML)
        return only_events(p, end) ? SEC_FORMAT_XML : SEC_FORMAT_LINES;
    if (wanted != SEC_FORMAT_AUTO)
        return wanted;
    if (n >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3))
        p += 3;
    while (p < end && (blank(*p) || *p == '\n' || *p == '\r'))
        p++;
    if (p == end)
        return SEC_FORMAT_LINES;
    size_t header;
    if (octet_frame(p, (size_t)(end - p), &header))
        return SEC_FORMAT_SYSLOG;
    if (*p == '{' && end - p > 1 && p[1] != '\n' && p[1] != '\r')
        return SEC_FORMAT_JSONL;
    if (*p == '<' && only_events(p, end))
        return SEC_FORMAT_XML;
    if (strstr(name, ".csv"))
        return SEC_FORMAT_CSV;
    if (strstr(name, ".tsv"))
        return SEC_FORMAT_TSV;
    size_t lines = 0, indented = 0;
    while (p > head && blank(p[-1]))
        p--; /* the first line's blanks count as well */
    for (const char *nl; p < end && (nl = memchr(p, '\n', (size_t)(end - p))); p = nl + 1) {
        const char *text = p;
        while (text < nl && (blank(*text) || *text == '\r'))
            text++;
        lines += text < nl;
        indented += text < nl && blank(*p);
    }
    /* Stack traces may be most of a log; a file without lines that start a record has no records of
     * several lines either. */
    bool starts = 20 * (lines - indented) >= lines;
    return indented && starts ? SEC_FORMAT_MULTILINE : SEC_FORMAT_LINES;
}

/* End of the CSV record that starts at p, behind its newline; NULL = not within [p, end). */
static const char *csv_end(const char *p, const char *end)
{
    const char *first = NULL;
    bool quoted = false;
    for (const char *line = p, *nl; (nl = memchr(line, '\n', (size_t)(end - line)));
         line = nl + 1) {
        for (const char *q = line; (q = memchr(q, '"', (size_t)(nl - q))); q++)
            quoted = !quoted;
        if (!first)
            first = nl + 1;
        if (!quoted)
            return nl + 1;
        if (nl - p > MERGE_LIMIT)
            return first;
    }
    return NULL;
}

/* End of the multi-line record at p; the block's end ends it too. */
static const char *multiline_end(const char *p, const char *end)
{
    const char *line = p, *nl;
    if (*p == '\n')
        return p + 1; /* nothing that could be continued */
    while ((nl = memchr(line, '\n', (size_t)(end - line)))) {
        line = nl + 1;
        if (line == end || !blank(*line) || line - p > MERGE_LIMIT)
            return line;
    }
    return end;
}

static const char *line_end(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl + 1 : end;
}

/* An event, or white space or one tag outside events (wrapper), or a line of other text. */
static const char *xml_end(const char *p, const char *end, bool *wrapper)
{
    const char *stop = p;
    if (at_event(p, end)) {
        stop = memmem(p, (size_t)(end - p), event_close, EVENT_CLOSE);
        return stop ? stop + EVENT_CLOSE : end;
    }
    while (stop < end && space(*stop))
        stop++;
    *wrapper = stop > p || *p == '<';
    if (stop > p)
        return stop;
    stop = memchr(p, *wrapper ? '>' : '\n', (size_t)(end - p));
    stop = stop ? stop + 1 : end;
    const char *event = find_event(p, stop);
    stop = event ? event : stop;
    /* Blocks are cut behind every end mark, so one that closes nothing is a border too. */
    const char *stray = memmem(p, (size_t)(stop - p), event_close, EVENT_CLOSE);
    return stray ? stray + EVENT_CLOSE : stop;
}

static const char *record_end(const struct sec_record_iter *it, struct sec_span *out)
{
    const char *p = it->p, *end = it->end, *stop;
    size_t header, framed;
    switch (it->format) {
    case SEC_FORMAT_CSV:
        stop = csv_end(p, end);
        return stop ? stop : line_end(p, end);
    case SEC_FORMAT_MULTILINE:
        return multiline_end(p, end);
    case SEC_FORMAT_SYSLOG:
        framed = octet_frame(p, (size_t)(end - p), &header);
        if (framed && framed <= (size_t)(end - p)) {
            out->p = p + header;
            return p + framed;
        }
        return line_end(p, end);
    case SEC_FORMAT_XML:
        return xml_end(p, end, &out->wrapper);
    default:
        return line_end(p, end);
    }
}

static uint32_t count_lines(const char *p, const char *end)
{
    uint32_t n = 0;
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        n++;
        p++;
    }
    return n;
}

bool sec_records_next(struct sec_record_iter *it, struct sec_span *out)
{
    if (it->p == it->end)
        return false;
    out->p = it->p;
    out->line = it->line;
    out->wrapper = false;
    const char *stop = record_end(it, out);
    out->len = (size_t)(stop - out->p);
    bool simple = it->format == SEC_FORMAT_LINES || it->format == SEC_FORMAT_JSONL ||
                  it->format == SEC_FORMAT_TSV;
    if (out->len && stop[-1] == '\n')
        out->len--;
    it->line += simple ? 1 : count_lines(it->p, stop);
    it->p = stop;
    return true;
}

/* The last newline that is followed, in the buffer, by a line which starts a record. */
static size_t cut_multiline(const char *p, size_t n)
{
    const char *last = NULL;
    for (size_t at = n; at;) {
        const char *nl = memrchr(p, '\n', at);
        if (!nl)
            break;
        if (!last)
            last = nl;
        at = (size_t)(nl - p);
        if (at + 1 < n && !blank(nl[1]))
            return at + 1;
    }
    /* Nothing but continuation lines: cut once they exceed what is merged anyway. */
    return last && n > MERGE_LIMIT ? (size_t)(last - p) + 1 : 0;
}

static size_t cut_csv(const char *p, size_t n)
{
    const char *at = p, *stop;
    while ((stop = csv_end(at, p + n)))
        at = stop;
    return (size_t)(at - p);
}

static size_t cut_syslog(const char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        size_t header, framed = octet_frame(p + at, n - at, &header);
        if (!framed) {
            /* A count that is itself cut off looks like this too, and has no newline yet. */
            const char *nl = memchr(p + at, '\n', n - at);
            if (!nl)
                break;
            framed = (size_t)(nl - p) - at + 1;
        }
        if (framed > n - at)
            break;
        at += framed;
    }
    return at;
}

static size_t cut_xml(const char *p, size_t n)
{
    for (size_t at = n; at >= EVENT_CLOSE; at--) {
        const char *gt = memrchr(p, '>', at);
        if (!gt)
            return 0;
        at = (size_t)(gt - p) + 1;
        if (at >= EVENT_CLOSE && !memcmp(p + at - EVENT_CLOSE, event_close, EVENT_CLOSE))
            return at;
    }
    return 0;
}

size_t sec_records_cut(enum sec_format format, const char *p, size_t n)
{
    switch (format) {
    case SEC_FORMAT_CSV:
        return cut_csv(p, n);
    case SEC_FORMAT_MULTILINE:
        return cut_multiline(p, n);
    case SEC_FORMAT_SYSLOG:
        return cut_syslog(p, n);
    case SEC_FORMAT_XML:
        return cut_xml(p, n);
    default:
        break;
    }
    const char *nl = memrchr(p, '\n', n);
    return nl ? (size_t)(nl - p) + 1 : 0;
}

size_t sec_records_resync(enum sec_format format, const char *p, size_t n)
{
    const char *at =
        format == SEC_FORMAT_XML ? memmem(p, n, event_close, EVENT_CLOSE) : memchr(p, '\n', n);
    if (!at)
        return 0;
    return (size_t)(at - p) + (format == SEC_FORMAT_XML ? EVENT_CLOSE : 1);
}
