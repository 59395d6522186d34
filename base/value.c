/* Text forms of configuration and option values. */
#include "base/config.h"
#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sec_choice_index(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (int i = 0; choices && *choices; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && !memcmp(choices, text, n))
            return i;
        choices += n + (choices[n] == '|');
    }
    return -1;
}

int sec_value_allowed(const struct sec_key *key, struct sec_buf *out)
{
    if (key->choices)
        return sec_buf_adds(out, key->choices);
    if (key->type == SEC_T_BOOL)
        return sec_buf_adds(out, "true|false");
    if (key->min == 0 && key->max == 0)
        return sec_buf_adds(out, "");
    /* %.15g: limits are round decimal numbers, and 1e18 is not to be spelled out. */
    if (key->max >= 1e18)
        return sec_buf_printf(out, "%.15g or more", key->min);
    return sec_buf_printf(out, "%.15g to %.15g", key->min, key->max);
}

static int out_of_range(const struct sec_key *key, const char *text)
{
    struct sec_buf allowed = {0};
    int rc = sec_value_allowed(key, &allowed);
    if (!rc)
        rc = sec_fail(SEC_EUSAGE, "\"%s\" is not allowed; write %s", text, allowed.data);
    sec_buf_free(&allowed);
    return rc;
}

static int parse_bool(const char *text, bool *out)
{
    int yes = sec_choice_index("true|yes|on|1", text),
        no = sec_choice_index("false|no|off|0", text);
    if (yes < 0 && no < 0)
        return sec_fail(SEC_EUSAGE, "\"%s\" is neither true nor false", text);
    *out = yes >= 0;
    return 0;
}

static int parse_int(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    uint64_t magnitude;
    int rc = sec_parse_count(text + negative, &magnitude);
    if (rc || magnitude > INT64_MAX)
        return sec_fail(SEC_EUSAGE, "\"%s\" is not a whole number; write e.g. 1500, 20k or 2M",
                        text);
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return 0;
}

static int parse_string(const struct sec_key *key, char **field, const char *text)
{
    if (key->choices && *text && sec_choice_index(key->choices, text) < 0)
        return out_of_range(key, text);
    char *copy = strdup(text);
    if (!copy)
        return sec_fail(SEC_ENOMEM, "out of memory for a value of %zu bytes", strlen(text));
    free(*field);
    *field = copy;
    return 0;
}

static size_t value_size(enum sec_type type)
{
    switch (type) {
    case SEC_T_BOOL:
        return sizeof(bool);
    case SEC_T_ENUM:
        return sizeof(int);
    default:
        return sizeof(int64_t);
    }
}

int sec_value_parse(const struct sec_key *key, void *field, const char *text)
{
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
        int e;
    } v;
    double number = 0;
    int rc = 0;
    memset(&v, 0, sizeof v);
    if (key->type == SEC_T_STRING) {
        if (text)
            return parse_string(key, field, text);
        free(*(char **)field);
        *(char **)field = NULL;
        return 0;
    }
    if (!text) {
        memset(field, 0, value_size(key->type));
        return 0;
    }
    switch (key->type) {
    case SEC_T_BOOL:
        rc = parse_bool(text, &v.b);
        break;
    case SEC_T_INT:
        rc = parse_int(text, &v.i);
        number = (double)v.i;
        break;
    case SEC_T_SIZE:
        rc = sec_parse_size(text, &v.u);
        number = (double)v.u;
        break;
    case SEC_T_FLOAT:
        rc = sec_parse_f64(text, &v.f);
        number = v.f;
        break;
    case SEC_T_TIME:
        rc = sec_parse_seconds(text, &v.f);
        number = v.f;
        break;
    default:
        v.e = sec_choice_index(key->choices, text);
        if (v.e < 0)
            return out_of_range(key, text);
    }
    if (!rc && (key->min != 0 || key->max != 0) && (number < key->min || number > key->max))
        rc = out_of_range(key, text);
    if (!rc)
        memcpy(field, &v, value_size(key->type));
    return rc;
}

static int format_double(double v, struct sec_buf *out)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    return sec_buf_adds(out, text);
}

int sec_value_format(const struct sec_key *key, const void *field, struct sec_buf *out)
{
    switch (key->type) {
    case SEC_T_BOOL:
        return sec_buf_adds(out, *(const bool *)field ? "true" : "false");
    case SEC_T_INT:
        return sec_buf_printf(out, "%lld", (long long)*(const int64_t *)field);
    case SEC_T_SIZE:
        return sec_buf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)field);
    case SEC_T_FLOAT:
    case SEC_T_TIME:
        return format_double(*(const double *)field, out);
    case SEC_T_STRING: {
        const char *s = *(char *const *)field;
        return sec_buf_adds(out, s ? s : "");
    }
    case SEC_T_ENUM: {
        const char *choice = key->choices;
        for (int i = *(const int *)field; i > 0 && choice; i--) {
            choice = strchr(choice, '|');
            choice = choice ? choice + 1 : NULL;
        }
        if (!choice)
            return sec_fail(SEC_EFAIL, "%s: value %d is none of %s", key->name, *(const int *)field,
                            key->choices);
        return sec_buf_add(out, choice, strcspn(choice, "|"));
    }
    }
    return sec_fail(SEC_EFAIL, "%s: unknown type %d", key->name, (int)key->type);
}
