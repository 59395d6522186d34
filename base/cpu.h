/* What this processor can do. SECENC_ISA=portable|avx2|avx512|avx512bf16 lowers it (for tests). */
#ifndef SEC_BASE_CPU_H
#define SEC_BASE_CPU_H

enum sec_isa { SEC_ISA_PORTABLE, SEC_ISA_AVX2, SEC_ISA_AVX512, SEC_ISA_AVX512BF16 };

enum sec_isa sec_cpu_isa(void);          /* the best one, after SECENC_ISA; read once */
enum sec_isa sec_cpu_isa_detected(void); /* the hardware's */
const char *sec_isa_name(enum sec_isa isa);
const char *sec_cpu_model(void); /* "AMD EPYC ..." */

#endif
