#include "train/tensorboard.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct sec_tb {
    int fd;
    char *path;
    struct sec_buf pending; /* framed records not yet written */
    struct sec_buf message;
};

/* Protobuf wire format: the keys are (field << 3 | type), type 0 varint, 1 64-bit, 2 bytes, 5
 * 32-bit. */
static void put_varint(struct sec_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        sec_buf_addc(b, (char)(v | 0x80));
    sec_buf_addc(b, (char)v);
}

static void put_bytes(struct sec_buf *b, int field, const void *p, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    sec_buf_add(b, p, n);
}

static uint32_t masked_crc(const void *p, size_t n)
{
    uint32_t crc = sec_crc32c(0, p, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static int put_record(struct sec_tb *t)
{
    uint64_t n = t->message.len;
    uint32_t head = masked_crc(&n, 8), body = masked_crc(t->message.data, t->message.len);
    int rc;
    SEC_TRY(sec_buf_add(&t->pending, &n, 8));
    SEC_TRY(sec_buf_add(&t->pending, &head, 4));
    SEC_TRY(sec_buf_add(&t->pending, t->message.data, t->message.len));
    SEC_TRY(sec_buf_add(&t->pending, &body, 4));
fail:
    sec_buf_clear(&t->message);
    return rc;
}

/* Event.wall_time = 1 (double), Event.step = 2 (int64). */
static void start_event(struct sec_tb *t, int64_t step)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double wall = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    sec_buf_clear(&t->message);
    put_varint(&t->message, 1 << 3 | 1);
    sec_buf_add(&t->message, &wall, 8);
    put_varint(&t->message, 2 << 3 | 0);
    put_varint(&t->message, (uint64_t)step);
}

int sec_tb_open(const char *dir, int64_t last_step, struct sec_tb **out)
{
    static const char version[] = "brain.Event:2";
    int rc;
    char name[128], host[64] = "localhost";
    struct sec_tb *t = calloc(1, sizeof *t);
    if (!t)
        return sec_fail(SEC_ENOMEM, "no memory for a TensorBoard writer");
    gethostname(host, sizeof host - 1);
    snprintf(name, sizeof name, "events.out.tfevents.%lld.%s.%d", (long long)time(NULL), host,
             (int)getpid());
    t->path = sec_path_join(dir, name);
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (t->fd < 0) {
        rc = sec_fail_errno(errno, "cannot create %s", t->path);
        goto fail;
    }
    start_event(t, 0);
    put_bytes(&t->message, 3, version, sizeof version - 1); /* Event.file_version */
    SEC_TRY(put_record(t));
    if (last_step > 0) {
        static const char start[] = {1 << 3 | 0, 1}; /* SessionLog.status = START */
        start_event(t, last_step + 1);
        put_bytes(&t->message, 7, start, sizeof start); /* Event.session_log */
        SEC_TRY(put_record(t));
    }
    SEC_TRY(sec_tb_flush(t));
    *out = t;
    return 0;
fail:
    sec_tb_close(t);
    return rc;
}

int sec_tb_scalar(struct sec_tb *t, const char *tag, int64_t step, double value)
{
    char space[160];
    struct sec_buf v = {.data = space, .cap = sizeof space};
    float f = (float)value;
    size_t n = strlen(tag);
    if (n > 100)
        return sec_fail(SEC_EFAIL, "TensorBoard tag '%s' is longer than 100 bytes", tag);
    put_bytes(&v, 1, tag, n);   /* Summary.Value.tag */
    put_varint(&v, 2 << 3 | 5); /* Summary.Value.simple_value */
    sec_buf_add(&v, &f, 4);
    start_event(t, step);
    put_varint(&t->message, 5 << 3 | 2); /* Event.summary, holding one Summary.value = 1 */
    put_varint(&t->message, 2 + v.len);
    put_bytes(&t->message, 1, v.data, v.len);
    return put_record(t);
}

int sec_tb_flush(struct sec_tb *t)
{
    int rc = sec_write_all(t->fd, t->pending.data, t->pending.len, t->path);
    sec_buf_clear(&t->pending);
    return rc;
}

void sec_tb_close(struct sec_tb *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    sec_buf_free(&t->pending);
    sec_buf_free(&t->message);
    free(t->path);
    free(t);
}
