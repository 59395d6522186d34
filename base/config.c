#include "base/config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_LEVELS = 16, MAX_PATH = 256 };

static void *field_of(const struct sec_key *key, void *values)
{
    return (char *)values + key->offset;
}

static size_t schema_size(const struct sec_key *schema)
{
    size_t n = 0;
    while (schema[n].name)
        n++;
    return n;
}

static const struct sec_key *find_key(const struct sec_key *schema, const char *name)
{
    for (; schema->name; schema++)
        if (!strcmp(schema->name, name))
            return schema;
    return NULL;
}

/* Does the schema have keys below this name? */
static bool is_group(const struct sec_key *schema, const char *name)
{
    size_t n = strlen(name);
    for (; schema->name; schema++)
        if (!strncmp(schema->name, name, n) && schema->name[n] == '.')
            return true;
    return false;
}

static int unknown_key(const struct sec_key *schema, const char *key, const char *where)
{
    if (is_group(schema, key))
        return sec_fail(SEC_ECONFIG, "%s: '%s' is a group of keys, not a key", where, key);
    size_t n = schema_size(schema);
    const char **names = calloc(n + 1, sizeof *names);
    if (!names)
        return sec_fail(SEC_ENOMEM, "%s: out of memory", where);
    for (size_t i = 0; i < n; i++)
        names[i] = schema[i].name;
    const char *near = sec_nearest(key, names, n);
    /* A right name in the wrong or no group is the other common mistake. */
    const char *last = strrchr(key, '.') ? strrchr(key, '.') + 1 : key;
    for (size_t i = 0; i < n && !near; i++) {
        const char *dot = strrchr(names[i], '.');
        if (dot && !strcmp(dot + 1, last))
            near = names[i];
    }
    free(names);
    if (near)
        return sec_fail(SEC_ECONFIG, "%s: unknown key '%s'; did you mean '%s'?", where, key, near);
    return sec_fail(SEC_ECONFIG, "%s: unknown key '%s'; --help lists the keys", where, key);
}

int sec_config_defaults(const struct sec_key *schema, void *values)
{
    for (; schema->name; schema++) {
        int rc = sec_value_parse(schema, field_of(schema, values), schema->dflt);
        if (rc)
            return sec_fail_at(SEC_ECONFIG, "default of %s", schema->name);
    }
    return 0;
}

static int set_key(const struct sec_key *key, void *values, const char *value, const char *where)
{
    int rc = sec_value_parse(key, field_of(key, values), value);
    if (rc)
        rc = sec_fail_at(rc == SEC_ENOMEM ? rc : SEC_ECONFIG, "%s: %s", where, key->name);
    return rc;
}

int sec_config_set(const struct sec_key *schema, void *values, const char *key, const char *value,
                   const char *where)
{
    const struct sec_key *found = find_key(schema, key);
    return found ? set_key(found, values, value, where) : unknown_key(schema, key, where);
}

int sec_config_set_pair(const struct sec_key *schema, void *values, const char *key_eq_value)
{
    const char *equals = strchr(key_eq_value, '=');
    if (!equals || equals == key_eq_value)
        return sec_fail(SEC_EUSAGE, "--set %s: write KEY=VALUE", key_eq_value);
    char *key = strndup(key_eq_value, (size_t)(equals - key_eq_value));
    if (!key)
        return sec_fail(SEC_ENOMEM, "--set %s: out of memory", key_eq_value);
    int rc = sec_config_set(schema, values, key, equals + 1, "--set");
    free(key);
    return rc;
}

/* State of reading one YAML text: the dotted path of the mapping we are in, and of each level the
 * length of the path above it. */
struct reader {
    const struct sec_key *schema;
    void *values;
    const char *name;
    bool *seen; /* per key of the schema: set in this text */
    char path[MAX_PATH];
    size_t level_start[MAX_LEVELS];
    int depth;
    bool have_key; /* path ends in a key that waits for its value */
};

static int bad_yaml(const struct reader *r, size_t line, const char *what)
{
    return sec_fail(SEC_ECONFIG, "%s:%zu: %s", r->name, line, what);
}

static int push_key(struct reader *r, const char *key, size_t line)
{
    size_t len = strlen(r->path);
    int n = snprintf(r->path + len, sizeof r->path - len, "%s%s", len ? "." : "", key);
    if (n < 0 || (size_t)n >= sizeof r->path - len)
        return bad_yaml(r, line, "key is too long");
    r->have_key = true;
    return 0;
}

static void pop_key(struct reader *r)
{
    r->path[r->level_start[r->depth - 1]] = 0;
    r->have_key = false;
}

static int take_value(struct reader *r, const yaml_event_t *event, size_t line)
{
    const char *text = (const char *)event->data.scalar.value;
    bool is_null = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                   (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
    char where[512];
    snprintf(where, sizeof where, "%s:%zu", r->name, line);
    const struct sec_key *key = find_key(r->schema, r->path);
    int rc;
    if (!key && is_null && is_group(r->schema, r->path)) {
        rc = 0; /* a group with nothing in it */
    } else if (!key) {
        rc = unknown_key(r->schema, r->path, where);
    } else if (r->seen[key - r->schema]) {
        rc = sec_fail(SEC_ECONFIG, "%s: key '%s' is given twice", where, r->path);
    } else if (is_null && key->type != SEC_T_STRING) {
        rc = sec_fail(SEC_ECONFIG, "%s: %s has no value", where, r->path);
    } else {
        r->seen[key - r->schema] = true;
        rc = set_key(key, r->values, is_null ? NULL : text, where);
    }
    pop_key(r);
    return rc;
}

static int take_event(struct reader *r, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
        if (r->depth == MAX_LEVELS)
            return bad_yaml(r, line, "nested too deeply");
        if (r->depth && !r->have_key)
            return bad_yaml(r, line, "a mapping cannot be a key");
        r->level_start[r->depth++] = strlen(r->path);
        r->have_key = false;
        return 0;
    case YAML_MAPPING_END_EVENT:
        if (--r->depth)
            pop_key(r);
        return 0;
    case YAML_SCALAR_EVENT:
        if (!r->depth)
            return *event->data.scalar.value ? bad_yaml(r, line, "expected 'key: value' lines") : 0;
        if (r->have_key)
            return take_value(r, event, line);
        return push_key(r, (const char *)event->data.scalar.value, line);
    case YAML_SEQUENCE_START_EVENT:
        return bad_yaml(r, line, "a list is not allowed here");
    case YAML_ALIAS_EVENT:
        return bad_yaml(r, line, "aliases are not supported; write the value");
    default:
        return 0;
    }
}

/* After the first document only the end of the stream may follow. */
static int read_events(struct reader *r, yaml_parser_t *parser)
{
    yaml_event_t event;
    int documents = 0;
    for (bool more = true; more;) {
        if (!yaml_parser_parse(parser, &event)) {
            if (parser->error == YAML_MEMORY_ERROR)
                return sec_fail(SEC_ENOMEM, "%s: out of memory", r->name);
            return sec_fail(SEC_ECONFIG, "%s:%zu: not valid YAML: %s", r->name,
                            parser->problem_mark.line + 1,
                            parser->problem ? parser->problem : "unknown problem");
        }
        more = event.type != YAML_STREAM_END_EVENT;
        int rc;
        if (event.type == YAML_DOCUMENT_START_EVENT && documents++)
            rc = bad_yaml(r, event.start_mark.line + 1, "only one document is allowed");
        else
            rc = take_event(r, &event);
        yaml_event_delete(&event);
        if (rc)
            return rc;
    }
    return 0;
}

int sec_config_load_text(const struct sec_key *schema, void *values, const char *yaml, size_t len,
                         const char *where)
{
    struct reader r = {.schema = schema, .values = values, .name = where};
    yaml_parser_t parser;
    r.seen = calloc(schema_size(schema) + 1, sizeof *r.seen);
    if (!r.seen || !yaml_parser_initialize(&parser)) {
        free(r.seen);
        return sec_fail(SEC_ENOMEM, "%s: out of memory", where);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml, len);
    int rc = read_events(&r, &parser);
    yaml_parser_delete(&parser);
    free(r.seen);
    return rc;
}

int sec_config_load(const struct sec_key *schema, void *values, const char *yaml_path)
{
    struct sec_buf text = {0};
    int rc = sec_read_file(yaml_path, &text);
    if (!rc)
        rc = sec_config_load_text(schema, values, text.data ? text.data : "", text.len, yaml_path);
    sec_buf_free(&text);
    return rc;
}

static int dump_value(const struct sec_key *key, const void *values, struct sec_buf *out)
{
    const void *field = (const char *)values + key->offset;
    if (key->type != SEC_T_STRING)
        return sec_value_format(key, field, out);
    const char *s = *(char *const *)field;
    return s ? sec_json_quote(out, s, strlen(s)) : sec_buf_adds(out, "null");
}

/* The keys below prefix (its first len bytes, with the final dot), at this depth of nesting. */
static int dump_group(const struct sec_key *schema, const void *values, const char *prefix,
                      size_t len, int depth, struct sec_buf *out)
{
    int rc = 0;
    for (const struct sec_key *key = schema; key->name && !rc; key++) {
        if (strncmp(key->name, prefix, len))
            continue;
        const char *rest = key->name + len, *dot = strchr(rest, '.');
        int n = dot ? (int)(dot - rest) : (int)strlen(rest);
        bool done = false; /* an earlier key has opened this group already */
        for (const struct sec_key *k = schema; dot && k < key && !done; k++)
            done = !strncmp(k->name, key->name, len + (size_t)n + 1);
        if (done)
            continue;
        rc = sec_buf_printf(out, "%*s%.*s:%s", 2 * depth, "", n, rest, dot ? "\n" : " ");
        if (!rc && dot) {
            rc = dump_group(schema, values, key->name, len + (size_t)n + 1, depth + 1, out);
        } else if (!rc) {
            rc = dump_value(key, values, out);
            if (!rc)
                rc = sec_buf_addc(out, '\n');
        }
    }
    return rc;
}

int sec_config_dump(const struct sec_key *schema, const void *values, struct sec_buf *out)
{
    return dump_group(schema, values, "", 0, 0, out);
}

int sec_config_help(const struct sec_key *schema, struct sec_buf *out)
{
    int rc = 0;
    for (; schema->name && !rc; schema++) {
        struct sec_buf allowed = {0};
        rc = sec_value_allowed(schema, &allowed);
        if (!rc)
            rc = sec_buf_printf(out, "  %-34s %s (", schema->name, schema->help);
        if (!rc && allowed.len)
            rc = sec_buf_printf(out, "%s; ", allowed.data);
        if (!rc)
            rc = sec_buf_printf(out, "default %s)\n", schema->dflt ? schema->dflt : "unset");
        sec_buf_free(&allowed);
    }
    return rc;
}

void sec_config_free(const struct sec_key *schema, void *values)
{
    for (; schema->name; schema++) {
        if (schema->type != SEC_T_STRING)
            continue;
        char **field = field_of(schema, values);
        free(*field);
        *field = NULL;
    }
}
