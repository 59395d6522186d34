/* mma, ldmatrix and cp.async on the host. */
#include "ptx_host.h"
#include "internal.h"

namespace cuda_host
{
typedef float F8 __attribute__((vector_size(32)));

/* Products of bf16 are exact in fp32, so fused or not, every instruction set gives the same sums;
 * they go along k in ascending order. */
#define MULTIPLY_BODY                                                                              \
    for (int i = 0; i < 16; i++) {                                                                 \
        F8 sum = d[i];                                                                             \
        for (int k = 0; k < 16; k++)                                                               \
            sum += a[i][k] * b[k];                                                                 \
        d[i] = sum;                                                                                \
    }
static void multiply_portable(F8 d[16], const float a[16][16], const F8 b[16])
{
    MULTIPLY_BODY
}
__attribute__((target("avx2,fma"))) static void multiply_avx2(F8 d[16], const float a[16][16],
                                                              const F8 b[16])
{
    MULTIPLY_BODY
}
static void (*const multiply)(F8[16], const float[16][16],
                              const F8[16]) = __builtin_cpu_supports("avx2") &&
                                                      __builtin_cpu_supports("fma")
                                                  ? multiply_avx2
                                                  : multiply_portable;

static void run_mma(void *const args[32])
{
    float a[16][16];
    union {
        F8 row[16];
        float at[16][8];
    } b, d;
    for (int l = 0; l < 32; l++) {
        const MmaArg *m = static_cast<const MmaArg *>(args[l]);
        int g = l / 4, t = l % 4 * 2;
        for (int r = 0; r < 4; r++) {
            float *to = &a[g + 8 * (r & 1)][t + 8 * (r >> 1)];
            to[0] = __uint_as_float(m->a[r] << 16);
            to[1] = __uint_as_float(m->a[r] & 0xFFFF0000u);
            d.at[g + 8 * (r >> 1)][t + (r & 1)] = m->d[r];
        }
        for (int r = 0; r < 2; r++) {
            b.at[t + 8 * r][g] = __uint_as_float(m->b[r] << 16);
            b.at[t + 8 * r + 1][g] = __uint_as_float(m->b[r] & 0xFFFF0000u);
        }
    }
    multiply(d.row, a, b.row);
    for (int l = 0; l < 32; l++) {
        const MmaArg *m = static_cast<const MmaArg *>(args[l]);
        for (int r = 0; r < 4; r++)
            m->d[r] = d.at[l / 4 + 8 * (r >> 1)][l % 4 * 2 + (r & 1)];
    }
}

static void check_rows(void *const args[32])
{
    for (int l = 0; l < 32; l++)
        check_smem(static_cast<const LdmatrixArg *>(args[l])->row, 16, 16, "ldmatrix");
}
static void run_ldmatrix(void *const args[32])
{
    check_rows(args);
    for (int l = 0; l < 32; l++)
        for (int m = 0; m < 4; m++) {
            const LdmatrixArg *row = static_cast<const LdmatrixArg *>(args[8 * m + l / 4]);
            memcpy(&static_cast<LdmatrixArg *>(args[l])->r[m],
                   static_cast<const char *>(row->row) + 4 * (l % 4), 4);
        }
}
static void run_ldmatrix_trans(void *const args[32])
{
    check_rows(args);
    for (int l = 0; l < 32; l++)
        for (int m = 0; m < 4; m++) {
            uint16_t pair[2];
            for (int i = 0; i < 2; i++) {
                void *row = args[8 * m + l % 4 * 2 + i];
                memcpy(&pair[i],
                       static_cast<const char *>(static_cast<LdmatrixArg *>(row)->row) +
                           2 * (l / 4),
                       2);
            }
            static_cast<LdmatrixArg *>(args[l])->r[m] = pair[0] | (uint32_t)pair[1] << 16;
        }
}
const Collective op_mma = {"mma", run_mma};
const Collective op_ldmatrix = {"ldmatrix", run_ldmatrix};
const Collective op_ldmatrix_trans = {"ldmatrix.trans", run_ldmatrix_trans};

void cp_async(void *smem, const void *global, bool valid)
{
    check_smem(smem, 16, 16, "cp.async, target");
    if ((uintptr_t)global % 16)
        thread_fail(cudaErrorMisalignedAddress, "cp.async, source %p: not aligned to 16 bytes",
                    global);
    if (!device_contains(global, valid ? 16 : 0))
        thread_fail(cudaErrorIllegalAddress, "cp.async, source %p: not within device memory",
                    global);
    record_copies(smem, valid ? global : nullptr, 16);
}
void cp_async_commit()
{
    commit_copies();
}
void cp_async_wait(unsigned groups_left)
{
    wait_copies(groups_left);
}
} // namespace cuda_host
