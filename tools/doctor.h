/* The lines of secenc doctor, as text or JSON. One thread. */
#ifndef SEC_TOOLS_DOCTOR_H
#define SEC_TOOLS_DOCTOR_H

#include "base/json.h"
#include "kernels/cuda_info.h"

#include <stdbool.h>

struct sec_doctor {
    bool json;
    struct sec_jw writer;
    int warnings;
};

/* One finding. advice NULL = all is well. */
void sec_doctor_line(struct sec_doctor *d, const char *what, const char *advice, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));

/* What there is of CUDA and what --device auto makes of it: lines, and the object "cuda". */
void sec_doctor_cuda(struct sec_doctor *d, const struct sec_cuda_info *c);
void sec_doctor_cuda_json(struct sec_jw *w, const struct sec_cuda_info *c);

#endif
