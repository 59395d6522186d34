#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEC_ERROR_MAX = 2048 };

static _Thread_local char message[SEC_ERROR_MAX];

/* The CLI promises one line per failure, whatever text was quoted in it. */
static void set_message(const char *text)
{
    size_t n = 0;
    for (; text[n] && n < SEC_ERROR_MAX - 1; n++)
        message[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7F ? ' ' : text[n];
    message[n] = 0;
}

/* Formats first and stores afterwards, so that sec_error() may be among the arguments. */
int sec_fail(int code, const char *fmt, ...)
{
    char text[SEC_ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    set_message(text);
    return code;
}

int sec_fail_errno(int err, const char *fmt, ...)
{
    char text[SEC_ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text) {
        char reason[256];
        snprintf(text + n, sizeof text - (size_t)n, ": %s", strerror_r(err, reason, sizeof reason));
    }
    set_message(text);
    return err == ENOMEM ? SEC_ENOMEM : SEC_EFAIL;
}

int sec_fail_at(int code, const char *fmt, ...)
{
    char text[2 * SEC_ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof text && message[0])
        snprintf(text + n, sizeof text - (size_t)n, ": %s", message);
    set_message(text);
    return code;
}

const char *sec_error(void)
{
    return message;
}

void sec_error_clear(void)
{
    message[0] = 0;
}

char *sec_error_take(void)
{
    char *copy = message[0] ? strdup(message) : NULL;
    message[0] = 0;
    return copy;
}

int sec_error_put(int code, char *text)
{
    set_message(text ? text : "");
    free(text);
    return code;
}

int sec_exit_code(int code)
{
    switch (code) {
    case SEC_OK:
        return 0;
    case SEC_EUSAGE:
        return 2;
    case SEC_EDATA:
    case SEC_ECONFIG:
        return 3;
    case SEC_ENOMEM:
    case SEC_EDEVICE:
        return 4;
    case SEC_EDIVERGED:
        return 5;
    case SEC_EPREEMPT:
        return 75;
    case SEC_EHANG:
        return 76;
    case SEC_EDISAGREE:
        return 77;
    case SEC_EINTR:
        return 130;
    default:
        return 1;
    }
}
