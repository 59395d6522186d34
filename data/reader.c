#include "data/reader.h"

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { INPUT = 1 << 18, UNPACKED = 1 << 18, WIDE = 1 << 16, ZSTD_START = 5, ZSTD_BLOCKHEADER = 3 };
enum packing { PLAIN, GZIP, ZSTD };
enum text_form { UTF8, UTF16LE, UTF16BE };

struct sec_reader {
    char *path;
    int fd;
    enum packing packing;
    uint8_t *in;
    size_t in_pos, in_len;
    uint64_t file_pos; /* of in[in_len] */
    bool in_eof;
    char damage[200];
    bool ended; /* of the unpacked bytes */

    struct inflate_state *gzip;
    bool in_member;
    uint8_t *unpacked; /* [UNPACKED] the rest of what the inflater gave for a small read */
    size_t unpacked_pos, unpacked_len;
    ZSTD_DCtx *zstd;
    size_t zstd_hint;
    bool zstd_held; /* output was full: the decoder may hold more of it */

    enum text_form form;
    uint8_t *wide; /* UTF-16 bytes waiting to be turned into UTF-8 */
    size_t wide_pos, wide_len;
    uint8_t spare[4]; /* the rest of a character that did not fit */
    size_t spare_pos, spare_len;
};

static uint64_t position(const struct sec_reader *r)
{
    return r->file_pos - r->in_len + r->in_pos;
}

static void damaged(struct sec_reader *r, const char *what)
{
    snprintf(r->damage, sizeof r->damage, "%s at byte %llu", what, (unsigned long long)position(r));
    r->ended = true;
}

/* More input when there is none; in_eof at the end. */
static int fill(struct sec_reader *r)
{
    if (r->in_pos < r->in_len || r->in_eof)
        return 0;
    size_t got;
    int rc = sec_read_full(r->fd, r->in, INPUT, &got, r->path);
    if (rc)
        return rc;
    r->in_pos = 0;
    r->in_len = got;
    r->file_pos += got;
    r->in_eof = got == 0;
    return 0;
}

static int read_plain(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    size_t have = r->in_len - r->in_pos;
    if (have) {
        *got = have < n ? have : n;
        memcpy(out, r->in + r->in_pos, *got);
        r->in_pos += *got;
        return 0;
    }
    int rc = sec_read_full(r->fd, out, n, got, r->path);
    r->file_pos += *got;
    r->ended = *got == 0;
    return rc;
}

/* At a member's end: another one, or zeros or garbage that gzip(1) would ignore too. */
static bool next_member(struct sec_reader *r)
{
    const uint8_t *p = r->in + r->in_pos;
    size_t n = r->in_len - r->in_pos;
    if (n && p[0] == 0x1F && (n == 1 || p[1] == 0x8B)) {
        isal_inflate_reset(r->gzip);
        r->gzip->crc_flag = ISAL_GZIP;
        r->in_member = true;
        return true;
    }
    while (n && p[0] == 0) {
        p++;
        n--;
    }
    if (n)
        damaged(r, "bytes that are not gzip follow a member");
    r->ended = true;
    return false;
}

/* Unpack always into a buffer of one size, out[UNPACKED]: what comes before a damage then does not
 * depend on how much the caller asks for. */
static int inflate_some(struct sec_reader *r, uint8_t *out, size_t *got)
{
    struct inflate_state *s = r->gzip;
    *got = 0;
    while (!*got && !r->ended) {
        int rc = fill(r);
        if (rc)
            return rc;
        if (!r->in_member && !next_member(r))
            break;
        s->next_in = r->in + r->in_pos;
        s->avail_in = (uint32_t)(r->in_len - r->in_pos);
        s->next_out = out;
        s->avail_out = UNPACKED;
        int status = isal_inflate(s);
        *got = UNPACKED - s->avail_out;
        r->in_pos = r->in_len - s->avail_in;
        if (status == ISAL_INCORRECT_CHECKSUM)
            damaged(r, "gzip data with a wrong checksum");
        else if (status != ISAL_DECOMP_OK && status != ISAL_END_INPUT)
            damaged(r, "gzip data is damaged");
        else if (s->block_state == ISAL_BLOCK_FINISH)
            r->in_member = false;
        else if (!*got && r->in_eof)
            damaged(r, "gzip data ends inside a member");
    }
    return 0;
}

static int read_gzip(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    int rc = 0;
    if (r->unpacked_pos == r->unpacked_len) {
        if (n >= UNPACKED)
            return inflate_some(r, out, got);
        r->unpacked_pos = 0;
        rc = inflate_some(r, r->unpacked, &r->unpacked_len);
    }
    size_t have = r->unpacked_len - r->unpacked_pos;
    *got = rc ? 0 : have < n ? have : n;
    memcpy(out, r->unpacked + r->unpacked_pos, *got);
    r->unpacked_pos += *got;
    return rc;
}

/* Bytes to give the decoder. What a call has unpacked before it meets damage is lost, so no call
 * may both unpack a block and look at the next: that is the size it asks for, less the next block's
 * header. */
static size_t zstd_feed(const struct sec_reader *r)
{
    size_t have = r->in_len - r->in_pos, ask = r->zstd_hint ? r->zstd_hint : ZSTD_START;
    if (ask > ZSTD_BLOCKHEADER)
        ask -= ZSTD_BLOCKHEADER;
    return ask < have ? ask : have;
}

static int read_zstd(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    while (!*got && !r->ended) {
        bool held = r->zstd_held && r->zstd_hint;
        int rc = held ? 0 : fill(r);
        if (rc)
            return rc;
        if (r->in_eof && !held) {
            if (r->zstd_hint)
                damaged(r, "zstd data ends inside a frame");
            r->ended = true;
            break;
        }
        ZSTD_inBuffer input = {r->in, r->in_pos + (held ? 0 : zstd_feed(r)), r->in_pos};
        ZSTD_outBuffer output = {out, n, 0};
        size_t hint = ZSTD_decompressStream(r->zstd, &output, &input);
        r->in_pos = input.pos;
        *got = output.pos;
        r->zstd_held = output.pos == output.size;
        if (ZSTD_isError(hint)) {
            char what[120];
            snprintf(what, sizeof what, "zstd data is damaged (%s)", ZSTD_getErrorName(hint));
            damaged(r, what);
        } else {
            r->zstd_hint = hint;
        }
    }
    return 0;
}

/* Unpacked bytes, at least one until the end. */
static int read_some(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    if (r->ended && r->unpacked_pos == r->unpacked_len)
        return 0;
    return r->packing == GZIP   ? read_gzip(r, out, n, got)
           : r->packing == ZSTD ? read_zstd(r, out, n, got)
                                : read_plain(r, out, n, got);
}

static int read_unpacked(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        size_t k;
        int rc = read_some(r, out + *got, n - *got, &k);
        if (rc)
            return rc;
        if (!k)
            break;
        *got += k;
    }
    return 0;
}

/* Two bytes more of UTF-16, moving what is left to the front; false at the end of the text. */
static int more_wide(struct sec_reader *r, size_t need, bool *enough)
{
    size_t left = r->wide_len - r->wide_pos, got = 0;
    int rc = 0;
    if (left < need) {
        memmove(r->wide, r->wide + r->wide_pos, left);
        rc = read_unpacked(r, r->wide + left, WIDE - left, &got);
        r->wide_pos = 0;
        r->wide_len = left + got;
    }
    *enough = r->wide_len - r->wide_pos >= need;
    return rc;
}

static uint32_t unit_at(const struct sec_reader *r, size_t at)
{
    const uint8_t *p = r->wide + at;
    return r->form == UTF16LE ? (uint32_t)(p[0] | p[1] << 8) : (uint32_t)(p[1] | p[0] << 8);
}

/* One character of UTF-16; unpaired surrogates and an odd last byte are U+FFFD. */
static int next_wide(struct sec_reader *r, uint32_t *cp, bool *end)
{
    bool enough;
    int rc = more_wide(r, 2, &enough);
    *end = false;
    if (rc)
        return rc;
    if (!enough) {
        *end = r->wide_pos == r->wide_len;
        r->wide_pos = r->wide_len;
        *cp = 0xFFFD;
        return 0;
    }
    *cp = unit_at(r, r->wide_pos);
    r->wide_pos += 2;
    if (*cp < 0xD800 || *cp > 0xDFFF)
        return 0;
    uint32_t high = *cp;
    *cp = 0xFFFD;
    if (high > 0xDBFF)
        return 0;
    rc = more_wide(r, 2, &enough);
    if (rc || !enough)
        return rc;
    uint32_t low = unit_at(r, r->wide_pos);
    if (low >= 0xDC00 && low <= 0xDFFF) {
        r->wide_pos += 2;
        *cp = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    }
    return 0;
}

static int read_wide(struct sec_reader *r, uint8_t *out, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        if (r->spare_pos == r->spare_len) {
            uint32_t cp;
            bool end;
            int rc = next_wide(r, &cp, &end);
            if (rc || end)
                return rc;
            r->spare_pos = 0;
            r->spare_len = sec_utf8_encode(cp, r->spare);
        }
        out[(*got)++] = r->spare[r->spare_pos++];
    }
    return 0;
}

int sec_reader_read(struct sec_reader *r, void *buf, size_t n, size_t *got)
{
    if (r->form != UTF8)
        return read_wide(r, buf, n, got);
    size_t waiting = r->wide_len - r->wide_pos; /* the bytes looked at for a byte order mark */
    if (waiting > n)
        waiting = n;
    memcpy(buf, r->wide + r->wide_pos, waiting);
    r->wide_pos += waiting;
    int rc = read_unpacked(r, (uint8_t *)buf + waiting, n - waiting, got);
    *got += waiting;
    return rc;
}

static int check_kind(struct sec_reader *r)
{
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } foreign[] = {{"BZh", 3, "bzip2-compressed"},
                   {"\xFD"
                    "7zXZ",
                    5, "xz-compressed"},
                   {"PK\x03\x04", 4, "a zip archive"},
                   {"\x04\x22\x4D\x18", 4, "lz4-compressed"},
                   {"7z\xBC\xAF", 4, "a 7-Zip archive"},
                   {"ElfFile", 8, "a binary Windows event log (.evtx)"}};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (r->in_len >= foreign[i].n && !memcmp(r->in, foreign[i].magic, foreign[i].n))
            return sec_fail(SEC_EDATA, "%s is %s; unpack or convert it to text first", r->path,
                            foreign[i].what);
    return 0;
}

static int start_unpacking(struct sec_reader *r)
{
    const uint8_t *p = r->in;
    int rc;
    SEC_TRY(fill(r));
    SEC_TRY(check_kind(r));
    uint32_t magic = r->in_len < 4 ? 0
                                   : (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                                         (uint32_t)p[3] << 24;
    if (r->in_len >= 3 && p[0] == 0x1F && p[1] == 0x8B && p[2] == 8) {
        r->packing = GZIP;
        /* Zeroed: damaged data may refer to history that was never written. */
        r->gzip = calloc(1, sizeof *r->gzip);
        r->unpacked = calloc(1, UNPACKED);
        if (!r->gzip || !r->unpacked)
            return sec_fail(SEC_ENOMEM, "out of memory for %s", r->path);
        isal_inflate_init(r->gzip);
        r->gzip->crc_flag = ISAL_GZIP;
        r->in_member = true;
    } else if (magic == ZSTD_MAGICNUMBER ||
               (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START) {
        r->packing = ZSTD;
        r->zstd = ZSTD_createDCtx();
        if (!r->zstd)
            return sec_fail(SEC_ENOMEM, "out of memory for %s", r->path);
        ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, 31);
    }
fail:
    return rc;
}

static int start_text(struct sec_reader *r)
{
    r->wide = malloc(WIDE);
    if (!r->wide)
        return sec_fail(SEC_ENOMEM, "out of memory for %s", r->path);
    int rc = read_unpacked(r, r->wide, 2, &r->wide_len);
    if (rc || r->wide_len < 2)
        return rc;
    if (r->wide[0] == 0xFF && r->wide[1] == 0xFE)
        r->form = UTF16LE;
    else if (r->wide[0] == 0xFE && r->wide[1] == 0xFF)
        r->form = UTF16BE;
    if (r->form != UTF8)
        r->wide_pos = 2;
    return 0;
}

int sec_reader_open(const char *path, struct sec_reader **out)
{
    int rc = SEC_ENOMEM;
    *out = NULL;
    struct sec_reader *r = calloc(1, sizeof *r);
    if (!r)
        return sec_fail(rc, "out of memory for %s", path);
    bool input = !strcmp(path, "-");
    r->fd = -1;
    r->path = strdup(input ? "standard input" : path);
    r->in = malloc(INPUT);
    if (!r->path || !r->in) {
        sec_fail(rc, "out of memory for %s", path);
        goto fail;
    }
    r->fd = input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        rc = sec_fail_errno(errno, "cannot open %s", path);
        goto fail;
    }
    struct stat st;
    if (!fstat(r->fd, &st) && S_ISDIR(st.st_mode)) {
        rc = sec_fail(SEC_EFAIL, "%s is a directory, a file is needed", path);
        goto fail;
    }
    SEC_TRY(start_unpacking(r));
    SEC_TRY(start_text(r));
    *out = r;
    return 0;
fail:
    sec_reader_close(r);
    return rc;
}

const char *sec_reader_damage(const struct sec_reader *r)
{
    return r->damage[0] ? r->damage : NULL;
}

uint64_t sec_reader_bytes_in(const struct sec_reader *r)
{
    return position(r);
}

void sec_reader_close(struct sec_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    ZSTD_freeDCtx(r->zstd);
    free(r->gzip);
    free(r->unpacked);
    free(r->wide);
    free(r->in);
    free(r->path);
    free(r);
}
