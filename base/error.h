/* Errors: every function that can fail returns 0 or a negative SEC_E* code and leaves one message
 * on this thread's error chain. A caller may add context with sec_fail_at() and passes the code on;
 * the CLI prints the chain as one line and exits with sec_exit_code(). Asserts are for bugs only.
 *
 * Threads: the chain is thread-local. A worker that fails copies its message to the thread that
 * reports with sec_error_take() and sec_error_put(). */
#ifndef SEC_BASE_ERROR_H
#define SEC_BASE_ERROR_H

enum {
    SEC_OK = 0,
    SEC_EFAIL = -1,      /* run-time failure: I/O error, disk full, busy */
    SEC_EUSAGE = -2,     /* bad command line */
    SEC_EDATA = -3,      /* bad data: do not retry */
    SEC_ECONFIG = -4,    /* bad configuration: do not retry */
    SEC_ENOMEM = -5,     /* out of memory */
    SEC_EDEVICE = -6,    /* no device, driver or device memory */
    SEC_EDIVERGED = -7,  /* non-finite after retries */
    SEC_EPREEMPT = -8,   /* stopped on request, state saved: retry */
    SEC_EHANG = -9,      /* watchdog */
    SEC_EDISAGREE = -10, /* ranks disagree */
    SEC_EINTR = -11      /* interrupted by the user */
};

/* Set the message (printf format: what, where, how to mend it, with numbers) and return code. */
int sec_fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As sec_fail(), with ": strerror(err)" at the end. ENOMEM gives SEC_ENOMEM, the rest SEC_EFAIL. */
int sec_fail_errno(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put context in front of the message on the chain ("context: message"); returns code unchanged. */
int sec_fail_at(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The message of the last failure of this thread, "" if there is none. Valid until the next call.
 */
const char *sec_error(void);
void sec_error_clear(void);

/* Move a message between threads: take returns a malloc'd copy (or NULL) and clears; put sets the
 * message and frees it. */
char *sec_error_take(void);
int sec_error_put(int code, char *message);

/* The process exit code for a SEC_E* code (cli.md): 0 1 2 3 4 5 75 76 77 130. */
int sec_exit_code(int code);

#define SEC_TRY(expr)                                                                              \
    do {                                                                                           \
        rc = (expr);                                                                               \
        if (rc)                                                                                    \
            goto fail;                                                                             \
    } while (0)

#endif
