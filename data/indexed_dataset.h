/* Megatron's indexed data set: PREFIX.bin, all tokens of a split one after the other (u16 little-
 * endian), and PREFIX.idx, which says where each document lies. Read by Megatron-LM and what came
 * from it (NeMo, GPT-NeoX, OLMo, nanotron). The index, little-endian, as megatron-core 0.16 reads
 * it:
 *
 *   "MMIDIDX\0\0"  u64 version 1  u8 type of a token (8 = uint16)  u64 sequences  u64 documents + 1
 *   i32 [sequences] lengths  i64 [sequences] byte offsets in .bin  i64 [documents + 1] first
 * sequence
 *
 * A document is one sequence of its tokens only, without [CLS] and [SEP], in the order of the
 * shards.
 *
 * Memory: one chunk of tokens, whatever the data set. The files are durable; the index appears
 * last, so a pair is whole once it is there. */
#ifndef SEC_DATA_INDEXED_DATASET_H
#define SEC_DATA_INDEXED_DATASET_H

#include "data/tokshard.h"

/* SEC_EUSAGE if a file of this name is there, unless replace; SEC_EDATA for damaged shards. */
int sec_indexed_dataset_write(const struct sec_tokens *t, const char *prefix, bool replace);

#endif
