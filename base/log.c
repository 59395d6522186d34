#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool quiet, follower;
static bool line_open;    /* a redrawn line is on the terminal */
static double last_drawn; /* 0 = never */
static int terminal = -1; /* is stderr one? -1 = not asked yet */

double sec_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sec_set_quiet(bool value)
{
    pthread_mutex_lock(&lock);
    quiet = value;
    pthread_mutex_unlock(&lock);
}

void sec_set_follower(bool value)
{
    pthread_mutex_lock(&lock);
    follower = value;
    pthread_mutex_unlock(&lock);
}

static bool on_terminal(void)
{
    if (terminal < 0) {
        const char *term = getenv("TERM");
        terminal = isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb"));
    }
    return terminal;
}

/* Both need the lock. A message goes where the progress line was; progress is redrawn below it. */
static void clear_line(void)
{
    if (line_open)
        fputs("\r\033[K", stderr);
    line_open = false;
}

static void say(bool info, const char *prefix, const char *fmt, va_list ap)
{
    pthread_mutex_lock(&lock);
    if (!quiet && !(info && follower)) {
        clear_line();
        flockfile(stderr);
        fputs(prefix, stderr);
        vfprintf(stderr, fmt, ap);
        fputc('\n', stderr);
        funlockfile(stderr);
    }
    pthread_mutex_unlock(&lock);
}

void sec_info(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(true, "", fmt, ap);
    va_end(ap);
}

void sec_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(false, "secenc: warning: ", fmt, ap);
    va_end(ap);
}

static bool due(double now)
{
    return !quiet && !follower &&
           (last_drawn == 0 || now - last_drawn >= (on_terminal() ? 0.1 : 10.0));
}

bool sec_progress_due(void)
{
    double now = sec_now();
    pthread_mutex_lock(&lock);
    bool yes = due(now);
    pthread_mutex_unlock(&lock);
    return yes;
}

void sec_progress(const char *fmt, ...)
{
    double now = sec_now();
    pthread_mutex_lock(&lock);
    if (due(now)) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        last_drawn = now;
        if (on_terminal()) {
            struct winsize size;
            int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
            fprintf(stderr, "\r%.*s\033[K", width - 1, text); /* a wrapped line cannot be redrawn */
            line_open = true;
        } else {
            fprintf(stderr, "%s\n", text);
        }
        fflush(stderr);
    }
    pthread_mutex_unlock(&lock);
}

void sec_progress_done(void)
{
    pthread_mutex_lock(&lock);
    if (line_open)
        fputc('\n', stderr);
    line_open = false;
    last_drawn = 0;
    pthread_mutex_unlock(&lock);
}
