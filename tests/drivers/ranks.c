/* ranks MODE [RANK]: base/ranks.h under mpirun, for tests/cli/test_ranks.sh. Ends like secenc does:
 * a last agreement, one line, MPI's end. */
#include "base/ranks.h"
#include "base/error.h"
#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sums(void)
{
    uint64_t v[3] = {1, (uint64_t)sec_rank(), UINT64_C(1) << 40};
    uint64_t m[2] = {(uint64_t)sec_rank(), (uint64_t)(sec_world() - sec_rank())};
    char word[8] = "";
    if (sec_rank() == 0)
        strcpy(word, "hello");
    int rc = sec_ranks_sum(v, 3);
    if (!rc)
        rc = sec_ranks_max(m, 2);
    if (!rc)
        rc = sec_ranks_bcast(word, sizeof word);
    if (!rc)
        rc = sec_ranks_bcast(word, 0);
    if (!rc && strcmp(word, "hello"))
        rc = sec_fail(SEC_EDATA, "rank %d got '%s'", sec_rank(), word);
    sec_info("info from rank %d", sec_rank());
    printf("%d ranks: %llu %llu %llu, %llu %llu\n", sec_world(), (unsigned long long)v[0],
           (unsigned long long)v[1], (unsigned long long)v[2], (unsigned long long)m[0],
           (unsigned long long)m[1]);
    return rc;
}

static int run(const char *mode, int chosen)
{
    uint64_t v = 1;
    if (!strcmp(mode, "sum"))
        return sums();
    if (!strcmp(mode, "fail")) /* the chosen rank and all above it fail; all meet in agree */
        return sec_ranks_agree(
            sec_rank() >= chosen ? sec_fail(SEC_EDATA, "bad byte at rank %d", sec_rank()) : 0);
    if (!strcmp(mode, "leave")) /* the chosen rank leaves while the others go on to a sum */
        return sec_rank() == chosen ? sec_fail(SEC_ENOMEM, "no memory at rank %d", sec_rank())
                                    : sec_ranks_sum(&v, 1);
    if (!strcmp(mode, "differ"))
        return sec_rank() == chosen ? sec_ranks_max(&v, 1) : sec_ranks_sum(&v, 1);
    if (!strcmp(mode, "kill")) {
        if (sec_rank() == chosen)
            raise(SIGKILL);
        return sec_ranks_agree(0);
    }
    return sec_fail(SEC_EUSAGE, "no such mode: %s", mode);
}

int main(int argc, char **argv)
{
    int rc = sec_ranks_init();
    if (!rc)
        rc = run(argc > 1 ? argv[1] : "", argc > 2 ? atoi(argv[2]) : 0);
    if (!sec_ranks_failed())
        rc = sec_ranks_agree(rc);
    if (rc && sec_ranks_speaks())
        fprintf(stderr, "ranks: error: %s\n", sec_error());
    sec_ranks_finalize();
    return sec_exit_code(rc);
}
