#include "base/cpu.h"

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

static const char *const names[] = {"portable", "avx2", "avx512", "avx512bf16"};

static enum sec_isa detected, used;
static char model[128] = "unknown processor";
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The compiler's check includes the operating system's consent (XCR0). */
static enum sec_isa detect(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d;
    int f16c = __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2") || !f16c)
        return SEC_ISA_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return SEC_ISA_AVX2;
    return __builtin_cpu_supports("avx512bf16") ? SEC_ISA_AVX512BF16 : SEC_ISA_AVX512;
#else
    return SEC_ISA_PORTABLE;
#endif
}

static void read_model(void)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon || !colon[1])
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(model, sizeof model, "%s", colon + 2);
        break;
    }
    fclose(f);
}

static void init(void)
{
    detected = used = detect();
    read_model();
    const char *want = getenv("SECENC_ISA");
    if (!want || !*want)
        return;
    for (int i = 0; i <= SEC_ISA_AVX512BF16; i++) {
        if (strcmp(want, names[i]))
            continue;
        if (i > (int)detected)
            sec_warn("SECENC_ISA=%s: this processor has only %s", want, names[detected]);
        else
            used = (enum sec_isa)i;
        return;
    }
    sec_warn("SECENC_ISA=%s is not known (portable, avx2, avx512, avx512bf16); using %s", want,
             names[used]);
}

enum sec_isa sec_cpu_isa(void)
{
    pthread_once(&once, init);
    return used;
}

enum sec_isa sec_cpu_isa_detected(void)
{
    pthread_once(&once, init);
    return detected;
}

const char *sec_isa_name(enum sec_isa isa)
{
    return names[isa];
}

const char *sec_cpu_model(void)
{
    pthread_once(&once, init);
    return model;
}
