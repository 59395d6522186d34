/* TensorBoard event files: TFRecord framing (length, masked CRC32C, data, masked CRC32C) around
 * Event protobuf messages with scalar summaries, as written by tensorflow/core/util/events_writer.
 * A writer belongs to one thread. */
#ifndef SEC_TRAIN_TENSORBOARD_H
#define SEC_TRAIN_TENSORBOARD_H

#include <stdint.h>

struct sec_tb;

/* A new event file in dir. first_step > 0 (a resumed run) makes TensorBoard drop the points of
 * earlier files from that step on. */
int sec_tb_open(const char *dir, int64_t last_step, struct sec_tb **out);
int sec_tb_scalar(struct sec_tb *t, const char *tag, int64_t step, double value);
int sec_tb_flush(struct sec_tb *t);
void sec_tb_close(struct sec_tb *t);

#endif
