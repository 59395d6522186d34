/* Talk to the user on stderr. Data goes to stdout and never through here. Thread-safe. */
#ifndef SEC_BASE_LOG_H
#define SEC_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

void sec_set_quiet(bool quiet);       /* silences info, warnings and progress, not errors */
void sec_set_follower(bool follower); /* a rank above 0: silences info and progress */
void sec_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sec_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Progress: one redrawn line on a terminal, a plain line every ten seconds elsewhere. The text of
 * the line is the caller's; sec_progress() is cheap to call often (it looks at the clock only). */
void sec_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool sec_progress_due(void);  /* true when sec_progress would print: skip costly formatting */
void sec_progress_done(void); /* finish the line, if one is open */

double sec_now(void); /* monotonic seconds */

#endif
