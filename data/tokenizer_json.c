/* tokenizer.json (Hugging Face `tokenizers`) -> struct sec_tokenizer. Whatever our encoder would
 * not reproduce exactly is refused, with the key named. */
#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/str.h"
#include "data/bpe_model.h"
#include "data/pretok.h"

#include <stdlib.h>
#include <string.h>

/* What is being put together. Strings -> ids through open addressing over bytes. */
struct parser {
    const char *name;
    int symbol_byte[512]; /* code point -> byte, -1 */
    int vocab_size;
    uint8_t *bytes;
    uint32_t *off;
    struct sec_bpe_merge *merges;
    uint32_t n_merges;
    uint16_t *index; /* id + 1; 0 = empty */
    uint32_t index_mask;
    struct sec_buf pair; /* bytes of a merge's two sides */
};

static const cJSON *get(const cJSON *o, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(o, key);
}

static bool is_str(const cJSON *o, const char *value)
{
    return cJSON_IsString(o) && strcmp(o->valuestring, value) == 0;
}

static bool absent(const cJSON *o)
{
    return !o || cJSON_IsNull(o) || cJSON_IsFalse(o) || is_str(o, "");
}

/* ByteLevel without an added space; regex says whether it may split by itself. */
static bool is_byte_level(const cJSON *o, bool regex)
{
    const cJSON *use = get(o, "use_regex");
    return is_str(get(o, "type"), "ByteLevel") && cJSON_IsFalse(get(o, "add_prefix_space")) &&
           (regex ? !use || cJSON_IsTrue(use) : cJSON_IsFalse(use));
}

static int parse_pretok(const struct parser *p, const cJSON *root, enum sec_pretok *out)
{
    const cJSON *pre = get(root, "pre_tokenizer");
    if (is_byte_level(pre, true)) {
        *out = SEC_PRETOK_GPT2;
        return 0;
    }
    const cJSON *list = get(pre, "pretokenizers");
    const cJSON *split = cJSON_IsArray(list) ? list->child : NULL;
    if (!is_str(get(pre, "type"), "Sequence") || !split || !split->next || split->next->next ||
        !is_str(get(split, "type"), "Split") || !is_str(get(split, "behavior"), "Isolated") ||
        !absent(get(split, "invert")) || !is_byte_level(split->next, false))
        return sec_fail(SEC_EDATA,
                        "%s: pre_tokenizer is not Sequence[Split(Regex, Isolated), ByteLevel]; "
                        "train one with `secenc tokenizer train`",
                        p->name);
    const cJSON *regex = get(get(split, "pattern"), "Regex");
    for (int k = 0; k < SEC_N_PRETOKS; k++) {
        if (is_str(regex, sec_pretok_patterns[k])) {
            *out = (enum sec_pretok)k;
            return 0;
        }
    }
    return sec_fail(SEC_EDATA, "%s: the pattern in pre_tokenizer is none of log, gpt2, cl100k",
                    p->name);
}

static int check_model(const struct parser *p, const cJSON *root, const cJSON *model)
{
    if (!cJSON_IsObject(model))
        return sec_fail(SEC_EDATA, "%s: key 'model' is missing or not an object", p->name);
    const cJSON *type = get(model, "type");
    if (type && !is_str(type, "BPE"))
        return sec_fail(SEC_EDATA, "%s: model.type is '%s', only BPE is supported", p->name,
                        cJSON_IsString(type) ? type->valuestring : "?");
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback", "ignore_merges"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!absent(get(model, off[i])))
            return sec_fail(SEC_EDATA, "%s: model.%s is set, which is not supported", p->name,
                            off[i]);
    if (!absent(get(root, "normalizer")))
        return sec_fail(SEC_EDATA, "%s: a normalizer is set, which is not supported", p->name);
    return 0;
}

/* Bytes that a string of byte symbols stands for; false if it holds anything else. */
static bool symbols_to_bytes(const struct parser *p, const char *s, uint8_t *out, size_t *n_out)
{
    size_t len = strlen(s), n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        bool ok;
        i += sec_utf8_decode((const uint8_t *)s + i, len - i, &cp, &ok);
        if (!ok || cp >= 512 || p->symbol_byte[cp] < 0)
            return false;
        out[n++] = (uint8_t)p->symbol_byte[cp];
    }
    *n_out = n;
    return n > 0;
}

/* Slot of the entry with these bytes, or the empty slot where it belongs. */
static uint16_t *find(const struct parser *p, const uint8_t *bytes, size_t n)
{
    uint32_t i = (uint32_t)sec_hash64(bytes, n, 0) & p->index_mask;
    for (; p->index[i]; i = (i + 1) & p->index_mask) {
        int id = p->index[i] - 1;
        if (p->off[id + 1] - p->off[id] == n && memcmp(p->bytes + p->off[id], bytes, n) == 0)
            break;
    }
    return &p->index[i];
}

static int index_init(struct parser *p)
{
    uint32_t cap = 1024;
    while (cap < (uint32_t)p->vocab_size * 2)
        cap *= 2;
    p->index = calloc(cap, sizeof *p->index);
    p->index_mask = cap - 1;
    return p->index ? 0 : sec_fail(SEC_ENOMEM, "%s: no memory for the vocabulary", p->name);
}

/* Entries in order of their ids: by_id[id] = member of model.vocab. */
static int order_vocab(const struct parser *p, const cJSON *vocab, const cJSON **by_id)
{
    for (const cJSON *e = vocab->child; e; e = e->next) {
        int id = cJSON_IsNumber(e) ? e->valueint : -1;
        if (!cJSON_IsNumber(e) || (double)id != e->valuedouble || id < 0 || id >= p->vocab_size)
            return sec_fail(SEC_EDATA,
                            "%s: vocab entry '%.60s' has no id in 0..%d; ids must be whole and "
                            "without gaps",
                            p->name, e->string, p->vocab_size - 1);
        if (by_id[id])
            return sec_fail(SEC_EDATA, "%s: id %d is given to both '%.60s' and '%.60s'", p->name,
                            id, by_id[id]->string, e->string);
        by_id[id] = e;
    }
    return 0;
}

static int fill_vocab(struct parser *p, const cJSON **by_id, size_t total)
{
    p->bytes = malloc(total + 1);
    p->off = malloc(((size_t)p->vocab_size + 1) * sizeof *p->off);
    if (!p->bytes || !p->off)
        return sec_fail(SEC_ENOMEM, "%s: no memory for the vocabulary", p->name);
    size_t at = 0;
    for (int id = 0; id < p->vocab_size; id++) {
        const char *s = by_id[id]->string;
        size_t n = strlen(s);
        p->off[id] = (uint32_t)at;
        if (id < SEC_TOK_SPECIALS)
            memcpy(p->bytes + at, s, n);
        else if (!symbols_to_bytes(p, s, p->bytes + at, &n))
            return sec_fail(SEC_EDATA, "%s: vocab entry '%.60s' (id %d) is not byte-level text",
                            p->name, s, id);
        at += n;
        p->off[id + 1] = (uint32_t)at;
        if (id < SEC_TOK_SPECIALS)
            continue;
        uint16_t *slot = find(p, p->bytes + p->off[id], n);
        if (*slot)
            return sec_fail(SEC_EDATA, "%s: vocab entry '%.60s' has two ids, %d and %d", p->name, s,
                            *slot - 1, id);
        *slot = (uint16_t)(id + 1);
    }
    return 0;
}

static int parse_vocab(struct parser *p, const cJSON *vocab)
{
    if (!cJSON_IsObject(vocab))
        return sec_fail(SEC_EDATA, "%s: key 'model.vocab' is missing or not an object", p->name);
    size_t total = 0, count = 0;
    for (const cJSON *e = vocab->child; e; e = e->next, count++)
        total += strlen(e->string);
    if (count < SEC_BPE_BASE || count > SEC_BPE_MAX_VOCAB || total > SEC_BPE_MAX_BYTES)
        return sec_fail(SEC_EDATA,
                        "%s: a vocabulary of %zu entries and %zu bytes; supported are %d to %d "
                        "entries in up to %u bytes",
                        p->name, count, total, SEC_BPE_BASE, SEC_BPE_MAX_VOCAB, SEC_BPE_MAX_BYTES);
    p->vocab_size = (int)count;
    const cJSON **by_id = calloc(count, sizeof *by_id);
    int rc = by_id ? index_init(p) : sec_fail(SEC_ENOMEM, "%s: no memory", p->name);
    if (!rc)
        rc = order_vocab(p, vocab, by_id);
    if (!rc)
        rc = fill_vocab(p, by_id, total);
    free(by_id);
    return rc;
}

/* Id of one side, its bytes appended to p->pair; -1 if unknown. */
static int side(struct parser *p, const char *s, size_t len)
{
    char text[512], *copy = len < sizeof text ? text : malloc(len + 1);
    if (!copy || sec_buf_reserve(&p->pair, len + 1))
        return -1;
    memcpy(copy, s, len);
    copy[len] = 0;
    uint8_t *dst = (uint8_t *)p->pair.data + p->pair.len;
    size_t n;
    int id = symbols_to_bytes(p, copy, dst, &n) ? *find(p, dst, n) - 1 : -1;
    if (id >= 0)
        p->pair.len += n;
    if (copy != text)
        free(copy);
    return id;
}

/* ["a", "b"], or "a b" in files of older versions. */
static int parse_merge(struct parser *p, const cJSON *e, struct sec_bpe_merge *out)
{
    const char *a = NULL, *b = NULL;
    size_t a_len = 0;
    if (cJSON_IsArray(e) && cJSON_IsString(e->child) && cJSON_IsString(e->child->next) &&
        !e->child->next->next) {
        a = e->child->valuestring;
        a_len = strlen(a);
        b = e->child->next->valuestring;
    } else if (cJSON_IsString(e) && strchr(e->valuestring, ' ')) {
        a = e->valuestring;
        b = strchr(a, ' ') + 1;
        a_len = (size_t)(b - a) - 1;
    } else {
        return sec_fail(SEC_EDATA, "%s: merge %u is not a pair of strings", p->name, p->n_merges);
    }
    sec_buf_clear(&p->pair);
    int ida = side(p, a, a_len), idb = ida < 0 ? -1 : side(p, b, strlen(b));
    int id = idb < 0 ? -1 : *find(p, (const uint8_t *)p->pair.data, p->pair.len) - 1;
    if (id < 0)
        return sec_fail(SEC_EDATA, "%s: merge %u ('%.40s' + '%.40s'): %s is not in the vocabulary",
                        p->name, p->n_merges, a, b,
                        ida < 0 ? "the left side" : (idb < 0 ? "the right side" : "the result"));
    *out = (struct sec_bpe_merge){(uint16_t)ida, (uint16_t)idb, (uint16_t)id};
    return 0;
}

static int parse_merges(struct parser *p, const cJSON *merges)
{
    if (!cJSON_IsArray(merges))
        return sec_fail(SEC_EDATA, "%s: key 'model.merges' is missing or not an array", p->name);
    int count = cJSON_GetArraySize(merges);
    if (count > SEC_BPE_MAX_MERGES)
        return sec_fail(SEC_EDATA, "%s: %d merges; at most %d are supported", p->name, count,
                        SEC_BPE_MAX_MERGES);
    p->merges = malloc(((size_t)count + 1) * sizeof *p->merges);
    if (!p->merges)
        return sec_fail(SEC_ENOMEM, "%s: no memory for %d merges", p->name, count);
    for (const cJSON *e = merges->child; e; e = e->next) {
        int rc = parse_merge(p, e, &p->merges[p->n_merges]);
        if (rc)
            return rc;
        p->n_merges++;
    }
    return 0;
}

static int check_added(const struct parser *p, const cJSON *added)
{
    for (const cJSON *e = cJSON_IsArray(added) ? added->child : NULL; e; e = e->next) {
        const cJSON *id = get(e, "id"), *content = get(e, "content");
        int i = cJSON_IsNumber(id) ? id->valueint : -1;
        if (i < 0 || i >= SEC_TOK_SPECIALS || !is_str(content, sec_special_names[i]))
            return sec_fail(SEC_EDATA,
                            "%s: added token '%.60s' (id %d); only [PAD] [CLS] [SEP] [UNK] [MASK] "
                            "with ids 0 to 4 are supported",
                            p->name, cJSON_IsString(content) ? content->valuestring : "?", i);
    }
    return 0;
}

int sec_tokenizer_parse(const char *text, size_t len, const char *name, struct sec_tokenizer **out)
{
    int rc;
    cJSON *root = NULL;
    struct parser p = {.name = name};
    enum sec_pretok pretok = SEC_PRETOK_LOG;
    for (uint32_t cp = 0; cp < 512; cp++)
        p.symbol_byte[cp] = -1;
    for (unsigned b = 0; b < 256; b++)
        p.symbol_byte[sec_byte_symbol((uint8_t)b)] = (int)b;
    SEC_TRY(sec_json_parse(text, len, name, &root));
    const cJSON *model = get(root, "model");
    SEC_TRY(check_model(&p, root, model));
    SEC_TRY(parse_pretok(&p, root, &pretok));
    SEC_TRY(check_added(&p, get(root, "added_tokens")));
    SEC_TRY(parse_vocab(&p, get(model, "vocab")));
    SEC_TRY(parse_merges(&p, get(model, "merges")));
    rc = sec_tokenizer_build(p.vocab_size, pretok, p.bytes, p.off, p.merges, p.n_merges, name, out);
    p.bytes = NULL;
    p.off = NULL;
    p.merges = NULL;
fail:
    free(p.bytes);
    free(p.off);
    free(p.merges);
    free(p.index);
    sec_buf_free(&p.pair);
    cJSON_Delete(root);
    return rc;
}
