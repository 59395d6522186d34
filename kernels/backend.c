/* Choosing a backend by name. */
#include "base/error.h"
#include "kernels/ops.h"

#include <string.h>

int sec_backend_open(const char *name, struct sec_backend **out)
{
    *out = NULL;
    if (!strcmp(name, "cpu") || !strcmp(name, "auto"))
        return sec_backend_cpu(out);
    if (!strcmp(name, "ref"))
        return sec_backend_ref(out);
    return sec_fail(SEC_ECONFIG, "backend \"%s\" is not known: use cpu, ref or auto", name);
}
