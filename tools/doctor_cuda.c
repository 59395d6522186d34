/* The CUDA lines of secenc doctor. */
#include "base/str.h"
#include "kernels/cuda_info.h"
#include "tools/doctor.h"

#include <inttypes.h>
#include <stdio.h>

static const char *version(int v, char buf[16])
{
    snprintf(buf, 16, "%d.%d", v / 1000, v % 1000 / 10);
    return buf;
}

static void devices(struct sec_doctor *d, const struct sec_cuda_info *c)
{
    char free_bytes[32], memory[32], what[16];
    for (int i = 0; i < c->n_devices && i < SEC_CUDA_MAX_DEVICES; i++) {
        const struct sec_cuda_device *v = &c->device[i];
        snprintf(what, sizeof what, "GPU %d", i);
        sec_doctor_line(d, what,
                        v->major < 8 ? "compute capability 8.0 (A100) or newer is needed"
                        : v->free < v->memory / 2
                            ? "most of its memory is taken: see nvidia-smi for the process"
                            : NULL,
                        "%s, sm_%d%d, %d multiprocessors, %s of %s free", v->name, v->major,
                        v->minor, v->multiprocessors, sec_human_bytes((double)v->free, free_bytes),
                        sec_human_bytes((double)v->memory, memory));
    }
}

static void cublaslt(struct sec_doctor *d, const struct sec_cuda_info *c)
{
    int major = c->toolkit / 1000;
    if (c->cublaslt)
        sec_doctor_line(d, "cuBLASLt", NULL, "%" PRIu64 ".%" PRIu64 ".%" PRIu64,
                        c->cublaslt / 10000, c->cublaslt / 100 % 100, c->cublaslt % 100);
    else
        sec_doctor_line(d, "cuBLASLt", c->n_devices ? "the GPU cannot be used without" : NULL,
                        "libcublasLt.so.%d is not found: install the CUDA %d libraries or name "
                        "their folder in LD_LIBRARY_PATH",
                        major, major);
}

void sec_doctor_cuda(struct sec_doctor *d, const struct sec_cuda_info *c)
{
    char toolkit[16], driver[16];
    bool old = c->driver < c->toolkit / 1000 * 1000;
    if (!c->built) {
        sec_doctor_line(d, "CUDA", NULL,
                        "not built in (for a GPU: cmake -DSECENC_CUDA=on, with the CUDA 13 "
                        "toolkit); --device auto is cpu");
        return;
    }
    sec_doctor_line(d, "CUDA", NULL, "built in: toolkit %s, code for %s",
                    version(c->toolkit, toolkit),
                    c->architectures[0] ? c->architectures : "the host (emulation)");
    if (c->driver)
        sec_doctor_line(d, "NVIDIA driver", old ? "update the driver" : NULL,
                        "supports CUDA %s, this build needs %d.0", version(c->driver, driver),
                        c->toolkit / 1000);
    else
        sec_doctor_line(d, "NVIDIA driver", NULL, "none");
    devices(d, c);
    cublaslt(d, c);
    /* With a driver somebody expects the GPU to work. */
    sec_doctor_line(d, "device auto",
                    c->driver && !c->usable ? "training uses the processor" : NULL, "%s%s%s",
                    c->usable ? "cuda" : "cpu", c->usable ? "" : ", for ", c->problem);
}

void sec_doctor_cuda_json(struct sec_jw *w, const struct sec_cuda_info *c)
{
    sec_jw_key(w, "cuda");
    sec_jw_obj(w);
    sec_jw_kbool(w, "built", c->built);
    sec_jw_ki64(w, "toolkit", c->toolkit);
    sec_jw_kstr(w, "architectures", c->architectures);
    sec_jw_ki64(w, "driver", c->driver);
    sec_jw_ki64(w, "cublaslt", (int64_t)c->cublaslt);
    sec_jw_key(w, "devices");
    sec_jw_arr(w);
    for (int i = 0; i < c->n_devices && i < SEC_CUDA_MAX_DEVICES; i++) {
        const struct sec_cuda_device *v = &c->device[i];
        sec_jw_obj(w);
        sec_jw_kstr(w, "name", v->name);
        sec_jw_ki64(w, "sm", 10 * v->major + v->minor);
        sec_jw_ki64(w, "multiprocessors", v->multiprocessors);
        sec_jw_ki64(w, "memory", (int64_t)v->memory);
        sec_jw_ki64(w, "free", (int64_t)v->free);
        sec_jw_obj_end(w);
    }
    sec_jw_arr_end(w);
    sec_jw_kbool(w, "usable", c->usable);
    sec_jw_kstr(w, "problem", c->problem);
    sec_jw_kstr(w, "auto", c->usable ? "cuda" : "cpu");
    sec_jw_obj_end(w);
}
