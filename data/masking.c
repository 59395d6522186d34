#include "data/masking.h"

#include "base/cpu.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/masking_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    BIT_WORDS = 16, /* draws computed at once: 1024 positions */
    ACTIONS = 64,   /* replacements computed at once */
    NGRAM_LIMIT = 64,
    FIELD_LIMIT = 32, /* a longer field (a base64 blob) is drawn in runs of this many tokens, so
                         that one draw cannot take most of a sample */
    N_IDS = UINT16_MAX + 1,

    CONTENT = 1,
    BREAK_BEFORE = 2,
    BREAK_AFTER = 4
};
#define SUB_SPAN   0x40000000u
#define SUB_ACTION 0x80000000u
#define SUB_BEFORE 0xC0000000u

typedef void (*bits_fn)(uint64_t, uint32_t, uint64_t, uint32_t, uint32_t, uint64_t *, int);
typedef void (*words_fn)(uint64_t, uint32_t, uint64_t, uint32_t, const int32_t *, int,
                         uint32_t (*)[2]);

struct sec_masker {
    struct sec_mask_options o;
    uint32_t stream, threshold;       /* of a draw */
    uint64_t to_mask, to_random;      /* upper bounds of word 0 of the action */
    uint64_t span_bound[NGRAM_LIMIT]; /* word 0 below [k] of 2^32: a span of at most k + 1 */
    bits_fn draw_bits;
    words_fn draw_words;
    uint32_t n_content;
    uint16_t *content_ids;
    uint64_t content_bits[N_IDS / 64];
    uint8_t flags[N_IDS];
};

static uint64_t bound(double p)
{
    return (uint64_t)(p * 0x1p32 + 0.5);
}

/* Probability that a position is the start of a span, such that each position is covered by at
 * least one span with probability p: 1 - prod_j (1 - q P(length > j)) = p. Bisection on q. */
static double span_start(double p, int max, const double *longer)
{
    double lo = 0, hi = p;
    for (int i = 0; i < 60; i++) {
        double q = (lo + hi) / 2, uncovered = 1;
        for (int j = 0; j < max; j++)
            uncovered *= 1 - q * longer[j];
        if (1 - uncovered < p)
            lo = q;
        else
            hi = q;
    }
    return lo;
}

static double init_spans(struct sec_masker *m)
{
    double sum = 0, below = 0, longer[NGRAM_LIMIT];
    for (int k = 1; k <= m->o.ngram_max; k++)
        sum += 1.0 / k;
    for (int k = 1; k <= m->o.ngram_max; k++) {
        longer[k - 1] = 1 - below; /* P(length > k - 1) */
        below += 1.0 / k / sum;
        m->span_bound[k - 1] = bound(below);
    }
    return span_start(m->o.probability, m->o.ngram_max, longer);
}

/* Where one field ends and the next begins. '.', ':', '/', '-' and '_' are inside fields, so that
 * an address, a path or a time is one. */
static bool field_delimiter(uint8_t c)
{
    return c <= ' ' || c == 0x7F || strchr("=,;\"'()[]{}<>|", c) != NULL;
}

static uint8_t field_flags(const uint8_t *p, size_t n)
{
    uint8_t flags = 0;
    for (size_t i = 0; i < n; i++)
        if (field_delimiter(p[i]))
            flags |= i == 0 ? BREAK_BEFORE : i == n - 1 ? BREAK_AFTER : BREAK_BEFORE | BREAK_AFTER;
    if (n == 1 && flags)
        flags = BREAK_BEFORE | BREAK_AFTER;
    return flags;
}

static int init_ids(struct sec_masker *m, const struct sec_tokenizer *t)
{
    const int vocab = sec_tokenizer_vocab_size(t);
    const uint8_t *classes = sec_tokenizer_classes(t);
    m->content_ids = malloc((size_t)vocab * sizeof *m->content_ids);
    if (!m->content_ids)
        return sec_fail(SEC_ENOMEM, "no memory for the content tokens");
    for (int id = 0; id < vocab && id < N_IDS; id++) {
        size_t n;
        const uint8_t *p = sec_tokenizer_bytes(t, (uint16_t)id, &n);
        m->flags[id] =
            classes[id] == SEC_CLASS_SPECIAL ? BREAK_BEFORE | BREAK_AFTER : field_flags(p, n);
        if (classes[id] != SEC_CLASS_CONTENT)
            continue;
        m->flags[id] |= CONTENT;
        m->content_bits[id / 64] |= UINT64_C(1) << id % 64;
        m->content_ids[m->n_content++] = (uint16_t)id;
    }
    return m->n_content ? 0 : sec_fail(SEC_EDATA, "the tokenizer has no content token to mask");
}

static int check_options(const struct sec_mask_options *o)
{
    if (!(o->probability > 0 && o->probability < 1))
        return sec_fail(SEC_ECONFIG, "masking probability %g is not between 0 and 1",
                        o->probability);
    if (!(o->p_mask >= 0 && o->p_random >= 0 && o->p_mask + o->p_random <= 1 + 1e-9))
        return sec_fail(SEC_ECONFIG,
                        "masking shares [MASK] %g and random %g must be from 0 to 1 in sum",
                        o->p_mask, o->p_random);
    if (o->ngram_max < 0 || o->ngram_max > NGRAM_LIMIT)
        return sec_fail(SEC_ECONFIG, "longest masked span %d is not 1 to %d", o->ngram_max,
                        NGRAM_LIMIT);
    if (o->whole_field && o->ngram_max > 1)
        return sec_fail(SEC_ECONFIG,
                        "masking by whole field and by spans up to %d exclude each other",
                        o->ngram_max);
    return 0;
}

static void choose_isa(struct sec_masker *m)
{
    enum sec_isa isa = sec_cpu_isa();
    m->draw_bits = sec_mask_bits_portable;
    m->draw_words = sec_mask_words_portable;
    if (isa >= SEC_ISA_AVX512) {
        m->draw_bits = sec_mask_bits_avx512;
        m->draw_words = sec_mask_words_avx512;
    } else if (isa >= SEC_ISA_AVX2) {
        m->draw_bits = sec_mask_bits_avx2;
        m->draw_words = sec_mask_words_avx2;
    }
}

uint64_t sec_mask_fingerprint(const struct sec_mask_options *o)
{
    /* Widened one by one: the struct has padding, and a span of 0 and one of 1 are the same. */
    uint64_t v[7] = {
        o->seed, 0, 0, 0, o->whole_field, o->ngram_max > 1 ? (uint64_t)o->ngram_max : 1, o->eval};
    memcpy(&v[1], &o->probability, sizeof v[1]);
    memcpy(&v[2], &o->p_mask, sizeof v[2]);
    memcpy(&v[3], &o->p_random, sizeof v[3]);
    uint64_t h = sec_hash64(v, sizeof v, 0);
    return h ? h : 1;
}

int sec_masker_new(const struct sec_tokenizer *t, const struct sec_mask_options *o,
                   struct sec_masker **out)
{
    int rc = check_options(o);
    if (rc)
        return rc;
    struct sec_masker *m = calloc(1, sizeof *m);
    if (!m)
        return sec_fail(SEC_ENOMEM, "no memory for the masks");
    m->o = *o;
    m->stream = o->eval ? SEC_STREAM_EVAL : SEC_STREAM_MASK;
    m->to_mask = bound(o->eval ? 1 : o->p_mask);
    m->to_random = bound(o->eval ? 1 : o->p_mask + o->p_random);
    double p = o->ngram_max > 1 ? init_spans(m) : o->probability;
    m->threshold = (uint32_t)bound(p);
    choose_isa(m);
    SEC_TRY(init_ids(m, t));
    *out = m;
    return 0;
fail:
    sec_masker_free(m);
    return rc;
}

void sec_masker_free(struct sec_masker *m)
{
    if (!m)
        return;
    free(m->content_ids);
    free(m);
}

void sec_mask_bits_portable(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t first_block,
                            uint32_t threshold, uint64_t *bits, int n)
{
    for (int i = 0; i < n; i++) {
        bits[i] = 0;
        for (uint32_t b = 0; b < 16; b++) {
            uint32_t w[4];
            sec_rand4(seed, stream, sample, first_block + 16u * (uint32_t)i + b, w);
            for (unsigned k = 0; k < 4; k++)
                bits[i] |= (uint64_t)(w[k] < threshold) << (4 * b + k);
        }
    }
}

void sec_mask_words_portable(uint64_t seed, uint32_t stream, uint64_t sample, uint32_t sub,
                             const int32_t *pos, int n, uint32_t (*words)[2])
{
    for (int i = 0; i < n; i++) {
        uint32_t w[4];
        sec_rand4(seed, stream, sample, sub + (uint32_t)pos[i], w);
        words[i][0] = w[0];
        words[i][1] = w[1];
    }
}

/* The sequence being masked. First the positions are drawn into rows[] (without branches on what is
 * drawn, which no processor can predict), then the drawn tokens are replaced. */
struct job {
    const struct sec_masker *m;
    uint64_t sample;
    uint32_t first_pos;
    const uint16_t *ids;
    int32_t *rows;
    int n_drawn;
    /* carried from one range of positions to the next */
    uint8_t last_flags;
    bool drawn;
    int run;       /* tokens of the current field */
    int remaining; /* content tokens that the current span still covers */
};

static inline bool bit(const uint64_t *bits, int i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* Single tokens. bits[] begins at token `from - skip`. */
static void draw_tokens(struct job *j, const uint64_t *bits, int from, int to, int skip)
{
    const uint64_t *content = j->m->content_bits;
    int n = j->n_drawn;
    for (int base = from - skip; base < to; base += 64) {
        uint64_t b = *bits++;
        if (base < from)
            b &= ~UINT64_C(0) << (from - base);
        if (to - base < 64)
            b &= ~(~UINT64_C(0) << (to - base));
        for (; b; b &= b - 1) {
            int i = base + __builtin_ctzll(b);
            j->rows[n] = i;
            n += bit(content, j->ids[i]);
        }
    }
    j->n_drawn = n;
}

static void draw_fields(struct job *j, const uint64_t *bits, int from, int to, int skip)
{
    const uint8_t *all_flags = j->m->flags;
    unsigned last = j->last_flags, drawn = j->drawn;
    int n = j->n_drawn, run = j->run;
    for (int i = from; i < to; i++) {
        unsigned flags = all_flags[j->ids[i]];
        unsigned border = (last & BREAK_AFTER) | (flags & BREAK_BEFORE) | (run == FIELD_LIMIT);
        unsigned here = bit(bits, i - from + skip);
        drawn = border ? here : drawn;
        run = border ? 1 : run + 1;
        last = flags;
        j->rows[n] = i;
        n += drawn & flags & CONTENT;
    }
    j->last_flags = (uint8_t)last;
    j->drawn = drawn;
    j->run = run;
    j->n_drawn = n;
}

static int span_length(const struct job *j, uint32_t sub)
{
    uint32_t w[4];
    int k = 0;
    sec_rand4(j->m->o.seed, j->m->stream, j->sample, sub, w);
    while (k < j->m->o.ngram_max - 1 && w[0] >= j->m->span_bound[k])
        k++;
    return k + 1;
}

/* Spans that began before the first content token, so that the first ones are drawn as often as the
 * rest. */
static void spans_before(struct job *j)
{
    for (int k = 1; k < j->m->o.ngram_max; k++) {
        uint32_t w[4];
        sec_rand4(j->m->o.seed, j->m->stream, j->sample, SUB_BEFORE | (uint32_t)(2 * k), w);
        if (w[0] >= j->m->threshold)
            continue;
        int left = span_length(j, SUB_BEFORE | (uint32_t)(2 * k + 1)) - k;
        j->remaining = left > j->remaining ? left : j->remaining;
    }
}

static void draw_spans(struct job *j, const uint64_t *bits, int from, int to, int skip)
{
    for (int i = from; i < to; i++) {
        int content = j->m->flags[j->ids[i]] & CONTENT;
        if (content && bit(bits, i - from + skip)) {
            int n = span_length(j, SUB_SPAN | (j->first_pos + (uint32_t)i));
            j->remaining = n > j->remaining ? n : j->remaining;
        }
        int covered = content & (j->remaining > 0);
        j->rows[j->n_drawn] = i;
        j->n_drawn += covered;
        j->remaining -= covered;
    }
}

/* Replace the drawn tokens, keep what they were, and count the rows from row0. */
static void replace(const struct job *j, uint16_t *ids, int row0, uint16_t *labels)
{
    const struct sec_masker *m = j->m;
    uint32_t w[ACTIONS][2] = {{0}}; /* zeros: [MASK], as evaluation wants it */
    for (int from = 0; from < j->n_drawn; from += ACTIONS) {
        int32_t *rows = j->rows + from;
        int n = j->n_drawn - from < ACTIONS ? j->n_drawn - from : ACTIONS;
        if (!m->o.eval)
            m->draw_words(m->o.seed, m->stream, j->sample, SUB_ACTION + j->first_pos, rows, n, w);
        for (int k = 0; k < n; k++) {
            uint16_t *id = &ids[rows[k]];
            uint16_t other = m->content_ids[sec_below(w[k][1], m->n_content)];
            labels[from + k] = *id;
            *id = w[k][0] < m->to_mask ? SEC_TOK_MASK : w[k][0] < m->to_random ? other : *id;
            rows[k] += row0;
        }
    }
}

int sec_masker_apply(const struct sec_masker *m, uint64_t sample, uint32_t first_pos, uint16_t *ids,
                     int n, int row0, int32_t *rows, uint16_t *labels)
{
    struct job j = {.m = m,
                    .sample = sample,
                    .first_pos = first_pos,
                    .ids = ids,
                    .rows = rows,
                    .last_flags = BREAK_AFTER};
    uint64_t bits[BIT_WORDS];
    int skip = (int)(first_pos % 4), from = 0;
    if (m->o.ngram_max > 1)
        spans_before(&j);
    while (from < n) {
        int to = from - skip + BIT_WORDS * 64 < n ? from - skip + BIT_WORDS * 64 : n;
        m->draw_bits(m->o.seed, m->stream, sample, (first_pos + (uint32_t)from) / 4, m->threshold,
                     bits, (to - from + skip + 63) / 64);
        if (m->o.ngram_max > 1)
            draw_spans(&j, bits, from, to, skip);
        else if (m->o.whole_field)
            draw_fields(&j, bits, from, to, skip);
        else
            draw_tokens(&j, bits, from, to, skip);
        from = to;
        skip = 0;
    }
    replace(&j, ids, row0, labels);
    return j.n_drawn;
}

int sec_mask(const struct sec_tokenizer *t, const struct sec_mask_options *o, uint64_t sample,
             uint32_t first_pos, uint16_t *ids, int n, int32_t *rows, uint16_t *labels)
{
    struct sec_masker *m;
    int rc = sec_masker_new(t, o, &m);
    if (rc)
        return rc;
    rc = sec_masker_apply(m, sample, first_pos, ids, n, 0, rows, labels);
    sec_masker_free(m);
    return rc;
}
