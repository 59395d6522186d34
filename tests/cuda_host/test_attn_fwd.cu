/* The bf16 forward of attention against plain loops in double from the same bf16 inputs, for every
 * way a pair of tiles finds its slots; and the scores of a tile whose rows are keys. */
#include "attn_data.h"
#include "kernels/cuda/attn_fwd.cu"
#include "testing.h"

#include <math.h>

/* Sequences one after the other. Slots by DeBERTa's buckets of k rows: linear to k / 2, logarithmic
 * to mp. */
struct Case {
    std::vector<int> lens;
    int d, heads, k, mp;
    float p; /* dropout */
};

static constexpr uint64_t SEED = 0x123456789ABCDEF;
static constexpr uint32_t SITE = 5;

/* Rows of q, k, v side by side; Kr and Qr too. */
struct Problem {
    Case c;
    int tokens = 0, width, span = 1, linear = 0;
    std::vector<int> start;
    std::vector<uint16_t> rel;
    std::vector<bf16> x, r;
    std::vector<uint64_t> keys;
    explicit Problem(const Case &of) : c(of), width(of.heads * of.d)
    {
        for (int len : c.lens) {
            start.push_back(tokens);
            tokens += len;
            span = len > span ? len : span;
        }
        for (int delta = 1 - span; delta < span; delta++)
            rel.push_back((uint16_t)bucket(delta, c.k, c.mp));
        while (linear + 1 < span && slot(linear + 1) == linear + 1 + slot(0) &&
               slot(-linear - 1) == -linear - 1 + slot(0))
            linear++;
        x = values<bf16>(1, (size_t)(3 * tokens * width));
        r = values<bf16>(2, (size_t)(4 * c.k * width));
        for (auto *v : {&x, &r}) /* of size 2: scores of a few units */
            for (bf16 &f : *v)
                f = from_float<bf16>(2 * to_float(f));
        for (int i = 0; i < tokens; i++)
            keys.push_back((uint64_t)i * 0x9E3779B97F4A7C15u);
    }
    int slot(int delta) const
    {
        return rel[(size_t)(delta + span - 1)];
    }
    double scale() const
    {
        return (double)(1 / sqrtf(3 * (float)c.d));
    }
    /* Part 0, 1, 2 of x: q, k, v; of r: Kr, Qr. */
    const bf16 *at(int token, int part, int h) const
    {
        return &x[(size_t)((3 * token + part) * width + h * c.d)];
    }
    const bf16 *rel_at(int row, int part, int h) const
    {
        return &r[(size_t)((2 * row + part) * width + h * c.d)];
    }
    double dot(const bf16 *a, const bf16 *b) const
    {
        double sum = 0;
        for (int i = 0; i < c.d; i++)
            sum += (double)to_float(a[i]) * (double)to_float(b[i]);
        return sum;
    }
    /* Of tokens first + i and first + j; sign 1, or -1 for the usual mistake in the second term. */
    double score(int first, int i, int j, int h, int sign) const
    {
        const bf16 *qi = at(first + i, 0, h), *kj = at(first + j, 1, h);
        return dot(qi, kj) + dot(qi, rel_at(slot(i - j), 0, h)) +
               dot(kj, rel_at(slot(sign * (i - j)), 1, h));
    }
    double keep(int token, int h, int j) const
    {
        if (c.p == 0)
            return 1;
        uint64_t key = keys[(size_t)token];
        uint32_t ctr[4] = {(uint32_t)key, (uint32_t)(key >> 32), (uint32_t)j >> 2,
                           SITE + ((uint32_t)h << 16)};
        uint32_t seed[2] = {(uint32_t)SEED, (uint32_t)(SEED >> 32)}, word[4];
        sec_philox4x32(ctr, seed, word);
        return word[j & 3] >= sec_dropout_threshold(c.p) ? sec_dropout_scale(c.p) : 0;
    }
};

struct Wanted {
    std::vector<double> o, lse;
};
static void wanted_row(const Problem &p, int s, int i, int h, int sign, Wanted &w)
{
    int len = p.c.lens[(size_t)s], first = p.start[(size_t)s], d = p.c.d;
    std::vector<double> a((size_t)len);
    double max = -INFINITY, sum = 0;
    for (int j = 0; j < len; j++) {
        a[(size_t)j] = p.scale() * p.score(first, i, j, h, sign);
        max = fmax(max, a[(size_t)j]);
    }
    for (double x : a)
        sum += exp(x - max);
    for (int j = 0; j < len; j++)
        for (int col = 0; col < d; col++)
            w.o[(size_t)((first + i) * p.width + h * d + col)] +=
                exp(a[(size_t)j] - max) / sum * p.keep(first + i, h, j) *
                (double)to_float(p.at(first + j, 2, h)[col]);
    w.lse[(size_t)(h * p.tokens + first + i)] = max + log(sum);
}
static Wanted wanted(const Problem &p, int sign)
{
    Wanted w;
    w.o.resize((size_t)(p.tokens * p.width));
    w.lse.resize((size_t)(p.c.heads * p.tokens));
    for (size_t s = 0; s < p.c.lens.size(); s++)
        for (int h = 0; h < p.c.heads; h++)
            for (int i = 0; i < p.c.lens[s]; i++)
                wanted_row(p, (int)s, i, h, sign, w);
    return w;
}

struct Result {
    std::vector<bf16> o;
    std::vector<float> lse;
    bool operator==(const Result &r) const
    {
        return o.size() == r.o.size() && lse == r.lse &&
               !memcmp(o.data(), r.o.data(), o.size() * sizeof(bf16));
    }
};
static Result run(const Problem &p)
{
    std::vector<sec_cuda_tile> tiles;
    for (size_t s = 0; s < p.c.lens.size(); s++)
        for (int row = 0; row < p.c.lens[s]; row += SEC_CUDA_TILE)
            tiles.push_back({p.start[s], p.c.lens[s], row});
    tiles.push_back({0, 0, 0});
    Device<sec_cuda_tile> dev_tiles(tiles);
    Device<bf16> x(p.x), r(p.r), o((size_t)(p.tokens * p.width));
    Device<float> lse((size_t)(p.c.heads * p.tokens));
    Device<uint16_t> rel(p.rel);
    Device<uint64_t> keys(p.keys), seed(std::vector<uint64_t>{SEED});
    Attn<bf16> a = {};
    a.tiles = dev_tiles.p;
    a.rel = rel.p + p.span - 1;
    a.linear = p.linear;
    a.n_tokens = p.tokens;
    a.rel_rows = 2 * p.c.k;
    a.head_dim = p.c.d;
    a.heads = p.c.heads;
    a.scale = (float)p.scale();
    a.q = x.p;
    a.k = x.p + p.width;
    a.v = x.p + 2 * p.width;
    a.kr = r.p;
    a.qr = r.p + p.width;
    a.ld = 3 * p.width;
    a.ld_rel = 2 * p.width;
    a.ld_o = p.width;
    a.o = o.p;
    a.lse = lse.p;
    a.drop = {p.c.p > 0 ? keys.p : nullptr, seed.p, SITE, sec_dropout_threshold(p.c.p),
              (float)sec_dropout_scale(p.c.p)};
    assert_cuda(attn_fwd_bf16(a, (int)tiles.size(), nullptr));
    return {o.get(), lse.get()};
}

/* Relative in L2; NaN where anything is. */
template <class T>
static double error_of(const std::vector<T> &got, const std::vector<double> &want)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < want.size(); i++) {
        double diff = (double)to_float(got[i]) - want[i];
        off += diff * diff;
        size += want[i] * want[i];
    }
    return sqrt(off / size);
}

static double worst_o, worst_lse;
static void check(const Case &c)
{
    Problem p(c);
    Wanted w = wanted(p, 1);
    Result r = run(p);
    double o = error_of(r.o, w.o), lse = error_of(r.lse, w.lse);
    worst_o = fmax(worst_o, o);
    worst_lse = fmax(worst_lse, lse);
    if (!(o <= 5e-3 && lse <= 1e-5))
        fail_msg("%d tokens, d %d, k %d, mp %d, dropout %g: relative error of o %g, of lse %g",
                 p.tokens, c.d, c.k, c.mp, (double)c.p, o, lse);
    if (p.tokens > 2) {
        double mistake = error_of(r.o, wanted(p, -1).o);
        if (!(mistake > 5e-2))
            fail_msg("%d tokens: the wrong sign is only %g away", p.tokens, mistake);
    }
}

static void test_lengths(void **)
{
    for (int len : {1, 7, 63, 64, 65, 127, 200, 513})
        for (int d : {32, 64, 128}) {
            check({{len}, d, 1, 256, 512, d == 64 ? 0.1f : 0.0f});
            check({{len}, d, 1, 32, 64, d == 64 ? 0.0f : 0.1f});
        }
    print_message("relative errors up to: o %.2e, lse %.2e\n", worst_o, worst_lse);
}

/* One slot for many tiles, and slots that are skipped where buckets grow faster than distances. */
static void test_tables(void **)
{
    for (int d : {32, 64, 128}) {
        check({{513}, d, 1, 8, 16, 0.1f});
        check({{300}, d, 1, 256, 150, 0});
        check({{400}, d, 1, 128, 512, 0});
    }
}

static void test_ragged(void **)
{
    check({{65, 1, 200, 64, 7, 130}, 64, 3, 32, 64, 0.1f});
    check({{5, 100, 32, 33}, 32, 2, 256, 512, 0.2f});
    check({{31, 96}, 128, 2, 16, 64, 0.1f});
}

/* A NaN spoils the rows of its own sequence and head, no others. */
static void test_nan(void **)
{
    Problem p({{70, 130, 65}, 64, 2, 32, 64, 0});
    Result good = run(p);
    p.x[(size_t)((3 * (70 + 100) + 1) * p.width + 3)] = bf16{0x7FC0};
    Result bad = run(p);
    for (int i = 0; i < p.tokens; i++)
        for (int col = 0; col < p.width; col++) {
            size_t at = (size_t)(i * p.width + col);
            if (i >= 70 && i < 200 && col < 64)
                assert_true(isnan(to_float(bad.o[at])));
            else
                assert_int_equal(bad.o[at].bits, good.o[at].bits);
        }
}

static void test_schedules(void **)
{
    for (int d : {32, 64, 128}) {
        Problem p({{200, 17}, d, 2, 16, 32, 0.1f});
        same_bits_each_schedule(p, run);
    }
}

/* Scores of all pairs of tiles of one sequence. Rows are queries, or keys when SIGN is -1; x, y and
 * their tables rx, ry have rows of D. */
template <class S> struct ScoreShared {
    bf16 y[S::BN * S::D];
    S pos;
};
template <class S>
static __global__ void scores(const uint16_t *rel, int linear, int len, const bf16 *x,
                              const bf16 *y, const bf16 *rx, const bf16 *ry, float *out)
{
    constexpr int D = S::D, BN = S::BN;
    DYN_SMEM(ScoreShared<S>, s);
    int x0 = blockIdx.x * ATTN_ROWS, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    uint32_t f[D / 16][4];
    load_fragments<D>(f, x, D, x0, len);
    AttnPair before = {};
    AttnRowScore row;
    for (int y0 = 0; y0 < len; y0 += BN) {
        AttnPair p = attn_pair<S>(rel, linear, x0, y0, len);
        load_tile<D, BN>(s->y, y, D, y0, len);
        load_window(s->pos, p, y0 ? &before : nullptr, rel, len, rx, ry, D);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        strips(s->pos, p, rel, len, f, s->y, row);
        float acc[BN / 8][4] = {};
        mma_xyt<D, BN>(acc, f, s->y);
        __syncthreads();
        add_positions(acc, s->pos, p, row);
        for (int i = 0; i < BN / 2; i++) {
            int a = x0 + 16 * warp + lane / 4 + i % 4 / 2 * 8;
            int b = y0 + i / 4 * 8 + lane % 4 * 2 + i % 2;
            if (a < len && b < len)
                out[a * len + b] = acc[i / 4][i % 4];
        }
        before = p;
        __syncthreads();
    }
}

template <class S> static void check_scores(const Case &c)
{
    Problem p(c);
    constexpr int D = S::D;
    int len = c.lens[0];
    std::vector<bf16> part[2], table[2];
    std::vector<double> want;
    for (int i = 0; i < 2; i++) {
        for (int t = 0; t < len; t++)
            part[i].insert(part[i].end(), p.at(t, i, 0), p.at(t, i, 0) + D);
        for (int t = 0; t < 2 * c.k; t++)
            table[i].insert(table[i].end(), p.rel_at(t, i, 0), p.rel_at(t, i, 0) + D);
    }
    for (int a = 0; a < len; a++)
        for (int b = 0; b < len; b++)
            want.push_back(p.score(0, S::SIGN > 0 ? a : b, S::SIGN > 0 ? b : a, 0, 1));
    Device<bf16> x(part[S::SIGN < 0]), y(part[S::SIGN > 0]);
    Device<bf16> rx(table[S::SIGN < 0]), ry(table[S::SIGN > 0]);
    Device<uint16_t> rel(p.rel);
    Device<float> out(want.size());
    constexpr int bytes = (int)sizeof(ScoreShared<S>);
    assert_cuda(
        cudaFuncSetAttribute(scores<S>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    assert_cuda(LAUNCH((scores<S>), (len + ATTN_ROWS - 1) / ATTN_ROWS, ATTN_THREADS, bytes, nullptr,
                       rel.p + p.span - 1, p.linear, len, x.p, y.p, rx.p, ry.p, out.p));
    double e = error_of(out.get(), want);
    if (!(e <= 1e-6))
        fail_msg("%d columns, %d a tile, sign %d, k %d: relative error %g", D, S::BN, S::SIGN, c.k,
                 e);
}
template <int D, int BN> static void check_both()
{
    for (int k : {8, 32, 256}) {
        check_scores<AttnStrips<D, BN, 1>>({{330}, D, 1, k, 2 * k, 0});
        check_scores<AttnStrips<D, BN, -1>>({{330}, D, 1, k, 2 * k, 0});
        check_scores<AttnStrips<D, BN, -1>>({{201}, D, 1, k, k / 2 + 9, 0});
    }
}
static void test_scores(void **)
{
    check_both<32, 32>();
    check_both<32, 64>();
    check_both<64, 32>();
    check_both<64, 64>();
    check_both<128, 32>();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_tables), cmocka_unit_test(test_ragged),
        cmocka_unit_test(test_nan),    cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
