/* The bf16 backward of attention against plain loops in double from the same bf16 inputs: dQ, dK,
 * dV and the sums by relative row, for every way a pair of tiles finds its slots. */
#include "attn_data.h"
#include "kernels/cuda/attn_bwd.cu"
#include "testing.h"

#include <math.h>
#include <string>

/* A batch of sequences. Relative rows by DeBERTa's buckets: linear to k / 2, logarithmic to mp. */
struct Case {
    std::vector<int> lens;
    int d, heads, k, mp;
    float p;        /* dropout */
    uint32_t first; /* number of the first token: its values and dropout keys depend on it */
};

/* Inputs and, in double, what should come out; [tokens, heads * d], or [heads, tokens, 2k]. */
struct Problem {
    Case c;
    int tokens = 0, width, span = 1;
    std::vector<int> start;
    std::vector<uint16_t> rel;
    std::vector<bf16> q, k, v, d_o, qr, kr;
    std::vector<uint64_t> keys;
    std::vector<float> lse, delta;
    explicit Problem(const Case &of);
    double score(int i, int j, int h, int slot, int second) const;
    double keep(int token, int h, int j) const;
    int slot(int delta_ij) const
    {
        return rel[(size_t)(delta_ij + span - 1)];
    }
};
constexpr uint64_t SEED = 0x123456789ABCDEF;
constexpr uint32_t SITE = 5;

static std::vector<bf16> rows_of(uint32_t seed, uint32_t first, int rows, int width, float size)
{
    std::vector<bf16> v((size_t)(rows * width));
    for (size_t i = 0; i < v.size(); i++)
        v[i] = from_float<bf16>(size * value(seed, first * (size_t)width + i));
    return v;
}

Problem::Problem(const Case &of) : c(of), width(of.heads * of.d)
{
    for (int len : c.lens) {
        start.push_back(tokens);
        tokens += len;
        span = len > span ? len : span;
    }
    for (int delta_ij = 1 - span; delta_ij < span; delta_ij++)
        rel.push_back((uint16_t)bucket(delta_ij, c.k, c.mp));
    q = rows_of(1, c.first, tokens, width, 2);
    k = rows_of(2, c.first, tokens, width, 2);
    v = rows_of(3, c.first, tokens, width, 1);
    d_o = rows_of(4, c.first, tokens, width, 1);
    qr = rows_of(5, 0, 2 * c.k, width, 2);
    kr = rows_of(6, 0, 2 * c.k, width, 2);
    for (int i = 0; i < tokens; i++)
        keys.push_back((c.first + (uint64_t)i) * 0x9E3779B97F4A7C15u);
}

static double dot(const std::vector<bf16> &a, int row_a, const std::vector<bf16> &b, int row_b,
                  const Problem &p, int h)
{
    double sum = 0;
    for (int col = h * p.c.d; col < (h + 1) * p.c.d; col++)
        sum += (double)to_float(a[(size_t)(row_a * p.width + col)]) *
               (double)to_float(b[(size_t)(row_b * p.width + col)]);
    return sum;
}

double Problem::keep(int token, int h, int j) const
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

struct Grads {
    std::vector<double> dq, dk, dv, dc, dt;
};
struct Mistake {
    double second = 1, delta = 1; /* the sign of the second position term's delta, of delta */
};

static double scale_of(const Case &c)
{
    return (double)(1 / sqrtf(3 * (float)c.d));
}

/* One query: probabilities of its keys, lse and delta. */
static std::vector<double> probabilities(Problem &p, int s, int i, int h, const Mistake &m)
{
    int len = p.c.lens[(size_t)s], at = p.start[(size_t)s];
    std::vector<double> a((size_t)len);
    double max = -INFINITY, sum = 0, delta = 0;
    for (int j = 0; j < len; j++) {
        int slot = p.slot(i - j), second = p.slot(m.second > 0 ? i - j : j - i);
        double x = dot(p.q, at + i, p.k, at + j, p, h) + dot(p.q, at + i, p.kr, slot, p, h) +
                   dot(p.k, at + j, p.qr, second, p, h);
        a[(size_t)j] = x * scale_of(p.c);
        max = a[(size_t)j] > max ? a[(size_t)j] : max;
    }
    for (double x : a)
        sum += exp(x - max);
    for (int j = 0; j < len; j++) {
        a[(size_t)j] = exp(a[(size_t)j] - max) / sum;
        delta += a[(size_t)j] * p.keep(at + i, h, j) * dot(p.d_o, at + i, p.v, at + j, p, h);
    }
    if (m.second > 0 && m.delta > 0) {
        p.lse[(size_t)(h * p.tokens + at + i)] = (float)(max + log(sum));
        p.delta[(size_t)(h * p.tokens + at + i)] = (float)delta;
    }
    a.push_back(delta);
    return a;
}

static void reference_row(Problem &p, int s, int i, int h, const Mistake &m, Grads &g)
{
    int len = p.c.lens[(size_t)s], at = p.start[(size_t)s], rows = 2 * p.c.k;
    std::vector<double> prob = probabilities(p, s, i, h, m);
    double delta = prob[(size_t)len] * m.delta;
    for (int j = 0; j < len; j++) {
        int slot = p.slot(i - j), second = p.slot(m.second > 0 ? i - j : j - i);
        double keep = p.keep(at + i, h, j), pr = prob[(size_t)j];
        double da = scale_of(p.c) * pr * (dot(p.d_o, at + i, p.v, at + j, p, h) * keep - delta);
        g.dc[(size_t)((h * p.tokens + at + i) * rows + slot)] += da;
        g.dt[(size_t)((h * p.tokens + at + j) * rows + second)] += da;
        for (int col = h * p.c.d; col < (h + 1) * p.c.d; col++) {
            size_t qi = (size_t)((at + i) * p.width + col), kj = (size_t)((at + j) * p.width + col);
            g.dq[qi] +=
                da * (double)(to_float(p.k[kj]) + to_float(p.kr[(size_t)(slot * p.width + col)]));
            g.dk[kj] +=
                da * (double)(to_float(p.q[qi]) + to_float(p.qr[(size_t)(second * p.width + col)]));
            g.dv[kj] += pr * keep * (double)to_float(p.d_o[qi]);
        }
    }
}

static Grads reference(Problem &p, const Mistake &m)
{
    size_t n = (size_t)(p.tokens * p.width), sums = (size_t)(p.c.heads * p.tokens * 2 * p.c.k);
    Grads g;
    g.dq.resize(n);
    g.dk.resize(n);
    g.dv.resize(n);
    g.dc.resize(sums);
    g.dt.resize(sums);
    p.lse.resize((size_t)(p.c.heads * p.tokens));
    p.delta.resize(p.lse.size());
    for (size_t s = 0; s < p.c.lens.size(); s++)
        for (int h = 0; h < p.c.heads; h++)
            for (int i = 0; i < p.c.lens[s]; i++)
                reference_row(p, (int)s, i, h, m, g);
    return g;
}

/* Rows of `from` at a column of wider ones. */
static void place(std::vector<bf16> &to, int ld, int col, const std::vector<bf16> &from, int width)
{
    for (size_t i = 0; i < from.size(); i++)
        to[i / (size_t)width * (size_t)ld + (size_t)col + i % (size_t)width] = from[i];
}

struct Result {
    std::vector<bf16> dq, dk, dv, dc, dt;
    bool operator==(const Result &r) const
    {
        auto same = [](const std::vector<bf16> &x, const std::vector<bf16> &y) {
            return x.size() == y.size() && !memcmp(x.data(), y.data(), x.size() * sizeof(bf16));
        };
        return same(dq, r.dq) && same(dk, r.dk) && same(dv, r.dv) && same(dc, r.dc) &&
               same(dt, r.dt);
    }
};

/* Tiles as sequences.cu makes them: of the longest sequences first, two without rows at the end. */
static std::vector<sec_cuda_tile> tiles_of(const Problem &p)
{
    std::vector<sec_cuda_tile> tiles;
    for (int want = p.span; want > 0; want--)
        for (size_t s = 0; s < p.c.lens.size(); s++)
            for (int row = 0; p.c.lens[s] == want && row < want; row += SEC_CUDA_TILE)
                tiles.push_back({p.start[s], want, row});
    tiles.push_back({0, 0, 0});
    tiles.push_back({0, 0, 0});
    return tiles;
}

static int linear_of(const Problem &p)
{
    int linear = 0;
    while (linear + 1 < p.span && p.slot(linear + 1) == linear + 1 + p.slot(0) &&
           p.slot(-linear - 1) == -linear - 1 + p.slot(0))
        linear++;
    return linear;
}

static Result run(const Problem &p)
{
    const int w = p.width, ld = 3 * w, ld_rel = 2 * w, ld_do = w + 8;
    std::vector<bf16> x((size_t)(p.tokens * ld)), r((size_t)(2 * p.c.k * ld_rel));
    std::vector<bf16> d_o((size_t)(p.tokens * ld_do));
    place(x, ld, 0, p.q, w);
    place(x, ld, w, p.k, w);
    place(x, ld, 2 * w, p.v, w);
    place(r, ld_rel, 0, p.qr, w);
    place(r, ld_rel, w, p.kr, w);
    place(d_o, ld_do, 0, p.d_o, w);
    Device<bf16> dev_x(x), dev_r(r), dev_do(d_o), dx(x.size());
    std::vector<bf16> zero((size_t)(p.c.heads * p.tokens * 2 * p.c.k));
    Device<bf16> dc(zero), dt(zero);
    Device<float> lse(p.lse), delta(p.delta);
    Device<uint16_t> rel(p.rel);
    Device<uint64_t> keys(p.keys), seed(std::vector<uint64_t>{SEED});
    std::vector<sec_cuda_tile> tiles = tiles_of(p);
    Device<sec_cuda_tile> dev_tiles(tiles);
    Attn<bf16> a = {};
    a.tiles = dev_tiles.p;
    a.rel = rel.p + p.span - 1;
    a.linear = linear_of(p);
    a.n_tokens = p.tokens;
    a.rel_rows = 2 * p.c.k;
    a.head_dim = p.c.d;
    a.heads = p.c.heads;
    a.scale = (float)scale_of(p.c);
    a.q = dev_x.p;
    a.k = dev_x.p + w;
    a.v = dev_x.p + 2 * w;
    a.qr = dev_r.p;
    a.kr = dev_r.p + w;
    a.ld = a.ld_d = ld;
    a.ld_rel = ld_rel;
    a.lse = lse.p;
    a.drop = {p.c.p > 0 ? keys.p : nullptr, seed.p, SITE, sec_dropout_threshold(p.c.p),
              (float)sec_dropout_scale(p.c.p)};
    a.d_o = dev_do.p;
    a.ld_do = ld_do;
    a.dq = dx.p;
    a.dk = dx.p + w;
    a.dv = dx.p + 2 * w;
    a.delta = delta.p;
    a.dc = dc.p;
    a.dt = dt.p;
    assert_cuda(attn_bwd_bf16(a, (int)tiles.size(), nullptr));
    std::vector<bf16> got = dx.get();
    Result out = {{}, {}, {}, dc.get(), dt.get()};
    for (size_t i = 0; i < got.size(); i++)
        (i % (size_t)ld < (size_t)w         ? out.dq
         : i % (size_t)ld < (size_t)(2 * w) ? out.dk
                                            : out.dv)
            .push_back(got[i]);
    return out;
}

static double error_of(const std::vector<bf16> &got, const std::vector<double> &want)
{
    double off = 0, size = 0;
    assert_int_equal(got.size(), want.size());
    for (size_t i = 0; i < want.size(); i++) {
        double diff = (double)to_float(got[i]) - want[i];
        off += diff * diff;
        size += want[i] * want[i];
    }
    /* One token alone: its score has no gradient. */
    return size < 1e-12 * (double)want.size() ? sqrt(off) : sqrt(off / size);
}

struct Errors {
    double e[5];
    double worst() const
    {
        double most = 0;
        for (double x : e)
            most = x <= most ? most : x;
        return most;
    }
};
static Errors errors(const Result &r, const Grads &g)
{
    return {{error_of(r.dq, g.dq), error_of(r.dk, g.dk), error_of(r.dv, g.dv), error_of(r.dc, g.dc),
             error_of(r.dt, g.dt)}};
}

static double worst_of[5];

static void check(const Case &c)
{
    Problem p(c);
    Grads want = reference(p, Mistake());
    Result got = run(p);
    Errors e = errors(got, want);
    for (int i = 0; i < 5; i++) {
        worst_of[i] = e.e[i] > worst_of[i] ? e.e[i] : worst_of[i];
        if (!(e.e[i] <= 1e-2))
            fail_msg("%s of %d tokens, d %d, k %d, mp %d, dropout %g: relative error %g",
                     (const char *[]){"dq", "dk", "dv", "dc", "dt"}[i], p.tokens, c.d, c.k, c.mp,
                     (double)c.p, e.e[i]);
    }
    if (!(run(p) == got))
        fail_msg("%d tokens: another run gives other bits", p.tokens);
}

static void test_lengths(void **)
{
    for (int len : {1, 7, 63, 64, 65, 127, 200, 513})
        for (int d : {32, 64, 128})
            check({{len}, d, 1, 256, 512, d == 64 ? 0.1f : 0.0f, 0});
    print_message("relative errors up to: dq %.2e, dk %.2e, dv %.2e, dc %.2e, dt %.2e\n",
                  worst_of[0], worst_of[1], worst_of[2], worst_of[3], worst_of[4]);
}

/* One slot for many tiles, and slots that are skipped where buckets grow faster than distances. */
static void test_tables(void **)
{
    for (int d : {32, 64, 128}) {
        check({{513}, d, 1, 32, 64, 0.1f, 0});
        check({{200}, d, 1, 8, 16, 0, 0});
    }
    check({{300}, 64, 1, 32, 20, 0, 0});
    check({{513}, 32, 1, 256, 150, 0.1f, 0});
    check({{400}, 32, 1, 128, 512, 0, 0});
}

static void test_ragged(void **)
{
    check({{65, 1, 200, 64, 7, 130}, 64, 3, 32, 64, 0.1f, 0});
    check({{5, 100, 32, 33}, 32, 2, 256, 512, 0.2f, 0});
    check({{31, 96}, 128, 2, 16, 64, 0.1f, 0});
}

/* What a sequence gets does not depend on its neighbours. */
static void test_alone(void **)
{
    Problem alone({{130}, 64, 2, 32, 64, 0.1f, 72});
    Problem packed({{65, 7, 130, 20}, 64, 2, 32, 64, 0.1f, 0});
    reference(alone, Mistake());
    reference(packed, Mistake());
    Result one = run(alone), all = run(packed);
    size_t row = (size_t)packed.width, bytes = 130 * row * sizeof(bf16);
    assert_memory_equal(one.dq.data(), &all.dq[72 * row], bytes);
    assert_memory_equal(one.dk.data(), &all.dk[72 * row], bytes);
    assert_memory_equal(one.dv.data(), &all.dv[72 * row], bytes);
}

/* The tolerance tells the usual mistakes from rounding. */
static void test_mistakes(void **)
{
    Problem p({{130}, 64, 1, 32, 64, 0.1f, 0});
    Result got = (reference(p, Mistake()), run(p));
    Mistake delta, second;
    delta.delta = -1;
    second.second = -1;
    assert_true(errors(got, reference(p, delta)).worst() > 5e-2);
    assert_true(errors(got, reference(p, second)).worst() > 5e-2);
}

static void test_schedules(void **)
{
    for (int d : {32, 64, 128}) {
        Problem p({{130, 17}, d, 2, 16, 32, 0.1f, 0});
        reference(p, Mistake());
        same_bits_each_schedule(p, run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_tables),
        cmocka_unit_test(test_ragged),   cmocka_unit_test(test_alone),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
