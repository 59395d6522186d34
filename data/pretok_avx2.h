/* sec_pretok_batch() for the pattern "log" with AVX2; call it only where the processor has that. */
#ifndef SEC_DATA_PRETOK_AVX2_H
#define SEC_DATA_PRETOK_AVX2_H

#include <stddef.h>
#include <stdint.h>

size_t sec_pretok_log_avx2(const uint8_t *p, size_t n, uint32_t *ends, size_t cap);

#endif
