"""kernels/ops.h through ctypes: open a backend of libsecenc_ops.so and call its ops on numpy arrays."""
import ctypes as ct
import os
import sys

import numpy as np

F32, BF16, F64 = 0, 1, 2
I, L, F, D, P, B = ct.c_int, ct.c_int64, ct.c_float, ct.c_double, ct.c_void_p, ct.c_bool


class Dropout(ct.Structure):
    _fields_ = [("p", F), ("site", ct.c_uint32), ("seed", P), ("row_key", P)]


def struct(name, *fields):
    return type(name, (ct.Structure,), {"_fields_": [(n, t) for names, t in fields for n in names.split()]})


Gemm = struct("Gemm", ("m n k", L), ("trans_a trans_b accumulate", B), ("ab_type c_type", I), ("a b c", P),
              ("lda ldb ldc", L), ("epilogue", I), ("bias aux", P))
AddLn = struct("AddLn", ("rows cols", L), ("act", I), ("eps", F), ("a residual", P), ("dropout", Dropout),
               ("gamma beta s y mean rstd", P))
AddLnBwd = struct("AddLnBwd", ("rows cols", L), ("act", I), ("dy s mean rstd gamma", P),
                  ("dropout", Dropout), ("ds da dgamma dbeta", P))
Attn = struct("Attn", ("n_tokens n_seqs max_seqlen heads head_dim rel_rows rel_span", ct.c_int32),
              ("act", I), ("scale", F), ("cu_seqlens rel_idx q k v", P), ("ld", L), ("qr kr", P),
              ("ld_rel", L), ("dropout", Dropout), ("o", P), ("ld_o", L), ("lse d_o", P), ("ld_do", L),
              ("dq dk dv", P), ("ld_d", L), ("dqr dkr", P), ("ld_drel", L))
Conv = struct("Conv", ("n_tokens n_seqs channels ksize", ct.c_int32), ("act", I),
              ("cu_seqlens x w bias y dy dx dw dbias", P))
Xent = struct("Xent", ("rows cols", L), ("type", I), ("logits", P), ("ld", L), ("labels", P),
              ("scale", D), ("want_grad", B), ("loss rank", P))
AdamW = struct("AdamW", ("n step", L), ("master", I), ("param m v grad copy", P),
               ("lr beta1 beta2 eps weight_decay grad_scale", D))
BackendStruct = struct(
    "BackendStruct", ("name", ct.c_char_p), ("detail", ct.c_char * 64), ("host", B), ("state", P),
    ("peak_flops alloc free upload download copy zero sync set_sequences record_begin record_end cast gemm "
     "embed embed_bwd add_ln add_ln_bwd dropout gelu gelu_bwd bias_grad add attn attn_bwd conv conv_bwd "
     "gather_rows scatter_add_rows xent adamw sumsq memory destroy", P))


def ptr(a):
    return None if a is None else a.ctypes.data


class Backend:
    """act is the type of activations: F64 for ref, F32 for cpu. Arrays are numpy of that type."""

    def __init__(self, name, act):
        path = os.path.join(os.environ.get("BUILD", "build"), "libsecenc_ops.so")
        if not os.path.exists(path):
            print(f"SKIP: {path} is not built")
            sys.exit(77)
        self.lib, self.name, self.act = ct.CDLL(path), name, act
        self.dtype = np.float64 if act == F64 else np.float32
        out = P()
        if self.lib.sec_backend_open(name.encode(), ct.byref(out)):
            raise RuntimeError("cannot open backend " + name)
        self.handle = out.value
        self.table = ct.cast(out, ct.POINTER(BackendStruct)).contents

    def array(self, x):
        return np.array(x, dtype=self.dtype, order="C")

    def empty(self, *shape):
        return np.full(shape, np.nan, self.dtype)

    def zeros(self, *shape):
        return np.zeros(shape, self.dtype)

    def call(self, op, *args):
        """Arrays go as pointers, structures by reference, (type, value) as they are."""
        types, values = [P], [self.handle]
        for a in args:
            if isinstance(a, np.ndarray):
                types.append(P), values.append(ptr(a))
            elif isinstance(a, ct.Structure):
                types.append(P), values.append(ct.addressof(a))
            else:
                types.append(a[0]), values.append(a[1])
        rc = ct.CFUNCTYPE(I, *types)(getattr(self.table, op))(*values)
        if rc:
            raise RuntimeError(f"{self.name} {op} failed: {rc}")
