/* Streams, events, copies and graphs. A stream is a queue of operations; eager mode runs each as it
 * comes, deferred mode when a synchronisation needs it. A graph is the list of the operations that
 * were captured, in their order. */
#include "internal.h"

#include <algorithm>
#include <deque>
#include <memory>

#include <string.h>
#include <time.h>

using cuda_host::enter;
using cuda_host::fail;

typedef std::function<cudaError_t()> Run;

/* One cudaEventRecord. Waits refer to the record that was the event's last when they were asked
 * for, whatever becomes of the event. */
struct Record {
    cudaStream_t on = nullptr;
    bool done = false;
    double seconds = 0;
};
struct cuda_host_event {
    std::shared_ptr<Record> last; /* NULL: never recorded, which counts as done */
    cudaGraph_t graph = nullptr;  /* recorded in this capture, when its stream had this many ops */
    cudaStream_t graph_stream = nullptr;
    size_t graph_ops = 0;
    bool asked = false; /* since the last record */
};
struct Op {
    Run run;                        /* empty: a record or a wait */
    std::shared_ptr<Record> record; /* to carry out, or to wait for */
    bool wait;
};
struct cuda_host_graph {
    std::vector<Run> ops;
    cudaStream_t origin;
    bool invalid = false;
};
struct cuda_host_graph_exec {
    std::vector<Run> ops;
};
struct cuda_host_stream {
    std::deque<Op> queue;
    bool nonblocking = false;
    cudaGraph_t graph = nullptr; /* under capture */
    size_t graph_ops = 0;        /* put there since, and how many of them an event has joined */
    size_t joined = 0;
};

namespace cuda_host
{
static std::vector<cudaStream_t> streams;
static int captures;

static double now()
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cudaError_t run_until(const std::shared_ptr<Record> &r);

static cudaError_t run_front(cudaStream_t s)
{
    Op op = std::move(s->queue.front());
    s->queue.pop_front();
    if (op.run)
        return broken() == cudaSuccess ? op.run() : broken();
    if (op.wait)
        return run_until(op.record);
    op.record->done = true;
    op.record->seconds = now();
    return cudaSuccess;
}

static cudaError_t run_stream(cudaStream_t s)
{
    cudaError_t rc = cudaSuccess;
    while (!s->queue.empty()) {
        cudaError_t one = run_front(s);
        rc = rc == cudaSuccess ? one : rc;
    }
    return rc;
}

/* Runs the stream of the record, no further than the record. */
static cudaError_t run_until(const std::shared_ptr<Record> &r)
{
    cudaError_t rc = cudaSuccess;
    while (r && !r->done && !r->on->queue.empty()) {
        cudaError_t one = run_front(r->on);
        rc = rc == cudaSuccess ? one : rc;
    }
    return rc;
}

static cudaError_t run_streams(bool all)
{
    cudaError_t rc = cudaSuccess;
    std::vector<cudaStream_t> order = streams;
    if (config.order == CUDA_HOST_REVERSE)
        std::reverse(order.begin(), order.end());
    Random r = {config.seed};
    for (size_t i = order.size(); config.order == CUDA_HOST_RANDOM && i > 1; i--)
        std::swap(order[i - 1], order[r.below((uint32_t)i)]);
    for (cudaStream_t s : order) {
        cudaError_t one = all || !s->nonblocking ? run_stream(s) : cudaSuccess;
        rc = rc == cudaSuccess ? one : rc;
    }
    return rc;
}
cudaError_t run_all()
{
    return run_streams(true);
}

bool capturing(cudaStream_t s)
{
    return s && s->graph;
}

cudaError_t forbid_in_capture(const char *call)
{
    if (!captures)
        return cudaSuccess;
    for (cudaStream_t s : streams)
        if (s->graph)
            s->graph->invalid = true;
    return fail(cudaErrorStreamCaptureUnsupported, "%s while a stream is being captured", call);
}

static cudaError_t check_stream(cudaStream_t s, const char *call)
{
    if (!s || std::find(streams.begin(), streams.end(), s) != streams.end())
        return cudaSuccess;
    return fail(cudaErrorInvalidResourceHandle, "%s: %p is not a stream", call, (void *)s);
}

/* The NULL stream waits for all streams that are not cudaStreamNonBlocking; they wait for it. */
cudaError_t enqueue(cudaStream_t s, Run run)
{
    cudaError_t rc = check_stream(s, "launch");
    if (rc != cudaSuccess)
        return rc;
    if (!s) {
        rc = forbid_in_capture("work on the NULL stream");
        if (rc == cudaSuccess)
            rc = run_streams(false);
        return rc == cudaSuccess ? run() : rc;
    }
    if (s->graph) {
        s->graph->ops.push_back(std::move(run));
        s->graph_ops++;
        return cudaSuccess;
    }
    s->queue.push_back({std::move(run), nullptr, false});
    return config.deferred ? cudaSuccess : run_stream(s);
}

/* Copies. */

struct CopyShape {
    char *dst;
    const char *src;
    size_t dst_pitch, src_pitch, width, height;
    cudaMemcpyKind kind;
};

static size_t extent(size_t pitch, size_t width, size_t height)
{
    return height ? (height - 1) * pitch + width : 0;
}

static cudaError_t copy_now(const CopyShape &c)
{
    cudaError_t rc = cudaSuccess;
    if (space_of(c.dst) == SPACE_DEVICE)
        rc = open_device(c.dst, extent(c.dst_pitch, c.width, c.height), "copy, target");
    if (rc == cudaSuccess && space_of(c.src) == SPACE_DEVICE)
        rc = open_device(c.src, extent(c.src_pitch, c.width, c.height), "copy, source");
    for (size_t i = 0; rc == cudaSuccess && i < c.height; i++)
        memmove(c.dst + i * c.dst_pitch, c.src + i * c.src_pitch, c.width);
    cudaError_t closed = close_device("copy");
    return rc == cudaSuccess ? closed : rc;
}

static cudaError_t check_direction(const CopyShape &c, const char *call)
{
    bool to = space_of(c.dst) == SPACE_DEVICE, from = space_of(c.src) == SPACE_DEVICE;
    static const bool want_to[] = {false, true, false, true};
    static const bool want_from[] = {false, false, true, true};
    if (c.kind == cudaMemcpyDefault || (to == want_to[c.kind] && from == want_from[c.kind]))
        return cudaSuccess;
    return fail(cudaErrorInvalidValue, "%s: kind %d, but target %p is %s and source %p is %s", call,
                (int)c.kind, (void *)c.dst, to ? "on the device" : "on the host",
                (const void *)c.src, from ? "on the device" : "on the host");
}

/* Pageable memory is read at once and written before the call returns, as CUDA does; pinned memory
 * is read and written when the stream comes to it. */
static cudaError_t copy_async(CopyShape c, cudaStream_t s, const char *call)
{
    cudaError_t rc = enter(call);
    if (rc == cudaSuccess)
        rc = check_direction(c, call);
    if (rc != cudaSuccess || !c.width || !c.height)
        return rc;
    bool from_pageable = space_of(c.src) == SPACE_UNKNOWN;
    bool to_pageable = space_of(c.dst) == SPACE_UNKNOWN;
    if (capturing(s) && (from_pageable || to_pageable))
        return forbid_in_capture("a copy of pageable memory");
    if (from_pageable && s) {
        auto held = std::make_shared<std::vector<char>>(extent(c.src_pitch, c.width, c.height));
        memcpy(held->data(), c.src, held->size());
        c.src = held->data();
        return enqueue(s, [c, held] { return copy_now(c); });
    }
    if (space_of(c.dst) == SPACE_PINNED && config.deferred && s && !s->graph)
        for (size_t i = 0; i < c.height; i++)
            memset(c.dst + i * c.dst_pitch, 0xFF, c.width);
    rc = enqueue(s, [c] { return copy_now(c); });
    return rc == cudaSuccess && to_pageable && s ? run_stream(s) : rc;
}
} // namespace cuda_host

using namespace cuda_host;

extern "C" {
cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    return copy_async({(char *)dst, (const char *)src, dst_pitch, src_pitch, width, height, kind},
                      stream, "cudaMemcpy2DAsync");
}
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return copy_async({(char *)dst, (const char *)src, bytes, bytes, bytes, 1, kind}, stream,
                      "cudaMemcpyAsync");
}
cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
    return copy_async({(char *)dst, (const char *)src, bytes, bytes, bytes, 1, kind}, nullptr,
                      "cudaMemcpy");
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream)
{
    cudaError_t rc = enter("cudaMemsetAsync");
    if (rc != cudaSuccess || !bytes)
        return rc;
    if (space_of(p) != SPACE_DEVICE)
        return fail(cudaErrorInvalidValue, "cudaMemsetAsync: %p is not device memory", p);
    return enqueue(stream, [=] {
        cudaError_t opened = open_device(p, bytes, "cudaMemset");
        if (opened == cudaSuccess)
            memset(p, value, bytes);
        cudaError_t closed = close_device("cudaMemset");
        return opened == cudaSuccess ? closed : opened;
    });
}
cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
    return cudaMemsetAsync(p, value, bytes, nullptr);
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t rc = enter("cudaDeviceSynchronize");
    if (rc == cudaSuccess)
        rc = forbid_in_capture("cudaDeviceSynchronize");
    return rc == cudaSuccess ? run_all() : rc;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
    *out = nullptr;
    cudaError_t rc = enter("cudaStreamCreate");
    if (rc != cudaSuccess)
        return rc;
    *out = new cuda_host_stream();
    (*out)->nonblocking = flags & cudaStreamNonBlocking;
    streams.push_back(*out);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out)
{
    return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    cudaError_t rc = check_stream(s, "cudaStreamDestroy");
    if (rc != cudaSuccess || !s)
        return rc;
    rc = run_stream(s);
    streams.erase(std::find(streams.begin(), streams.end(), s));
    delete s;
    return rc;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    cudaError_t rc = enter("cudaStreamSynchronize");
    if (rc == cudaSuccess)
        rc = check_stream(s, "cudaStreamSynchronize");
    if (rc == cudaSuccess && (capturing(s) || !s))
        rc = forbid_in_capture("cudaStreamSynchronize");
    if (rc != cudaSuccess)
        return rc;
    return s ? run_stream(s) : run_streams(false);
}
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    cudaError_t rc = enter("cudaStreamQuery");
    if (rc != cudaSuccess || !s || s->queue.empty())
        return rc;
    run_front(s);
    return cudaErrorNotReady;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = nullptr;
    cudaError_t rc = enter("cudaEventCreate");
    if (rc == cudaSuccess)
        *out = new cuda_host_event();
    return rc;
}
cudaError_t cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    cudaError_t rc = enter("cudaEventRecord");
    if (rc == cudaSuccess)
        rc = check_stream(s, "cudaEventRecord");
    if (rc != cudaSuccess)
        return rc;
    e->asked = false;
    e->graph = s ? s->graph : nullptr;
    if (e->graph) {
        e->graph_stream = s;
        e->graph_ops = s->graph_ops;
        return cudaSuccess;
    }
    e->last = std::make_shared<Record>();
    e->last->on = s;
    if (!s) {
        rc = run_streams(false);
        e->last->done = true;
        e->last->seconds = now();
        return rc;
    }
    s->queue.push_back({Run(), e->last, false});
    return config.deferred ? cudaSuccess : run_stream(s);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    cudaError_t rc = enter("cudaStreamWaitEvent");
    if (rc == cudaSuccess)
        rc = check_stream(s, "cudaStreamWaitEvent");
    if (rc != cudaSuccess)
        return rc;
    if (e->graph && s) {
        s->graph = s->graph ? s->graph : e->graph;
        if (e->graph_stream != s)
            e->graph_stream->joined = std::max(e->graph_stream->joined, e->graph_ops);
        return cudaSuccess;
    }
    if (!s)
        return run_until(e->last);
    if (capturing(s))
        return forbid_in_capture("a wait for an event of outside");
    s->queue.push_back({Run(), e->last, true});
    return config.deferred ? cudaSuccess : run_stream(s);
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    cudaError_t rc = enter("cudaEventSynchronize");
    if (rc == cudaSuccess)
        rc = forbid_in_capture("cudaEventSynchronize");
    return rc == cudaSuccess ? run_until(e->last) : rc;
}
/* The first question after a record finds it not ready; the second runs what is missing. */
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    cudaError_t rc = enter("cudaEventQuery");
    if (rc != cudaSuccess || !e->last || e->last->done)
        return rc;
    if (!e->asked) {
        e->asked = true;
        return cudaErrorNotReady;
    }
    return run_until(e->last);
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    cudaError_t rc = enter("cudaEventElapsedTime");
    *ms = 0;
    if (rc != cudaSuccess)
        return rc;
    if (!start->last || !end->last || !start->last->done || !end->last->done)
        return cudaErrorNotReady;
    *ms = (float)(1e3 * (end->last->seconds - start->last->seconds));
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
    cudaError_t rc = enter("cudaStreamBeginCapture");
    if (rc != cudaSuccess)
        return rc;
    if (!s || s->graph)
        return fail(cudaErrorStreamCaptureUnsupported,
                    "cudaStreamBeginCapture: the NULL stream, or one under capture");
    s->graph = new cuda_host_graph();
    s->graph->origin = s;
    s->graph_ops = s->joined = 0;
    captures++;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    *out = nullptr;
    cudaError_t rc = enter("cudaStreamEndCapture");
    if (!s || !s->graph || s->graph->origin != s)
        return fail(cudaErrorInvalidValue, "cudaStreamEndCapture: no capture began on this stream");
    cudaGraph_t g = s->graph;
    captures--;
    for (cudaStream_t t : streams) {
        if (t->graph != g)
            continue;
        if (t != s && t->joined < t->graph_ops && rc == cudaSuccess)
            rc = fail(cudaErrorStreamCaptureUnjoined,
                      "cudaStreamEndCapture: %zu operations of another stream were not joined",
                      t->graph_ops - t->joined);
        t->graph = nullptr;
        t->graph_ops = t->joined = 0;
    }
    if (rc == cudaSuccess && g->invalid)
        rc = fail(cudaErrorStreamCaptureInvalidated,
                  "cudaStreamEndCapture: a call that cannot be captured came in between");
    if (rc == cudaSuccess)
        *out = g;
    else
        delete g;
    return rc;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status)
{
    *status = !capturing(s)       ? cudaStreamCaptureStatusNone
              : s->graph->invalid ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
    return enter("cudaStreamIsCapturing");
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = nullptr;
    cudaError_t rc = enter("cudaGraphInstantiate");
    if (rc != cudaSuccess)
        return rc;
    *exec = new cuda_host_graph_exec();
    (*exec)->ops = graph->ops;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    cudaError_t rc = enter("cudaGraphLaunch");
    if (rc != cudaSuccess)
        return rc;
    std::vector<Run> ops = exec->ops;
    return enqueue(s, [ops] {
        cudaError_t first = cudaSuccess;
        for (const Run &run : ops) {
            cudaError_t one = broken() == cudaSuccess ? run() : broken();
            first = first == cudaSuccess ? one : first;
        }
        return first;
    });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    run_all();
    delete exec;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}
} // extern "C"
