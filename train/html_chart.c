#include "base/error.h"
#include "base/str.h"
#include "train/html.h"

#include <math.h>
#include <stdio.h>

/* Drawing area in SVG units; the page scales it. */
enum { WIDTH = 560, HEIGHT = 300, LEFT = 62, RIGHT = 14, TOP = 10, BOTTOM = 44, MAX_POINTS = 400 };

struct range {
    double lo, hi, step;
};

static double nice_step(double span, int ticks)
{
    double raw = span / ticks, mag = pow(10, floor(log10(raw))), f = raw / mag;
    return (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10) * mag;
}

/* Round a data range outward to ticks. */
static struct range make_range(double lo, double hi, bool from_zero, bool widen)
{
    if (!(lo <= hi)) /* no finite value at all */
        lo = 0, hi = 1;
    if (from_zero && lo > 0)
        lo = 0;
    if (hi - lo < 1e-12 * (fabs(hi) + 1e-12) || hi == lo) {
        double pad = fabs(hi) > 0 ? fabs(hi) * 0.1 : 1;
        lo -= from_zero ? 0 : pad;
        hi += pad;
    }
    double step = nice_step(hi - lo, 5);
    if (widen) {
        lo = floor(lo / step + 1e-9) * step;
        hi = ceil(hi / step - 1e-9) * step;
    }
    return (struct range){lo, hi, step};
}

static void data_range(const struct sec_chart *c, struct range *x, struct range *y)
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (int s = 0; s < c->n_series; s++)
        for (size_t i = 0; i < c->series[s].n; i++) {
            double vx = c->series[s].x[i], vy = c->series[s].y[i];
            if (!isfinite(vx) || !isfinite(vy))
                continue;
            x0 = fmin(x0, vx), x1 = fmax(x1, vx), y0 = fmin(y0, vy), y1 = fmax(y1, vy);
        }
    *x = make_range(x0, x1, false, false);
    *y = make_range(y0, y1, c->from_zero, true);
}

static double px(const struct range *r, double v)
{
    return LEFT + (v - r->lo) / (r->hi - r->lo) * (WIDTH - LEFT - RIGHT);
}

static double py(const struct range *r, double v)
{
    return HEIGHT - BOTTOM - (v - r->lo) / (r->hi - r->lo) * (HEIGHT - TOP - BOTTOM);
}

static void tick_text(double v, double step, char *buf, size_t size)
{
    char human[32];
    if (fabs(v) < step * 1e-6)
        snprintf(buf, size, "0");
    else if (fabs(v) >= 10000)
        snprintf(buf, size, "%s", sec_human_count(v, human));
    else if (step < 1e-3)
        snprintf(buf, size, "%.1e", v);
    else
        snprintf(buf, size, "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), v);
}

static int draw_axes(struct sec_buf *b, const struct sec_chart *c, const struct range *x,
                     const struct range *y)
{
    char t[48];
    int rc;
    for (double v = y->lo; v <= y->hi + y->step * 1e-6; v += y->step) {
        tick_text(v, y->step, t, sizeof t);
        SEC_TRY(sec_buf_printf(b,
                               "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                               "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
                               LEFT, WIDTH - RIGHT, py(y, v), py(y, v), LEFT - 6, py(y, v) + 4, t));
    }
    for (double v = ceil(x->lo / x->step - 1e-9) * x->step; v <= x->hi + x->step * 1e-6;
         v += x->step) {
        tick_text(v, x->step, t, sizeof t);
        SEC_TRY(sec_buf_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                               px(x, v), HEIGHT - BOTTOM + 16, t));
    }
    SEC_TRY(sec_buf_printf(b, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>",
                           LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM));
    SEC_TRY(sec_buf_printf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">",
                           (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8));
    SEC_TRY(sec_html_text(b, c->x_label));
    SEC_TRY(sec_buf_printf(b,
                           "</text><text x=\"14\" y=\"%d\" text-anchor=\"middle\" "
                           "transform=\"rotate(-90 14 %d)\">",
                           (HEIGHT - BOTTOM + TOP) / 2, (HEIGHT - BOTTOM + TOP) / 2));
    SEC_TRY(sec_html_text(b, c->y_label));
    SEC_TRY(sec_buf_adds(b, "</text>"));
fail:
    return rc;
}

/* One series; groups of adjacent points become their mean when there are too many. */
static int draw_series(struct sec_buf *b, const struct sec_series *s, int color,
                       const struct range *x, const struct range *y)
{
    size_t group = (s->n + MAX_POINTS - 1) / MAX_POINTS;
    int rc;
    SEC_TRY(sec_buf_printf(b,
                           "<polyline fill=\"none\" stroke=\"var(--s%d)\" stroke-width=\"1.8\" "
                           "points=\"",
                           color));
    for (size_t i = 0; i < s->n; i += group) {
        double sx = 0, sy = 0;
        size_t k = 0;
        for (size_t j = i; j < s->n && j < i + group; j++)
            if (isfinite(s->x[j]) && isfinite(s->y[j]))
                sx += s->x[j], sy += s->y[j], k++;
        if (k)
            SEC_TRY(sec_buf_printf(b, "%.1f,%.1f ", px(x, sx / (double)k), py(y, sy / (double)k)));
    }
    SEC_TRY(sec_buf_adds(b, "\"/>"));
    for (size_t i = 0; s->points && i < s->n; i++)
        if (isfinite(s->y[i]))
            SEC_TRY(sec_buf_printf(b,
                                   "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"var(--s%d)\">"
                                   "<title>%g: %g</title></circle>",
                                   px(x, s->x[i]), py(y, s->y[i]), color, s->x[i], s->y[i]));
fail:
    return rc;
}

static int draw_legend(struct sec_buf *b, const struct sec_chart *c)
{
    int rc;
    SEC_TRY(sec_buf_adds(b, "<div class=\"legend\">"));
    for (int i = 0; i < c->n_series; i++) {
        SEC_TRY(sec_buf_printf(b, "<i style=\"background:var(--s%d)\"></i>", i));
        SEC_TRY(sec_html_text(b, c->series[i].name));
    }
    SEC_TRY(sec_buf_adds(b, "</div>"));
fail:
    return rc;
}

int sec_html_chart(struct sec_buf *b, const struct sec_chart *c)
{
    struct range x, y;
    int rc;
    data_range(c, &x, &y);
    SEC_TRY(sec_buf_adds(b, "<figure><figcaption>"));
    SEC_TRY(sec_html_text(b, c->title));
    SEC_TRY(sec_buf_printf(b, "</figcaption><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                           WIDTH, HEIGHT));
    SEC_TRY(sec_html_text(b, c->title));
    SEC_TRY(sec_buf_adds(b, "\">"));
    SEC_TRY(draw_axes(b, c, &x, &y));
    for (size_t i = 0; i < c->n_marks; i++)
        if (c->marks[i] >= x.lo && c->marks[i] <= x.hi)
            SEC_TRY(sec_buf_printf(b,
                                   "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" "
                                   "y2=\"%d\"><title>restart</title></line>",
                                   px(&x, c->marks[i]), px(&x, c->marks[i]), TOP, HEIGHT - BOTTOM));
    for (int i = 0; i < c->n_series; i++)
        SEC_TRY(draw_series(b, &c->series[i], i, &x, &y));
    SEC_TRY(sec_buf_adds(b, "</svg>"));
    SEC_TRY(draw_legend(b, c));
    SEC_TRY(sec_buf_adds(b, "</figure>\n"));
fail:
    return rc;
}
