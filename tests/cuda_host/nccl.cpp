/* NCCL on the host: nccl.h says what of it there is. A collective is one operation on the first
 * rank's stream, with events to and from the streams of the others. */
#include "internal.h"

#include "kernels/cuda/device.h"
#include "nccl.h"

#include <algorithm>
#include <memory>

#include <string.h>

namespace cuda_host
{
struct Clique {
    int ranks, alive;
};
enum Kind { ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, BROADCAST };
struct Call {
    Kind kind;
    const void *send;
    void *recv;
    size_t count;
    ncclDataType_t type;
    int op; /* or the root of a broadcast */
    ncclComm_t comm;
    cudaStream_t stream;
};
static std::vector<Call> group;
static int group_depth;
} // namespace cuda_host

struct ncclComm {
    cuda_host::Clique *clique;
    int rank;
};

namespace cuda_host
{
static size_t type_size(ncclDataType_t t)
{
    return t == ncclBfloat16 ? 2 : t == ncclFloat32 || t == ncclInt32 ? 4 : 8;
}

template <class T> static T join(T a, T b, int op)
{
    return op == ncclMax ? std::max(a, b) : op == ncclMin ? std::min(a, b) : a + b;
}
template <class T> static T mean(T sum, int ranks, int op)
{
    return op == ncclAvg ? sum / (T)ranks : sum;
}

/* out[i] = over ranks of send_r[first + i]. */
template <class T>
static std::vector<T> reduce(const std::vector<Call> &calls, size_t first, size_t n)
{
    int op = calls[0].op, ranks = (int)calls.size();
    std::vector<T> out(n);
    for (size_t i = 0; i < n; i++) {
        T sum = static_cast<const T *>(calls[0].send)[first + i];
        for (int r = 1; r < ranks; r++)
            sum = join(sum, static_cast<const T *>(calls[(size_t)r].send)[first + i], op);
        out[i] = mean(sum, ranks, op);
    }
    return out;
}
template <> std::vector<bf16> reduce<bf16>(const std::vector<Call> &calls, size_t first, size_t n)
{
    int op = calls[0].op, ranks = (int)calls.size();
    std::vector<bf16> out(n);
    for (size_t i = 0; i < n; i++) {
        float sum = to_float(static_cast<const bf16 *>(calls[0].send)[first + i]);
        for (int r = 1; r < ranks; r++)
            sum = join(sum, to_float(static_cast<const bf16 *>(calls[(size_t)r].send)[first + i]),
                       op);
        out[i] = from_float<bf16>(mean(sum, ranks, op));
    }
    return out;
}

/* Everything is read before anything is written: send and receive buffers may be the same. */
template <class T> static void run_reduce(const std::vector<Call> &calls)
{
    size_t n = calls[0].count;
    bool scatter = calls[0].kind == REDUCE_SCATTER;
    std::vector<T> all = reduce<T>(calls, 0, scatter ? n * calls.size() : n);
    for (size_t r = 0; r < calls.size(); r++)
        memcpy(calls[r].recv, all.data() + (scatter ? r * n : 0), n * sizeof(T));
}

static void run_copy(const std::vector<Call> &calls)
{
    size_t bytes = calls[0].count * type_size(calls[0].type), n = calls.size();
    bool gather = calls[0].kind == ALL_GATHER;
    std::vector<char> all(gather ? bytes * n : bytes);
    for (size_t r = 0; r < n; r++)
        if (gather || (int)r == calls[0].op)
            memcpy(all.data() + (gather ? r * bytes : 0), calls[r].send, bytes);
    for (const Call &c : calls)
        memcpy(c.recv, all.data(), all.size());
}

static cudaError_t run_collective(const std::vector<Call> &calls)
{
    cudaError_t rc = cudaSuccess;
    size_t n = calls.size();
    for (const Call &c : calls) {
        size_t bytes = c.count * type_size(c.type);
        size_t send = c.kind == REDUCE_SCATTER ? bytes * n : bytes;
        size_t recv = c.kind == ALL_GATHER ? bytes * n : bytes;
        if (rc == cudaSuccess && (c.kind != BROADCAST || c.comm->rank == c.op))
            rc = open_device(c.send, send, "NCCL, send buffer");
        if (rc == cudaSuccess)
            rc = open_device(c.recv, recv, "NCCL, receive buffer");
    }
    if (rc == cudaSuccess) {
        if (calls[0].kind == ALL_GATHER || calls[0].kind == BROADCAST)
            run_copy(calls);
        else if (calls[0].type == ncclFloat32)
            run_reduce<float>(calls);
        else if (calls[0].type == ncclFloat64)
            run_reduce<double>(calls);
        else if (calls[0].type == ncclBfloat16)
            run_reduce<bf16>(calls);
        else if (calls[0].type == ncclInt32)
            run_reduce<int32_t>(calls);
        else
            run_reduce<int64_t>(calls);
    }
    cudaError_t closed = close_device("NCCL");
    return rc == cudaSuccess ? closed : rc;
}

/* The first rank's stream waits for the others, works, and the others wait for it. */
static cudaError_t submit(const std::vector<Call> &calls)
{
    cudaEvent_t e;
    cudaError_t rc = cudaEventCreateWithFlags(&e, cudaEventDisableTiming);
    if (rc != cudaSuccess)
        return rc;
    cudaStream_t first = calls[0].stream;
    for (size_t r = 1; r < calls.size() && rc == cudaSuccess; r++) {
        if (calls[r].stream == first)
            continue;
        rc = cudaEventRecord(e, calls[r].stream);
        if (rc == cudaSuccess)
            rc = cudaStreamWaitEvent(first, e, 0);
    }
    if (rc == cudaSuccess)
        rc = enqueue(first, [calls] { return run_collective(calls); });
    for (size_t r = 1; r < calls.size() && rc == cudaSuccess; r++) {
        if (calls[r].stream == first)
            continue;
        rc = cudaEventRecord(e, first);
        if (rc == cudaSuccess)
            rc = cudaStreamWaitEvent(calls[r].stream, e, 0);
    }
    cudaError_t gone = cudaEventDestroy(e);
    return rc == cudaSuccess ? gone : rc;
}

static ncclResult_t misuse(const char *text)
{
    fail(cudaErrorInvalidValue, "NCCL: %s", text);
    return ncclInvalidUsage;
}

/* Takes the calls of one collective, one for each rank of a clique, out of the group. */
static ncclResult_t take(std::vector<Call> *calls)
{
    Clique *clique = group[0].comm->clique;
    calls->assign((size_t)clique->ranks, Call());
    for (Call &c : *calls)
        c.comm = nullptr;
    for (size_t i = 0; i < group.size();) {
        Call &c = group[i];
        Call &to = (*calls)[(size_t)c.comm->rank % calls->size()];
        if (c.comm->clique != clique || to.comm) {
            i++;
            continue;
        }
        to = c;
        group.erase(group.begin() + (ptrdiff_t)i);
    }
    const Call &a = (*calls)[0];
    for (const Call &c : *calls) {
        if (!c.comm)
            return misuse("a rank takes no part in a collective of its group");
        if (c.kind != a.kind || c.count != a.count || c.type != a.type || c.op != a.op)
            return misuse("ranks call different collectives, or with different sizes");
    }
    return ncclSuccess;
}

static ncclResult_t add(const Call &c, const char *name)
{
    if (enter(name) != cudaSuccess)
        return ncclUnhandledCudaError;
    if (!c.comm)
        return ncclInvalidArgument;
    if (!group_depth && c.comm->clique->ranks > 1)
        return misuse("one process drives several ranks: their calls belong between ncclGroupStart "
                      "and ncclGroupEnd");
    if (c.count == 0)
        return ncclSuccess;
    ncclGroupStart();
    group.push_back(c);
    return ncclGroupEnd();
}
} // namespace cuda_host

using namespace cuda_host;

extern "C" {
const char *ncclGetErrorString(ncclResult_t rc)
{
    return rc == ncclSuccess ? "no error" : cuda_host_message();
}
ncclResult_t ncclGetVersion(int *version)
{
    *version = 22800;
    return ncclSuccess;
}
ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    memset(id, 0, sizeof *id);
    return enter("ncclGetUniqueId") == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}
ncclResult_t ncclCommInitAll(ncclComm_t *comms, int ranks, const int *)
{
    if (enter("ncclCommInitAll") != cudaSuccess)
        return ncclUnhandledCudaError;
    if (ranks < 1)
        return ncclInvalidArgument;
    Clique *clique = new Clique{ranks, ranks};
    for (int r = 0; r < ranks; r++)
        comms[r] = new ncclComm{clique, r};
    return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId, int rank)
{
    *comm = nullptr;
    if (ranks != 1 || rank != 0)
        return misuse("the emulation knows ranks of one process only: ncclCommInitAll");
    return ncclCommInitAll(comm, 1, nullptr);
}
ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    run_all();
    if (--comm->clique->alive == 0)
        delete comm->clique;
    delete comm;
    return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    return ncclCommDestroy(comm);
}
ncclResult_t ncclCommCount(ncclComm_t comm, int *count)
{
    *count = comm->clique->ranks;
    return ncclSuccess;
}
ncclResult_t ncclCommUserRank(ncclComm_t comm, int *rank)
{
    *rank = comm->rank;
    return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t *error)
{
    *error = broken() == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
    return ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    group_depth++;
    return ncclSuccess;
}
ncclResult_t ncclGroupEnd(void)
{
    ncclResult_t rc = ncclSuccess;
    if (group_depth == 0)
        return misuse("ncclGroupEnd without ncclGroupStart");
    if (--group_depth)
        return ncclSuccess;
    while (!group.empty() && rc == ncclSuccess) {
        std::vector<Call> calls;
        rc = take(&calls);
        if (rc == ncclSuccess && submit(calls) != cudaSuccess)
            rc = ncclUnhandledCudaError;
    }
    group.clear();
    return rc;
}

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return add({ALL_REDUCE, send, recv, count, type, op, comm, stream}, "ncclAllReduce");
}
ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t recv_count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream)
{
    return add({REDUCE_SCATTER, send, recv, recv_count, type, op, comm, stream},
               "ncclReduceScatter");
}
ncclResult_t ncclAllGather(const void *send, void *recv, size_t send_count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream)
{
    return add({ALL_GATHER, send, recv, send_count, type, 0, comm, stream}, "ncclAllGather");
}
ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream)
{
    return add({BROADCAST, send, recv, count, type, root, comm, stream}, "ncclBroadcast");
}
} // extern "C"
