/* Passes recorded as CUDA graphs (record_begin of ops.h). The key of a recording is the caller's
 * and what the tables of the sequences add to the arguments of launches. Buffers that moved make
 * all recordings void. */
#include "kernels/cuda/cuda.h"

extern "C" {
#include "base/log.h"
}

#include <stdlib.h>
#include <string.h>

constexpr int RECORDINGS = 16; /* the least recently used one makes room */

struct Recording {
    char *key;
    size_t bytes;
    uint64_t used;        /* clock of the last use; 0: free */
    cudaGraphExec_t exec; /* NULL: not recorded yet */
    bool ran;             /* as it comes, so that buffers have their sizes */
    bool never;           /* it cannot be recorded */
};

struct sec_cuda_graph {
    Recording recording[RECORDINGS];
    uint64_t clock, generation;
    Recording *open; /* between begin and end */
    bool capturing, refused, warned;
};

static void drop(Recording *r)
{
    if (r->exec)
        cudaGraphExecDestroy(r->exec);
    free(r->key);
    *r = {};
}

static void drop_others(struct sec_cuda *s, const Recording *keep)
{
    for (Recording &r : s->graphs->recording)
        if (&r != keep)
            drop(&r);
    s->graphs->generation = s->generation;
}

void sec_cuda_graph_free(struct sec_cuda *s)
{
    if (s->graphs)
        drop_others(s, NULL);
    free(s->graphs);
    s->graphs = NULL;
}

int sec_cuda_not_recorded(struct sec_cuda *s, const char *what)
{
    if (!s->graphs || !s->graphs->capturing)
        return 0;
    s->graphs->refused = true;
    return sec_fail(SEC_EDEVICE, "cuda: %s while a pass is recorded", what);
}

/* The caller's key and ours; NULL and a message on failure. */
static char *whole_key(const struct sec_cuda *s, const void *key, size_t bytes, size_t *total)
{
    const int32_t own[] = {s->sequences.tile_blocks, s->sequences.cu_slots};
    char *whole = (char *)malloc(bytes + sizeof own);
    *total = bytes + sizeof own;
    if (!whole) {
        sec_fail(SEC_ENOMEM, "cuda: no memory for the key of a recording");
        return NULL;
    }
    memcpy(whole, key, bytes);
    memcpy(whole + bytes, own, sizeof own);
    return whole;
}

/* The recording of this key, which it takes; a new one takes the place of the oldest. */
static Recording *find(struct sec_cuda_graph *g, char *key, size_t bytes)
{
    Recording *oldest = &g->recording[0];
    for (Recording &r : g->recording) {
        if (r.used && r.bytes == bytes && !memcmp(r.key, key, bytes)) {
            free(key);
            r.used = ++g->clock;
            return &r;
        }
        if (r.used < oldest->used)
            oldest = &r;
    }
    drop(oldest);
    oldest->key = key;
    oldest->bytes = bytes;
    oldest->used = ++g->clock;
    return oldest;
}

int sec_cuda_record_begin(struct sec_backend *b, const void *key, size_t key_bytes, bool *replayed)
{
    struct sec_cuda *s = sec_cuda_of(b);
    *replayed = false;
    if (!s->graphs)
        s->graphs = (struct sec_cuda_graph *)calloc(1, sizeof *s->graphs);
    if (!s->graphs)
        return sec_fail(SEC_ENOMEM, "cuda: no memory for recordings");
    struct sec_cuda_graph *g = s->graphs;
    if (g->generation != s->generation)
        drop_others(s, NULL);
    size_t bytes;
    char *whole = whole_key(s, key, key_bytes, &bytes);
    if (!whole)
        return SEC_ENOMEM;
    Recording *r = find(g, whole, bytes);
    if (r->exec) {
        int rc = sec_cuda_status(cudaGraphLaunch(r->exec, s->stream), "replay");
        *replayed = rc == 0;
        return rc;
    }
    if (r->ran && !r->never) {
        int rc = sec_cuda_status(
            cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "recording");
        if (rc)
            return rc;
        g->capturing = true;
        g->refused = false;
    }
    g->open = r;
    return 0;
}

/* Errors that say no more than that this cannot be recorded. */
static bool only_recording(cudaError_t rc)
{
    return rc == cudaErrorMemoryAllocation ||
           (rc >= cudaErrorStreamCaptureUnsupported && rc <= cudaErrorStreamCaptureWrongThread);
}

/* Ends the capture and launches what it holds. */
static cudaError_t launch_recorded(struct sec_cuda *s, Recording *r, cudaGraph_t graph)
{
    cudaGraphExec_t exec = NULL;
    cudaError_t rc = cudaGraphInstantiate(&exec, graph, 0);
    if (rc == cudaSuccess)
        rc = cudaGraphLaunch(exec, s->stream);
    if (rc == cudaSuccess)
        r->exec = exec;
    else if (exec)
        cudaGraphExecDestroy(exec);
    return rc;
}

static int end_capture(struct sec_cuda *s, Recording *r, bool complete, bool *repeat)
{
    struct sec_cuda_graph *g = s->graphs;
    cudaGraph_t graph = NULL;
    g->capturing = false;
    cudaError_t rc = cudaStreamEndCapture(s->stream, &graph);
    if (rc == cudaSuccess && g->refused)
        rc = cudaErrorStreamCaptureUnsupported;
    else if (rc == cudaSuccess && complete)
        rc = launch_recorded(s, r, graph);
    if (graph)
        cudaGraphDestroy(graph);
    if (!only_recording(rc))
        return sec_cuda_status(rc, "recording");
    cudaGetLastError();
    r->never = *repeat = true;
    if (!g->warned)
        sec_warn("cuda: a training pass is not recorded, which costs some speed: %s",
                 complete ? cudaGetErrorString(rc) : sec_error());
    g->warned = true;
    return 0;
}

int sec_cuda_record_end(struct sec_backend *b, bool complete, bool *repeat)
{
    struct sec_cuda *s = sec_cuda_of(b);
    struct sec_cuda_graph *g = s->graphs;
    *repeat = false;
    Recording *r = g->open;
    g->open = NULL;
    if (g->capturing)
        return end_capture(s, r, complete, repeat);
    r->ran = complete;
    if (g->generation != s->generation) {
        drop_others(s, r); /* the next pass finds the buffers as this one left them */
        r->never = false;
    }
    return 0;
}
