/* A batch in the making: [CLS] tokens [SEP] of samples one after the other, no pads.
 *
 * Ownership: the struct owns the arrays its batch points into. init allocates all there will ever
 * be. One thread at a time. */
#ifndef SEC_DATA_PACK_H
#define SEC_DATA_PACK_H

#include "base/batch.h"
#include "data/masking_impl.h"

struct sec_pack {
    struct sec_batch batch; /* valid after sec_pack_mask() */
    int32_t budget, n_tokens, n_seqs;
    int32_t *cu_seqlens, *rows;
    uint16_t *ids, *labels;
    uint64_t *row_key, *sample_id;
    uint32_t *first_pos; /* [n_seqs] position of [CLS] for the masks */
    void *block;
};

int sec_pack_init(struct sec_pack *p, int budget);
void sec_pack_free(struct sec_pack *p);

void sec_pack_clear(struct sec_pack *p);
static inline bool sec_pack_fits(const struct sec_pack *p, uint32_t len)
{
    return p->n_tokens + (int64_t)len + 2 <= p->budget;
}
/* Room for the len tokens of a sample, which the caller fills in; sec_pack_fits() must hold. */
uint16_t *sec_pack_add(struct sec_pack *p, uint64_t sample, uint32_t first_pos, uint32_t len);
/* Mask every sequence and make the batch. */
void sec_pack_mask(struct sec_pack *p, const struct sec_masker *m);

#endif
