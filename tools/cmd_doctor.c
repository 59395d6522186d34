/* secenc doctor: what this machine offers, and whether secenc can work here. */
#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/h5.h"
#include "base/opt.h"
#include "base/ranks.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/version.h"
#include "tools/doctor.h"

#include <errno.h>
#include <isa-l.h>
#include <omp.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>
#include <zstd.h>

#define GIB ((uint64_t)1 << 30)

struct options {
    bool json;
};

static const struct sec_opt options[] = {
    {.name = "json",
     .type = SEC_T_BOOL,
     .offset = offsetof(struct options, json),
     .help = "print JSON"},
    {0},
};

void sec_doctor_line(struct sec_doctor *r, const char *what, const char *advice, const char *fmt,
                     ...)
{
    char value[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    r->warnings += advice != NULL;
    if (!r->json) {
        printf("%-5s %-14s %s%s%s\n", advice ? "warn" : "ok", what, value, advice ? "; " : "",
               advice ? advice : "");
        return;
    }
    sec_jw_obj(&r->writer);
    sec_jw_kstr(&r->writer, "check", what);
    sec_jw_kbool(&r->writer, "ok", !advice);
    sec_jw_kstr(&r->writer, "value", value);
    if (advice)
        sec_jw_kstr(&r->writer, "advice", advice);
    sec_jw_obj_end(&r->writer);
}

static void check_processor(struct sec_doctor *r)
{
    enum sec_isa found = sec_cpu_isa_detected(), used = sec_cpu_isa();
    sec_doctor_line(r, "processor", NULL, "%s", sec_cpu_model());
    sec_doctor_line(r, "instructions",
                    used < found           ? "SECENC_ISA lowers it; unset it for full speed"
                    : found < SEC_ISA_AVX2 ? "without AVX2 training is slow"
                                           : NULL,
                    "%s detected, %s used", sec_isa_name(found), sec_isa_name(used));
    sec_doctor_line(r, "threads", NULL, "%d usable cores, %d threads used, OpenMP offers %d",
                    sec_cpu_count(), sec_threads(), omp_get_max_threads());
}

static void check_space(struct sec_doctor *r)
{
    char human[32];
    uint64_t memory = sec_total_memory();
    sec_doctor_line(r, "memory",
                    memory < 4 * GIB ? "the larger model sizes need 4 GiB or more" : NULL, "%s",
                    sec_human_bytes((double)memory, human));
    struct statvfs fs;
    if (statvfs(".", &fs)) {
        sec_doctor_line(r, "disk", "run it in a folder that exists", "unknown: %s",
                        strerror(errno));
    } else {
        uint64_t bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
        sec_doctor_line(r, "disk", bytes < 2 * GIB ? "a first run needs about 2 GB" : NULL,
                        "%s free here", sec_human_bytes((double)bytes, human));
    }
    char probe[64];
    snprintf(probe, sizeof probe, ".secenc-doctor.%ld", (long)getpid());
    if (sec_write_file(probe, "ok\n", 3))
        sec_doctor_line(r, "writing", "outputs need another folder (-o DIR)", "%s", sec_error());
    else
        sec_doctor_line(r, "writing", NULL, "files can be written, flushed and renamed here");
    unlink(probe);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files))
        sec_doctor_line(r, "open files", files.rlim_cur < 256 ? "raise it: ulimit -n 1024" : NULL,
                        "limit %llu", (unsigned long long)files.rlim_cur);
}

static void check_libraries(struct sec_doctor *r)
{
    unsigned major = 0, minor = 0, release = 0, xxh = XXH_versionNumber();
    sec_doctor_line(r, "zstd", NULL, "%s", ZSTD_versionString());
    H5get_libversion(&major, &minor, &release);
    bool filter = !sec_h5_init() && H5Zfilter_avail(SEC_H5_ZSTD) > 0;
    sec_doctor_line(r, "HDF5", filter ? NULL : "token shards cannot be read",
                    "%u.%u.%u, zstd filter %d %s", major, minor, release, SEC_H5_ZSTD,
                    filter ? "works" : "is missing");
    sec_doctor_line(r, "xxHash", NULL, "%u.%u.%u", xxh / 10000, xxh / 100 % 100, xxh % 100);
    sec_doctor_line(r, "ISA-L", NULL, "%d.%d.%d", ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION,
                    ISAL_PATCH_VERSION);
    sec_doctor_line(r, "libyaml", NULL, "%s", yaml_get_version_string());
    sec_doctor_line(r, "cJSON", NULL, "%s", cJSON_Version());
    sec_doctor_line(r, "OpenSSL", NULL, "%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    sec_doctor_line(r, "MPI", NULL, "%s", sec_ranks_library());
}

static int run(const void *opts, char **args, int n)
{
    const struct options *o = opts;
    struct sec_buf text = {0};
    struct sec_doctor r = {.json = o->json};
    struct sec_cuda_info cuda;
    if (n)
        return sec_fail(SEC_EUSAGE, "doctor takes no argument, but got '%s'", args[0]);
    sec_jw_init(&r.writer, &text, true);
    sec_jw_obj(&r.writer);
    sec_jw_kstr(&r.writer, "secenc", SEC_VERSION);
    sec_jw_key(&r.writer, "checks");
    sec_jw_arr(&r.writer);
    if (!r.json)
        printf("ok    %-14s %s\n", "secenc", SEC_VERSION);
    check_processor(&r);
    check_space(&r);
    check_libraries(&r);
    sec_backend_cuda_info(&cuda);
    sec_doctor_cuda(&r, &cuda);
    sec_jw_arr_end(&r.writer);
    sec_doctor_cuda_json(&r.writer, &cuda);
    sec_jw_ki64(&r.writer, "warnings", r.warnings);
    sec_jw_obj_end(&r.writer);
    int rc = sec_jw_end(&r.writer);
    if (!rc && r.json)
        fputs(text.data, stdout);
    sec_buf_free(&text);
    return rc;
}

const struct sec_command sec_cmd_doctor = {
    .name = "doctor",
    .synopsis = "[--json]",
    .summary = "report what this machine offers and what is missing",
    .opts = options,
    .values_size = sizeof(struct options),
    .run = run,
};
