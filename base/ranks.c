#include "base/ranks.h"

#include "base/error.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int rank, world = 1;
static int speaker = -1; /* the rank of the agreed failure */

int sec_rank(void)
{
    return rank;
}

int sec_world(void)
{
    return world;
}

bool sec_ranks_failed(void)
{
    return speaker >= 0;
}

bool sec_ranks_speaks(void)
{
    return rank == (speaker >= 0 ? speaker : 0);
}

static int env_int(const char *name)
{
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

/* How many processes the launcher started; 1 = none, -1 = a launcher that does not say. A shell
 * inside a Slurm allocation has SLURM_NTASKS too: only srun's PMI makes it a rank. */
static int launched(void)
{
    int n = env_int("OMPI_COMM_WORLD_SIZE");
    if (!n)
        n = env_int("PMI_SIZE");
    if (!n && (getenv("PMIX_RANK") || getenv("PMI_RANK") || getenv("PMI_FD")))
        n = env_int("SLURM_NTASKS") ? env_int("SLURM_NTASKS") : -1;
    return n ? n : 1;
}

#ifdef SECENC_MPI
#include <mpi.h>

enum { MESSAGE_MAX = 2048, CHUNK = 1 << 27 };
/* What a rank is doing, compared before every exchange: ranks in different calls are a bug that
 * must not become a hang. */
enum call { AGREE = 1, SUM, MAX, BCAST };

static bool started;

const char *sec_ranks_library(void)
{
    static char name[MPI_MAX_LIBRARY_VERSION_STRING];
    int len = 0;
    if (!name[0] && !MPI_Get_library_version(name, &len)) {
        char *v = strstr(name, "Open MPI v");
        if (v == name) /* "Open MPI v4.1.4, package: ..." */
            memmove(v + 9, v + 10, strlen(v + 10) + 1);
        name[strcspn(name, ",\n")] = 0;
    }
    return name;
}

static int fail_mpi(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int len;
    MPI_Error_string(code, text, &len);
    return sec_fail(SEC_EFAIL, "MPI: rank %d of %d: %s: %s", rank, world, what, text);
}

/* MPI's own waiting spins; a rank may wait minutes for another that wants the core. */
static int finish(int code, MPI_Request *request, const char *what)
{
    struct timespec pause = {.tv_nsec = 20000};
    int done = 0;
    while (!code && !(code = MPI_Test(request, &done, MPI_STATUS_IGNORE)) && !done) {
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 2000000)
            pause.tv_nsec *= 2;
    }
    return code ? fail_mpi(code, what) : 0;
}

static int reduce(uint64_t *v, size_t n, MPI_Op op, const char *what)
{
    for (size_t at = 0; at < n; at += CHUNK) {
        MPI_Request request;
        int count = n - at < CHUNK ? (int)(n - at) : CHUNK;
        int code =
            MPI_Iallreduce(MPI_IN_PLACE, v + at, count, MPI_UINT64_T, op, MPI_COMM_WORLD, &request);
        int rc = finish(code, &request, what);
        if (rc)
            return rc;
    }
    return 0;
}

static int broadcast(void *p, size_t n, int root)
{
    for (size_t at = 0; at < n; at += CHUNK) {
        MPI_Request request;
        int count = n - at < CHUNK ? (int)(n - at) : CHUNK;
        int code = MPI_Ibcast((char *)p + at, count, MPI_BYTE, root, MPI_COMM_WORLD, &request);
        int rc = finish(code, &request, "broadcast");
        if (rc)
            return rc;
    }
    return 0;
}

/* The status round that opens every call. A rank that has failed and left early is met here,
 * whichever call the others are in. */
static int meet(int rc, enum call call)
{
    struct {
        int rc;
        char message[MESSAGE_MAX];
    } failure = {.rc = rc};
    if (world == 1)
        return rc;
    uint64_t v[3] = {rc ? (uint64_t)rank : (uint64_t)world, call, ~(uint64_t)call};
    int failed = reduce(v, 3, MPI_MIN, "agreement");
    if (failed)
        return failed;
    if (v[0] == (uint64_t)world)
        return v[1] == ~v[2] ? 0
                             : sec_fail(SEC_EDISAGREE,
                                        "ranks are in different calls (%d and %d); "
                                        "this is a bug in secenc",
                                        (int)v[1], (int)~v[2]);
    speaker = (int)v[0];
    if (rank == speaker)
        snprintf(failure.message, sizeof failure.message, "%s", sec_error());
    failed = broadcast(&failure, sizeof failure, speaker);
    return failed ? failed : sec_fail(failure.rc, "%s", failure.message);
}

int sec_ranks_init(void)
{
    int n = launched(), level, code;
    if (n == 1)
        return 0;
    if ((code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level)))
        return sec_fail(SEC_EFAIL,
                        "MPI cannot start (code %d); is this the MPI that mpirun is of? "
                        "secenc was built with %s",
                        code, sec_ranks_library());
    started = true;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    if (n > 0 && world != n)
        return sec_fail(SEC_EFAIL,
                        "the launcher started %d processes, MPI (%s) sees %d; start secenc with "
                        "the mpirun of the MPI it was built with",
                        n, sec_ranks_library(), world);
    sec_set_follower(rank > 0);
    if (rank > 0) { /* data on stdout comes from rank 0 */
        int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0)
            return sec_fail(SEC_EFAIL, "/dev/null: cannot open");
        close(fd);
    }
    return 0;
}

void sec_ranks_finalize(void)
{
    if (started)
        MPI_Finalize();
    started = false;
}

int sec_ranks_agree(int rc)
{
    return meet(rc, AGREE);
}

int sec_ranks_sum(uint64_t *v, size_t n)
{
    int rc = meet(0, SUM);
    return rc || world == 1 ? rc : reduce(v, n, MPI_SUM, "sum");
}

int sec_ranks_max(uint64_t *v, size_t n)
{
    int rc = meet(0, MAX);
    return rc || world == 1 ? rc : reduce(v, n, MPI_MAX, "maximum");
}

int sec_ranks_bcast(void *p, size_t n)
{
    int rc = meet(0, BCAST);
    return rc || world == 1 ? rc : broadcast(p, n, 0);
}

#else

const char *sec_ranks_library(void)
{
    return "none";
}

int sec_ranks_init(void)
{
    int n = launched();
    if (n == 1)
        return 0;
    return sec_fail(SEC_EUSAGE,
                    "started with several ranks, but this secenc was built without MPI; "
                    "install libopenmpi-dev and build again, or start it alone");
}

void sec_ranks_finalize(void)
{
}

int sec_ranks_agree(int rc)
{
    return rc;
}

int sec_ranks_sum(uint64_t *v, size_t n)
{
    return 0;
}

int sec_ranks_max(uint64_t *v, size_t n)
{
    return 0;
}

int sec_ranks_bcast(void *p, size_t n)
{
    return 0;
}

#endif
