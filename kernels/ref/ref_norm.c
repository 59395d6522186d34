#include "kernels/ref/ref.h"

#include <math.h>

/* S, rounded as it is stored, whether or not the caller keeps it. */
static double sum_at(const struct sec_add_ln *a, int64_t r, int64_t c)
{
    int64_t i = r * a->cols + c;
    double x = sec_ref_get(a->a, a->act, i) * sec_ref_drop(&a->dropout, r, a->dropout.site, c);
    if (a->residual)
        x += sec_ref_get(a->residual, a->act, i);
    return sec_ref_round(a->act, x);
}

int sec_ref_add_ln(struct sec_backend *b, const struct sec_add_ln *a)
{
    enum sec_dtype master = sec_master_type(a->act);
    for (int64_t r = 0; r < a->rows; r++) {
        double mean = 0, var = 0;
        for (int64_t c = 0; c < a->cols; c++)
            mean += sum_at(a, r, c);
        mean /= (double)a->cols;
        for (int64_t c = 0; c < a->cols; c++)
            var += pow(sum_at(a, r, c) - mean, 2);
        double rstd = 1 / sqrt(var / (double)a->cols + (double)a->eps);
        for (int64_t c = 0; c < a->cols; c++) {
            double s = sum_at(a, r, c);
            double y = (s - mean) * rstd * sec_ref_get(a->gamma, master, c) +
                       sec_ref_get(a->beta, master, c);
            if (a->s)
                sec_ref_set(a->s, a->act, r * a->cols + c, s);
            sec_ref_set(a->y, a->act, r * a->cols + c, y);
        }
        if (a->mean)
            sec_ref_set(a->mean, master, r, mean);
        if (a->rstd)
            sec_ref_set(a->rstd, master, r, rstd);
    }
    return 0;
}

/* With g = gamma * dy: dS = rstd * (g - mean(g) - xhat * mean(g * xhat)). */
int sec_ref_add_ln_bwd(struct sec_backend *b, const struct sec_add_ln_bwd *a)
{
    enum sec_dtype master = sec_master_type(a->act);
    int64_t cols = a->cols;
    for (int64_t c = 0; c < cols; c++) {
        double dgamma = sec_ref_get(a->dgamma, master, c), dbeta = sec_ref_get(a->dbeta, master, c);
        for (int64_t r = 0; r < a->rows; r++) {
            double dy = sec_ref_get(a->dy, a->act, r * cols + c);
            dgamma += dy *
                      (sec_ref_get(a->s, a->act, r * cols + c) - sec_ref_get(a->mean, master, r)) *
                      sec_ref_get(a->rstd, master, r);
            dbeta += dy;
        }
        sec_ref_set(a->dgamma, master, c, dgamma);
        sec_ref_set(a->dbeta, master, c, dbeta);
    }
    for (int64_t r = 0; r < a->rows; r++) {
        double mean = sec_ref_get(a->mean, master, r), rstd = sec_ref_get(a->rstd, master, r);
        double mean_g = 0, mean_gx = 0;
        for (int64_t c = 0; c < cols; c++) {
            double g = sec_ref_get(a->gamma, master, c) * sec_ref_get(a->dy, a->act, r * cols + c);
            mean_g += g / (double)cols;
            mean_gx += g * (sec_ref_get(a->s, a->act, r * cols + c) - mean) * rstd / (double)cols;
        }
        for (int64_t c = 0; c < cols; c++) {
            int64_t i = r * cols + c;
            double g = sec_ref_get(a->gamma, master, c) * sec_ref_get(a->dy, a->act, i);
            double xhat = (sec_ref_get(a->s, a->act, i) - mean) * rstd;
            double ds = rstd * (g - mean_g - xhat * mean_gx);
            sec_ref_set(a->ds, a->act, i, ds);
            if (a->da)
                sec_ref_set(a->da, a->act, i,
                            ds * sec_ref_drop(&a->dropout, r, a->dropout.site, c));
        }
    }
    return 0;
}
