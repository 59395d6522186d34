/* Static report pages: one file, inline CSS and SVG, no scripts, light and dark. All text is
 * escaped. Functions append to a buffer; a lack of memory sticks in the buffer's owner as
 * SEC_ENOMEM. */
#ifndef SEC_TRAIN_HTML_H
#define SEC_TRAIN_HTML_H

#include "base/mem.h"

#include <stdbool.h>

int sec_html_begin(struct sec_buf *b, const char *title, const char *subtitle);
int sec_html_end(struct sec_buf *b);
int sec_html_text(struct sec_buf *b, const char *s);        /* escaped */
int sec_html_section(struct sec_buf *b, const char *title); /* closes the one before */

/* A row of tiles: begin, any number of tiles, end. */
int sec_html_tiles_begin(struct sec_buf *b);
int sec_html_tile(struct sec_buf *b, const char *label, const char *value);
int sec_html_tiles_end(struct sec_buf *b);

/* Tables: cells are escaped; in tables of more than two columns a cell that
 * starts like a number is set flush right. */
int sec_html_table_begin(struct sec_buf *b, const char *const *head, int n);
int sec_html_row(struct sec_buf *b, const char *const *cells, int n);
int sec_html_table_end(struct sec_buf *b);

/* A line chart. Up to 6 series. Long series are thinned to means over equal spans of x. */
struct sec_series {
    const char *name;
    const double *x, *y;
    size_t n;
    bool points; /* draw the points too: few, exact values */
};
struct sec_chart {
    const char *title, *x_label, *y_label;
    const struct sec_series *series;
    int n_series;
    const double *marks; /* vertical lines, e.g. restarts */
    size_t n_marks;
    bool from_zero; /* y axis starts at 0 */
};
int sec_html_charts_begin(struct sec_buf *b);
int sec_html_chart(struct sec_buf *b, const struct sec_chart *c);
int sec_html_charts_end(struct sec_buf *b);

#endif
