/* What every cmocka program needs: the library's headers in their order, a check for statuses that
 * shows the message, and a scratch folder. */
#ifndef SEC_TESTS_TESTING_H
#define SEC_TESTS_TESTING_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        int status_ = (expr);                                                                      \
        if (status_)                                                                               \
            fail_msg("%s: %d: %s", #expr, status_, sec_error());                                   \
    } while (0)

/* The call failed with this code and its message contains text. */
#define assert_fails(expr, code, text)                                                             \
    do {                                                                                           \
        int status_ = (expr);                                                                      \
        if (status_ != (code) || !strstr(sec_error(), (text)))                                     \
            fail_msg("%s: %d: \"%s\"; expected %d: \"%s\"", #expr, status_, sec_error(),           \
                     (int)(code), (text));                                                         \
    } while (0)

/* A new empty folder; remove it with scratch_free(). */
static inline char *scratch_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *path = sec_path_join(base && *base ? base : "/tmp", "secenc-test-XXXXXX");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void scratch_free(char *path)
{
    assert_ok(sec_remove_tree(path));
    free(path);
}

#endif
