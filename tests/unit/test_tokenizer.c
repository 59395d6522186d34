/* The tokenizer against brute force: pieces, merges, training; and its files against damage.
 * Identity with Hugging Face tokenizers is tests/parity/test_tokenizer.py's business. */
#include "testing.h"

#include "base/cpu.h"
#include "base/rng.h"
#include "data/bpe_model.h"
#include "data/pretok.h"

#include <sys/wait.h>
#include <unistd.h>

static struct sec_rng rng;

/* Bytes of logs, of Unicode and of neither. */
static size_t random_text(char *out, size_t max)
{
    static const char *const parts[] = {
        "a",
        "B",
        "word",
        "7",
        "12345",
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "\v",
        "=",
        "--",
        "'s",
        "'RE",
        "\xC3\xA9",
        "\xE4\xB8\x80",
        "\xC2\xA0",
        "\xE3\x80\x80",
        "\xD9\xA3",
        "\xF0\x9F\x98\x80",
        "\xC2\x85",
        "\xCC\x81",
        "\x80",
        "\xFF",
        "\xC3",
        "\xED\xA0\x80",
        "\xF4\x90\x80\x80",
        "[MASK]",
        "0123456789abcdef0123456789abcdefABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"};
    size_t n = 0, want = sec_rng_below(&rng, (uint32_t)max);
    while (n < want) {
        char byte = (char)sec_rng_below(&rng, 256);
        bool part = sec_rng_below(&rng, 8) != 0;
        const char *s = part ? parts[sec_rng_below(&rng, sizeof parts / sizeof *parts)] : &byte;
        size_t len = part ? strlen(s) : 1;
        len = len < want - n ? len : want - n;
        memcpy(out + n, s, len);
        n += len;
    }
    return n;
}

static void batch_cuts_as_single_pieces_do(void **state)
{
    (void)state;
    uint32_t ends[128];
    for (int round = 0; round < 20000; round++) {
        /* Exactly as much memory as text, so that a sanitizer sees any read beyond it. */
        char text[400];
        size_t n = random_text(text, sizeof text);
        uint8_t *p = malloc(n + 1);
        memcpy(p, text, n);
        uint8_t *exact = realloc(p, n ? n : 1);
        enum sec_pretok kind = (enum sec_pretok)(round % SEC_N_PRETOKS);
        for (size_t pos = 0; pos < n;) {
            size_t k = sec_pretok_batch(kind, exact + pos, n - pos, ends, 128), at = 0;
            assert_in_range(k, 1, 128);
            for (size_t i = 0; i < k; i++) {
                size_t len = sec_pretok_piece(kind, exact + pos + at, n - pos - at);
                assert_int_equal(ends[i] - at, len);
                at = ends[i];
            }
            pos += at;
        }
        free(exact);
    }
}

static void pieces_of_known_lines(void **state)
{
    (void)state;
    static const struct {
        enum sec_pretok kind;
        const char *text, *pieces; /* separated by | */
    } cases[] = {
        {SEC_PRETOK_LOG, "Failed  password\t\tfor 10.0.12345\r\n\rx",
         "Failed| | password|\t|\t|for| |10|.|0|.|123|45|\r\n|\r|x"},
        {SEC_PRETOK_LOG, " =a=  \n  b", " =|a|=| | |\n| | b"},
        {SEC_PRETOK_GPT2, "it's 12345  x\n\n", "it|'s| 12345| | x|\n\n"},
        {SEC_PRETOK_CL100K, "it'S (abc 12345 =\n\n x", "it|'S| (|abc| |123|45| =\n\n| x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char got[200] = "";
        const char *p = cases[i].text;
        for (size_t n = strlen(p); n;) {
            size_t len = sec_pretok_piece(cases[i].kind, (const uint8_t *)p, n);
            strcat(got, *got ? "|" : "");
            strncat(got, p, len);
            p += len;
            n -= len;
        }
        assert_string_equal(got, cases[i].pieces);
    }
}

/* ---- training against recounting everything before each merge ---- */

#define MAX_IDS   340
#define MAX_WORDS 4000

struct brute {
    uint16_t word[MAX_WORDS][64];
    size_t len[MAX_WORDS], n_words;
    uint64_t count[MAX_IDS][MAX_IDS];
};

static void brute_merge(struct brute *b, uint16_t x, uint16_t y, uint16_t id)
{
    for (size_t w = 0; w < b->n_words; w++) {
        size_t out = 0;
        uint16_t *s = b->word[w];
        for (size_t i = 0; i < b->len[w]; out++) {
            bool hit = i + 1 < b->len[w] && s[i] == x && s[i + 1] == y;
            s[out] = hit ? id : s[i];
            i += hit ? 2 : 1;
        }
        b->len[w] = out;
    }
}

static bool brute_best(struct brute *b, uint64_t least, uint16_t *x, uint16_t *y)
{
    memset(b->count, 0, sizeof b->count);
    for (size_t w = 0; w < b->n_words; w++)
        for (size_t i = 0; i + 1 < b->len[w]; i++)
            b->count[b->word[w][i]][b->word[w][i + 1]]++;
    uint64_t best = 0;
    for (uint16_t i = 0; i < MAX_IDS; i++)
        for (uint16_t j = 0; j < MAX_IDS; j++)
            if (b->count[i][j] > best) {
                best = b->count[i][j];
                *x = i;
                *y = j;
            }
    return best >= least;
}

static struct sec_tokenizer *train(const char *text, size_t n, int vocab, uint64_t least)
{
    struct sec_bpe_options o = {.vocab_size = vocab, .min_frequency = least};
    struct sec_bpe_trainer *t = sec_bpe_trainer_new(&o);
    struct sec_tokenizer *out;
    assert_non_null(t);
    assert_ok(sec_bpe_trainer_add(t, text, n));
    assert_ok(sec_bpe_train(t, &out));
    sec_bpe_trainer_free(t);
    return out;
}

static void training_equals_brute_force(void **state)
{
    (void)state;
    struct brute *b = malloc(sizeof *b);
    static char text[3000];
    uint8_t order[256], rank[256];
    sec_byte_order(order);
    for (int i = 0; i < 256; i++)
        rank[order[i]] = (uint8_t)i;
    for (int round = 0; round < 60; round++) {
        size_t n = 0;
        uint32_t letters = 1 + sec_rng_below(&rng, 4);
        while (n < sizeof text - 64) { /* runs of few letters: pairs that overlap themselves */
            for (uint32_t k = sec_rng_below(&rng, 30) + 1; k; k--)
                text[n++] = (char)('a' + sec_rng_below(&rng, letters));
            text[n++] = "\n =-"[sec_rng_below(&rng, 4)];
        }
        uint64_t least = round % 3 ? 1 : 5;
        struct sec_tokenizer *t = train(text, n, MAX_IDS, least);
        b->n_words = 0;
        for (size_t pos = 0; pos < n;) {
            size_t len = sec_pretok_piece(SEC_PRETOK_LOG, (uint8_t *)text + pos, n - pos);
            for (size_t i = 0; i < len; i++)
                b->word[b->n_words][i] = 5 + rank[(uint8_t)text[pos + i]];
            b->len[b->n_words++] = len;
            pos += len;
        }
        uint16_t x = 0, y = 0;
        for (uint32_t r = 0; r < t->n_merges; r++) {
            assert_true(brute_best(b, least, &x, &y));
            assert_int_equal(t->merges[r].a, x);
            assert_int_equal(t->merges[r].b, y);
            assert_int_equal(t->merges[r].id, 261 + r);
            brute_merge(b, x, y, (uint16_t)(261 + r));
        }
        assert_true(t->vocab_size == MAX_IDS || !brute_best(b, least, &x, &y));
        sec_tokenizer_free(t);
    }
    free(b);
}

static void training_ignores_order_and_sharing(void **state)
{
    (void)state;
    static char docs[200][300];
    size_t len[200];
    char print[65] = "";
    for (int i = 0; i < 200; i++)
        len[i] = random_text(docs[i], sizeof docs[i]);
    for (int parts = 1; parts <= 5; parts++) {
        struct sec_bpe_options o = {.vocab_size = 700, .pretok = SEC_PRETOK_CL100K};
        struct sec_bpe_trainer *t[5];
        struct sec_tokenizer *out;
        for (int k = 0; k < parts; k++)
            t[k] = sec_bpe_trainer_new(&o);
        for (int i = 0; i < 200; i++) {
            int d = parts % 2 ? i : 199 - i;
            assert_ok(sec_bpe_trainer_add(t[i % parts], docs[d], len[d]));
        }
        for (int k = 1; k < parts; k++)
            assert_ok(sec_bpe_trainer_merge(t[0], t[k]));
        assert_ok(sec_bpe_train(t[0], &out));
        if (*print)
            assert_string_equal(print, sec_tokenizer_fingerprint(out));
        strcpy(print, sec_tokenizer_fingerprint(out));
        sec_tokenizer_free(out);
        for (int k = 0; k < parts; k++)
            sec_bpe_trainer_free(t[k]);
    }
}

/* ---- encoding ---- */

static struct sec_tokenizer *sample_tokenizer(void)
{
    static char text[60000];
    size_t n = 0;
    rng = sec_rng_make(5, SEC_STREAM_SAMPLE, 0);
    while (n < sizeof text - 1000)
        n += random_text(text + n, 900);
    return train(text, n, 1500, 0);
}

/* Lowest rank, leftmost, one merge at a time. */
static size_t brute_encode(const struct sec_tokenizer *t, const uint8_t *p, size_t n, uint16_t *ids)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = t->byte_id[p[i]];
    for (;;) {
        uint32_t best = SEC_BPE_NONE;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t v = sec_bpe_lookup(t, ids[i], ids[i + 1]);
            if (v != SEC_BPE_NONE && (best == SEC_BPE_NONE || v >> 16 < best >> 16)) {
                best = v;
                at = i;
            }
        }
        if (best == SEC_BPE_NONE)
            return n;
        ids[at] = (uint16_t)best;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void encoding_equals_brute_force(void **state)
{
    (void)state;
    struct sec_tokenizer *t = sample_tokenizer();
    struct sec_encoder_ctx *c = sec_encoder_ctx_new(t);
    uint16_t *ids = NULL, want[600];
    uint32_t *offsets = NULL;
    size_t cap = 0;
    for (int round = 0; round < 20000; round++) {
        char text[600];
        size_t n = random_text(text, sizeof text), len = 0, k = 0, at = 0;
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        assert_ok(sec_encode_offsets(c, exact, n, 0, &ids, &offsets, &len, &cap));
        for (size_t pos = 0; pos < n;) {
            size_t m = sec_pretok_piece(SEC_PRETOK_LOG, (uint8_t *)exact + pos, n - pos);
            k += brute_encode(t, (uint8_t *)exact + pos, m, want + k);
            pos += m;
        }
        assert_int_equal(len, k);
        assert_memory_equal(ids, want, k * sizeof *ids);
        for (size_t i = 0; i < len; i++) {
            size_t size;
            const uint8_t *bytes = sec_tokenizer_bytes(t, ids[i], &size);
            assert_int_equal(offsets[i], at);
            assert_memory_equal(bytes, exact + at, size);
            at += size;
        }
        assert_int_equal(at, n);
        struct sec_buf back = {0};
        assert_ok(sec_decode(t, ids, len, true, &back));
        assert_int_equal(back.len, n);
        if (n)
            assert_memory_equal(back.data, exact, n);
        sec_buf_free(&back);
        free(exact);
    }
    free(ids);
    free(offsets);
    sec_encoder_ctx_free(c);
    sec_tokenizer_free(t);
}

/* Long runs take the heap; a quadratic method would need hours here. */
static void long_pieces(void **state)
{
    (void)state;
    struct sec_tokenizer *t = train("aaaa aaaa ab ab abab ba", 23, 300, 0);
    struct sec_encoder_ctx *c = sec_encoder_ctx_new(t);
    size_t n = 2000000, len = 0, cap = 0;
    char *text = malloc(n);
    uint16_t *ids = NULL;
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < n; i++)
            text[i] = kind == 0 ? 'a' : (char)('a' + (kind == 1 ? i % 2 : sec_rng_below(&rng, 2)));
        len = 0;
        assert_ok(sec_encode(c, text, n, 0, &ids, &len, &cap));
        struct sec_buf back = {0};
        assert_ok(sec_decode(t, ids, len, false, &back));
        assert_int_equal(back.len, n);
        assert_memory_equal(back.data, text, n);
        sec_buf_free(&back);
    }
    free(text);
    free(ids);
    sec_encoder_ctx_free(c);
    sec_tokenizer_free(t);
}

static void special_names_are_text_unless_asked(void **state)
{
    (void)state;
    struct sec_tokenizer *t = sample_tokenizer();
    struct sec_encoder_ctx *c = sec_encoder_ctx_new(t);
    uint16_t *ids = NULL;
    size_t len = 0, cap = 0;
    const char *text = "x [MASK][PAD] [MASK";
    assert_ok(sec_encode(c, text, strlen(text), 0, &ids, &len, &cap));
    for (size_t i = 0; i < len; i++)
        assert_true(ids[i] >= SEC_TOK_SPECIALS);
    len = 0;
    assert_ok(sec_encode(c, text, strlen(text), SEC_ENCODE_SPECIALS, &ids, &len, &cap));
    size_t special = 0;
    for (size_t i = 0; i < len; i++)
        special += ids[i] < SEC_TOK_SPECIALS;
    assert_int_equal(special, 2);
    struct sec_buf b = {0};
    assert_ok(sec_decode(t, ids, len, false, &b));
    assert_int_equal(b.len, strlen(text));
    sec_buf_clear(&b);
    assert_ok(sec_decode(t, ids, len, true, &b));
    assert_string_equal(b.data, "x  [MASK");
    uint16_t outside = 65000;
    assert_fails(sec_decode(t, &outside, 1, true, &b), SEC_EDATA, "outside the vocabulary");
    sec_buf_free(&b);
    free(ids);
    sec_encoder_ctx_free(c);
    sec_tokenizer_free(t);
}

static void classes_by_rule(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum sec_token_class k;
    } cases[] = {{"abc", SEC_CLASS_CONTENT},          {"=", SEC_CLASS_DELIMITER},
                 {" $+`", SEC_CLASS_DELIMITER},       {"\r\n\t", SEC_CLASS_DELIMITER},
                 {" =a", SEC_CLASS_CONTENT},          {"7", SEC_CLASS_CONTENT},
                 {"\x01\x7F", SEC_CLASS_DELIMITER},   {"\xE2\x80\x94", SEC_CLASS_DELIMITER},
                 {"\xE2\x80", SEC_CLASS_CONTENT},     {"\xE3\x80\x80", SEC_CLASS_DELIMITER},
                 {"\xE2\x82\xAC", SEC_CLASS_CONTENT}, {"\xC3\xA9", SEC_CLASS_CONTENT},
                 {"\xFF", SEC_CLASS_CONTENT},         {"\xC2\x85", SEC_CLASS_DELIMITER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            sec_token_class_of(300, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes)),
            cases[i].k);
    for (int id = 0; id < SEC_TOK_SPECIALS; id++)
        assert_int_equal(sec_token_class_of(id, (const uint8_t *)"=", 1), SEC_CLASS_SPECIAL);
}

/* ---- files ---- */

static void saved_and_loaded(void **state)
{
    (void)state;
    char *dir = scratch_dir(), *file = sec_path_join(dir, "tokenizer.json");
    char *classes = sec_path_join(dir, "token_classes.json");
    struct sec_tokenizer *t = sample_tokenizer(), *u;
    assert_ok(sec_tokenizer_save(t, dir));
    for (int i = 0; i < 2; i++) {
        assert_ok(sec_tokenizer_load(i ? file : dir, &u));
        assert_string_equal(sec_tokenizer_fingerprint(t), sec_tokenizer_fingerprint(u));
        assert_int_equal(sec_tokenizer_vocab_size(t), sec_tokenizer_vocab_size(u));
        assert_memory_equal(sec_tokenizer_classes(t), sec_tokenizer_classes(u),
                            (size_t)sec_tokenizer_vocab_size(t));
        struct sec_buf a = {0}, b = {0};
        assert_ok(sec_tokenizer_json(t, &a));
        assert_ok(sec_tokenizer_json(u, &b));
        assert_string_equal(a.data, b.data);
        sec_buf_free(&a);
        sec_buf_free(&b);
        sec_tokenizer_free(u);
    }
    struct sec_tokenizer *other = train("other words other words", 23, 270, 0);
    assert_ok(sec_remove_tree(classes));
    assert_ok(sec_tokenizer_save(other, dir));
    struct sec_buf text = {0};
    assert_ok(sec_read_file(classes, &text));
    assert_ok(sec_tokenizer_save(t, dir));
    assert_ok(sec_write_file(classes, text.data, text.len));
    assert_fails(sec_tokenizer_load(dir, &u), SEC_EDATA, "token_classes.json: made for tokenizer");
    sec_buf_free(&text);
    sec_tokenizer_free(other);
    sec_tokenizer_free(t);
    free(file);
    free(classes);
    scratch_free(dir);
}

/* Replace the first `from` by `to` in a small tokenizer's JSON; it must be refused with this text.
 */
static void refused(const struct sec_buf *json, const char *from, const char *to, const char *text)
{
    struct sec_buf b = {0};
    struct sec_tokenizer *t;
    const char *at = strstr(json->data, from);
    assert_non_null(at);
    assert_ok(sec_buf_add(&b, json->data, (size_t)(at - json->data)));
    assert_ok(sec_buf_adds(&b, to));
    assert_ok(sec_buf_adds(&b, at + strlen(from)));
    assert_fails(sec_tokenizer_parse(b.data, b.len, "t.json", &t), SEC_EDATA, text);
    assert_null(strchr(sec_error(), '\n'));
    sec_buf_free(&b);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    struct sec_tokenizer *t = train("ab ab abc abc", 13, 263, 0), *u;
    struct sec_buf json = {0};
    assert_ok(sec_tokenizer_json(t, &json));
    refused(&json, "\"b\": 70", "\"b\": 71", "id 71 is given to both");
    refused(&json, "\"b\": 70", "\"b\": 9999", "has no id in 0..262");
    refused(&json, "\"b\": 70", "\"b\": 1.5", "has no id");
    refused(&json, "\"b\": 70", "\"b\": \"x\"", "has no id");
    refused(&json, "\"b\": 70", "\"\\u4e00\": 70", "is not byte-level text");
    refused(&json, "\"b\": 70", "\"\": 70", "is not byte-level text");
    refused(&json, "\"z\": 94", "\"zz\": 94", "no entry for byte 0x7A");
    refused(&json, "\"b\": 70", "\"a\": 70", "has two ids");
    refused(&json, "      [\"a\", \"b\"]", "      [\"a\", \"c\"]",
            "the result is not in the vocab");
    refused(&json, "      [\"a\", \"b\"]", "      [\"qq\", \"b\"]", "the left side is not");
    refused(&json, "      [\"a\", \"b\"]", "      [\"a\", \"qq\"]", "the right side is not");
    refused(&json, "      [\"a\", \"b\"]", "      [\"a\"]", "is not a pair of strings");
    refused(&json, "      [\"a\", \"b\"]", "      7", "is not a pair of strings");
    refused(&json, "\"[PAD]\": 0", "\"<pad>\": 0", "id 0 must be [PAD]");
    refused(&json, "\"BPE\"", "\"Unigram\"", "only BPE is supported");
    refused(&json, "\"byte_fallback\": false", "\"byte_fallback\": true", "byte_fallback is set");
    refused(&json, "\"ignore_merges\": false", "\"ignore_merges\": true", "ignore_merges is set");
    refused(&json, "\"normalizer\": null", "\"normalizer\": {\"type\":\"NFC\"}", "normalizer");
    refused(&json, "{1,3}", "{1,4}", "none of log, gpt2, cl100k");
    refused(&json, "\"Isolated\"", "\"Removed\"", "pre_tokenizer is not");
    refused(&json, "\"model\"", "\"modle\"", "key 'model' is missing");
    refused(&json, "\"vocab\"", "\"vocal\"", "key 'model.vocab' is missing");
    refused(&json, "\"merges\"", "\"merger\"", "key 'model.merges' is missing");
    refused(&json, "\"content\": \"[MASK]\"", "\"content\": \"<m>\"", "added token '<m>'");
    for (size_t n = 0; n + 2 < json.len; n += 7) /* the last byte is a newline */
        assert_int_equal(sec_tokenizer_parse(json.data, n, "cut.json", &u), SEC_EDATA);
    sec_buf_free(&json);
    sec_tokenizer_free(t);
}

/* Random damage must give a tokenizer that works, or one clear line; never a crash. */
static void random_damage(void **state)
{
    (void)state;
    struct sec_tokenizer *t = train("ab ab abc abc 12 12 abc abcd", 28, 268, 0), *u;
    struct sec_buf json = {0};
    assert_ok(sec_tokenizer_json(t, &json));
    static const char junk[] = "\"[]{},:0123456789ab\\u \xC3\xA9\xFFntf-.e";
    for (int round = 0; round < 4000; round++) {
        char *copy = malloc(json.len);
        size_t n = json.len;
        memcpy(copy, json.data, n);
        for (uint32_t k = sec_rng_below(&rng, 4) + 1; k; k--) {
            size_t at = sec_rng_below(&rng, (uint32_t)n);
            if (sec_rng_below(&rng, 3)) {
                copy[at] = junk[sec_rng_below(&rng, sizeof junk - 1)];
            } else {
                memmove(copy + at, copy + at + 1, n - at - 1);
                n--;
            }
        }
        if (sec_tokenizer_parse(copy, n, "t.json", &u) == 0) {
            struct sec_encoder_ctx *c = sec_encoder_ctx_new(u);
            uint16_t *ids = NULL;
            size_t len = 0, cap = 0;
            assert_ok(sec_encode(c, "abcd 12 \xFF", 9, 0, &ids, &len, &cap));
            free(ids);
            sec_encoder_ctx_free(c);
            sec_tokenizer_free(u);
        } else {
            assert_true(*sec_error() && !strchr(sec_error(), '\n'));
        }
        free(copy);
    }
    sec_buf_free(&json);
    sec_tokenizer_free(t);
}

static void options_out_of_range(void **state)
{
    (void)state;
    struct sec_bpe_options o = {.vocab_size = 260};
    assert_null(sec_bpe_trainer_new(&o));
    assert_non_null(strstr(sec_error(), "it must be 261"));
    o.vocab_size = 65536;
    assert_null(sec_bpe_trainer_new(&o));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_cuts_as_single_pieces_do),
        cmocka_unit_test(pieces_of_known_lines),
        cmocka_unit_test(training_equals_brute_force),
        cmocka_unit_test(training_ignores_order_and_sharing),
        cmocka_unit_test(encoding_equals_brute_force),
        cmocka_unit_test(long_pieces),
        cmocka_unit_test(special_names_are_text_unless_asked),
        cmocka_unit_test(classes_by_rule),
        cmocka_unit_test(saved_and_loaded),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(random_damage),
        cmocka_unit_test(options_out_of_range),
    };
    rng = sec_rng_make(1, SEC_STREAM_SAMPLE, 0);
    /* The instruction set is chosen once a process: the portable one needs its own. */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setenv("SECENC_ISA", "portable", 1);
        const struct CMUnitTest portable[] = {cmocka_unit_test(batch_cuts_as_single_pieces_do)};
        exit(cmocka_run_group_tests_name("portable", portable, NULL, NULL));
    }
    int status = 1;
    waitpid(child, &status, 0);
    return cmocka_run_group_tests(tests, NULL, NULL) + (status != 0);
}
