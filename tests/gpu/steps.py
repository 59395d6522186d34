#!/usr/bin/env python3
"""The steps of tests/gpu/run. Each has a share of the time and ends with PASS, FAIL or SKIP; only failures of the steps
on correctness make the exit code 1. Writes result.json and result.md.

What the speed steps report is measured on the host clock over several calls, with the device idle at both ends, and
stands beside what tests/gpu/roofline.py predicts."""
import argparse
import datetime
import inspect
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import roofline

ROOT = roofline.ROOT
TOTAL = 480
LENGTHS = (512, 1024, 2048, 8192)
FAILED, EMULATION_TOKENS = 1, 80


class Fail(Exception):
    pass


class Skip(Exception):
    pass


def tail(text, lines=6):
    """The last lines that say something: what cmocka prints around them does not."""
    noise = re.compile(r"\s*$|\[( RUN| +OK|=+| +PASSED| +FAILED| +LINE| +ERROR +\] --- (\[|0x))|\s*\d+ FAILED TEST")
    said = list(dict.fromkeys(line.strip() for line in text.splitlines() if not noise.match(line)))
    return " | ".join(said[-lines:])[-600:]


class Context:
    def __init__(self, args):
        self.args, self.start = args, time.monotonic()
        self.deadline = self.start
        self.build = os.path.abspath(args.build)
        suffix = "_emulated" if args.emulate else ""
        self.secenc, self.ops, self.graph = (os.path.join(self.build, name + suffix)
                                             for name in ("secenc", "gpu_ops", "gpu_graph"))
        self.tmp = tempfile.mkdtemp(prefix="secenc-gpu-")
        self.card, self.tables, self.ceiling, self.data = {}, [], {}, None

    def left(self):
        return max(1.0, self.deadline - time.monotonic())

    def run(self, command, env=None, check=True, limit=None):
        """Output of a command, which has until the end of the step."""
        env = dict(os.environ, OMP_WAIT_POLICY="passive", **(env or {}))
        try:
            p = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True,
                               timeout=min(self.left(), limit or 4 * TOTAL))
        except subprocess.TimeoutExpired:
            raise Fail(f"out of time: {' '.join(command[:4])}") from None
        except OSError as e:
            raise Fail(f"{command[0]}: {e.strerror}") from None
        if check and p.returncode:
            raise Fail(f"{os.path.basename(command[0])} {' '.join(command[1:3])}: exit {p.returncode}: "
                       f"{tail(p.stdout + p.stderr)}")
        return p.stdout if check else p

    def bench(self, *what, env=None):
        out = self.run([self.secenc, "bench", *what, "--device", "cuda", "--json", "-", "--quiet"], env)
        return {row["name"]: row for row in json.loads(out)["rows"]}

    def table(self, title, head, rows, note=""):
        self.tables.append({"title": title, "head": head, "rows": rows, "note": note})


def on_device(c):
    if c.args.emulate:
        raise Skip("the emulation says nothing about speed")


# ---------------------------------------------------------------- finding out

def find_tool(name):
    places = [os.path.join(os.environ[v], "bin") for v in ("CUDA_HOME", "CUDA_PATH") if v in os.environ]
    places += os.environ.get("PATH", "").split(os.pathsep)
    places += ["/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer", "/opt/cuda/bin"]
    return shutil.which(name, path=os.pathsep.join(places))


def query(*fields):
    p = subprocess.run(["nvidia-smi", "-i", "0", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
                       capture_output=True, text=True)
    return [x.strip() for x in p.stdout.strip().splitlines()[0].split(",")] if p.stdout.strip() else []


def describe(c):
    card = {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "card": "emulation"}
    p = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True,
                       text=True)
    card["commit"] = p.stdout.strip() or "unknown"
    if not c.args.emulate:
        found = query("name", "driver_version", "compute_cap", "memory.total")
        if len(found) != 4:
            raise SystemExit("gpu/run: nvidia-smi does not describe the GPU; is its driver older than CUDA 12?")
        card.update(zip(("card", "driver", "capability", "memory_mib"), found))
    nvcc = find_tool("nvcc")
    if nvcc:
        out = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
        card["cuda"] = next((w.rstrip(",") for line in out.splitlines() if "release" in line
                             for w in line.split()[line.split().index("release") + 1:][:1]), "unknown")
    return card


# ---------------------------------------------------------------- correctness

def build(c):
    programs = [c.secenc, c.ops, c.graph]
    if c.args.emulate and all(os.path.exists(p) for p in programs):
        return "found"
    arch = [] if c.args.emulate else [f"-DCMAKE_CUDA_ARCHITECTURES={c.card['capability'].replace('.', '')}-real"]
    ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
    c.run(["cmake", *ninja, "-S", ROOT, "-B", c.build, "-DCMAKE_BUILD_TYPE=Release",
           f"-DSECENC_CUDA={'off' if c.args.emulate else 'on'}", *arch])
    c.run(["cmake", "--build", c.build, "--parallel", str(os.cpu_count()), "--target",
           *(os.path.basename(p) for p in programs)])
    return ", ".join(arch).replace("-DCMAKE_CUDA_ARCHITECTURES=", "sm_")


def small(c):
    return {"SECENC_TEST_TOKENS": str(EMULATION_TOKENS)} if c.args.emulate else {}


def ops(c):
    c.run([c.ops, "compare", "rows", "repeat"], small(c))
    return "every op and type against ref; rows alone and among others, twice: same bits"


def attention(c):
    c.run([c.ops, "attention"], small(c))
    return "lengths to 1,500, heads of 32, 64, 128, dropout, forward and backward against ref"


def graph(c):
    c.run([c.graph])
    return "recorded passes and passes run again: same bits"


def data(c):
    """A token data set of generated logs, once."""
    if not c.data:
        d = os.path.join(c.tmp, "data")
        c.run([c.secenc, "synth", "-o", f"{d}/logs", "--size", "1M", "--seed", "7", "--quiet"])
        c.run([c.secenc, "corpus", "build", f"{d}/logs", "--exclude", "labels.jsonl", "--exclude", "incidents.jsonl",
               "-o", f"{d}/corpus", "--quiet"])
        c.run([c.secenc, "tokenizer", "train", f"{d}/corpus", "-o", f"{d}/tok", "--vocab-size", "1024", "--quiet"])
        c.run([c.secenc, "corpus", "tokenize", f"{d}/corpus", "--tokenizer", f"{d}/tok", "-o", f"{d}/tokens",
               "--quiet"])
        c.data = f"{d}/tokens"
    return c.data


def pretrain(c, name, backend, precision, steps, *more):
    run = os.path.join(c.tmp, name)
    settings = ["model.vocab_size=1024", "data.seq_len=96", "data.batch_tokens=384", "eval.docs=1", "log.every=1",
                f"train.steps={steps}", f"train.device={backend}", f"train.precision={precision}", *more]
    c.run([c.secenc, "pretrain", "--config", "configs/nano.yaml", "--data", data(c), "--run", run, "--quiet",
           *(x for s in settings for x in ("--set", s))])
    with open(os.path.join(run, "metrics.jsonl")) as f:
        rows = [json.loads(line) for line in f]
    return run, [r["loss"] for r in rows if r["kind"] == "train"]


def trainer(c):
    steps, worst = 10, []
    for precision, bound in (("fp32", 1e-5), ("bf16", 5e-3)):
        want = pretrain(c, f"ref-{precision}", "ref", precision, steps)[1]
        got = pretrain(c, f"cuda-{precision}", "cuda", precision, steps)[1]
        if len(want) != steps or len(got) != steps:
            raise Fail(f"{precision}: {len(want)} and {len(got)} steps, expected {steps}")
        error = max(abs(a - b) / abs(a) for a, b in zip(want, got))
        if not error <= bound:
            raise Fail(f"{precision}: losses of {steps} steps differ from ref by {error:.2g}, allowed {bound:g}")
        worst.append(f"{precision} {error:.1e} of {bound:g}")
    return f"nano, {steps} steps, loss against ref: " + ", ".join(worst)


def determinism(c):
    drop = ("model.hidden_dropout_prob=0.1", "model.attention_probs_dropout_prob=0.1")
    runs = [pretrain(c, f"twice-{i}", "cuda", "bf16", 6, *drop)[0] for i in range(2)]
    c.run([c.secenc, "verify", *runs])
    return "two runs of 6 steps with dropout: same checkpoint, bit for bit"


def sanitizer(c):
    if c.args.emulate:
        raise Skip("the emulation looks for the same faults itself")
    tool = find_tool("compute-sanitizer")
    if not tool:
        raise Skip("no compute-sanitizer in PATH, CUDA_HOME or /usr/local/cuda")
    theirs = [x for name in ("cutlass", "cublas", "nvjet", "gemm", "splitK")
              for x in ("--kernel-name-exclude", f"kernel_substring={name}")]
    for kind in ("memcheck", "racecheck"):
        c.run([tool, "--tool", kind, "--error-exitcode", "9", "--print-limit", "20", *theirs, c.ops, "small"])
    return "memcheck and racecheck on every op and short attention: nothing found"


# ---------------------------------------------------------------- speed

def ceilings(c):
    on_device(c)
    rows = c.bench("peak", "--seconds", "1")
    product = rows["peak bf16"]
    c.ceiling = {"tensor": product["median"] * 1e9, "memory": rows["copy"]["median"] * 1e9}
    c.table("Ceilings", ["", "measured", "unit"],
            [[n, f"{r['median']:.0f}", r["unit"]] for n, r in rows.items()], "Random data.")
    return f"{product['median'] / 1e3:.0f} TFLOP/s bf16, {rows['copy']['median'] / 1e3:.2f} TB/s"


def rows_step(c):
    on_device(c)
    rows = c.bench("rows", "gemm", "--seconds", "0.05")
    c.table("Kernels", ["", "measured", "unit", "of peak"],
            [[n, f"{r['median']:.0f}", r["unit"], f"{100 * r['of_peak']:.0f} %" if "of_peak" in r else ""]
             for n, r in rows.items()], "Bytes are those of the operands, read or written once.")
    return f"{len(rows)} kernels"


def near(card):
    """The card of the roofline that this one is."""
    return next((n for n in roofline.CARDS if n.split()[0] in card.get("card", "")), None)


def attention_speed(c):
    on_device(c)
    rows = c.bench("attention", "--seconds", "0.1")
    peers = c.run([os.environ.get("SECENC_PYTHON", "python3"), "-B", os.path.abspath(__file__), "--peers", "cuda"],
                  check=False, limit=max(5.0, c.left() - 1))
    lines = peers.stdout.strip().splitlines()
    other = json.loads(lines[-1]) if not peers.returncode and lines else {}
    card, out = near(c.card), []
    for name, row in rows.items():
        if " backward " in name:
            continue
        shape = name.split()[2:]  # SEQSxLENGTH hHEADS rROWS
        seqs, length = (int(x) for x in shape[0].split("x"))
        heads, tokens = int(shape[1][1:]), seqs * length
        back = rows[name.replace("attention ", "attention backward ")]
        model = {12: "base", 16: "large"}[heads]
        predicted = roofline.predict_attention(model, length, tokens, card) if card else (math.nan, math.nan)
        cells = [f"{heads} heads, {seqs} x {length:,}"]
        for r, p in ((row, predicted[0]), (back, predicted[1])):
            cells += [f"{1e3 * tokens / r['median']:.2f}", f"{1e3 * p:.2f}"]
        for who in ("eager", "triton"):
            t = other.get(who, {}).get(f"{heads},{seqs},{length}")
            cells += [f"{1e3 * t[0]:.2f} / {1e3 * t[1]:.2f}" if t else "-"]
        out.append(cells)
    c.table("Attention, one layer, bf16, ms", ["shape", "forward", "predicted", "backward", "predicted",
                                               "eager PyTorch, both", "Triton, both"], out,
            "Forward / backward of transformers' DebertaV2 attention and of FlashDeBERTa, without the projections of "
            "Q, K and V; - : not installed, or does not fit.")
    missing = [f"{who}: {other.get(who + '_error', 'no PyTorch with CUDA')}" for who in ("eager", "triton")
               if who not in other]
    return f"{len(out)} shapes" + "".join(f"; {m}" for m in missing)


class Memory(threading.Thread):
    """The most memory in use on the device while it runs, MiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.stop = 0, threading.Event()

    def run(self):
        while not self.stop.is_set():
            found = query("memory.used")
            self.most = max(self.most, int(found[0]) if found and found[0].isdigit() else 0)
            self.stop.wait(0.2)


def train_speed(c):
    on_device(c)
    tensor = c.ceiling.get("tensor") or 800e12
    card, out, started = near(c.card), [], query("memory.used")
    before = int(started[0]) if started and started[0].isdigit() else 0
    cases = [("base", n) for n in LENGTHS] + [("large", n) for n in LENGTHS] + [("base", 48000)]
    for model, length in sorted(cases, key=lambda x: (x[1] not in (1024, 48000), x[1])):
        tokens = max(roofline.BATCH, length)
        cells = [f"{model}, {length:,}"]
        predicted = roofline.predict(model, length, tokens, card) if card else None
        watch = Memory()
        watch.start()
        try:
            if c.left() < 12:
                raise Fail("not run: out of time")
            row = next(iter(c.bench("train", "--config", f"configs/{model}.yaml", "--precision", "bf16", "--lengths",
                                    f"{length}x{tokens // length}", "--seconds", "1").values()))
            rate = row["median"]
            layers, h = roofline.MODELS[model]
            mfu = 3 * roofline.model_flops(layers, h, length) * rate / tensor
            watch.stop.set()
            watch.join()
            cells += [f"{1e3 * tokens / rate:.1f}", f"{predicted['ms']:.1f}" if card else "-", f"{rate:,.0f}",
                      f"{100 * mfu:.1f} %", f"{watch.most - before:,}"]
        except Fail as e:
            watch.stop.set()
            cells += [str(e)[:80], "", "", "", ""]
        out.append(cells)
    c.table("Training step, bf16, one optimizer step", ["model, length", "ms", "predicted", "tokens/s", "MFU",
                                                       "memory, MiB"], out,
            f"{roofline.BATCH:,} tokens a step (48,000 for that length). MFU = 3 x FLOPs of a token's forward "
            f"(sec_model_flops_per_token: products and attention only) x tokens/s / {tensor / 1e12:.0f} TFLOP/s"
            + (", the measured ceiling." if c.ceiling else ", the H100 of kernels/README.md."))
    done = [r for r in out if r[2] or r[3]]
    if not done:
        raise Fail(out[0][1])
    return f"{len(done)} of {len(out)} shapes"


# name, seconds, whether it is on correctness, what. The seconds add up to TOTAL; what a step leaves, later ones have.
STEPS = [("build", 120, True, build), ("ops", 30, True, ops), ("attention", 30, True, attention),
         ("graph", 15, True, graph), ("trainer", 30, True, trainer), ("determinism", 15, True, determinism),
         ("sanitizer", 60, True, sanitizer), ("ceilings", 15, False, ceilings),
         ("attention-speed", 40, False, attention_speed), ("train-speed", 105, False, train_speed),
         ("kernels", 20, False, rows_step)]
assert sum(step[1] for step in STEPS) == TOTAL


# ---------------------------------------------------------------- peers: a process of their own, with PyTorch

def timed(torch, device, f, seconds=0.15):
    def sync():
        if device == "cuda":
            torch.cuda.synchronize()
    f()
    sync()
    n, start = 0, time.perf_counter()
    while n < 3 or time.perf_counter() - start < seconds:
        f()
        sync()
        n += 1
    return (time.perf_counter() - start) / n


def forward_backward(torch, device, f, leaves):
    """Seconds of f() and of its backward."""
    with torch.no_grad():
        forward = timed(torch, device, f)
    grad = torch.ones_like(f())

    def both():
        torch.autograd.grad(f(), leaves, grad)
    return [forward, max(timed(torch, device, both) - forward, 0.0)]


def eager(torch, heads, seqs, length, device):
    from transformers import DebertaV2Config
    from transformers.models.deberta_v2 import modeling_deberta_v2 as m
    width = heads * roofline.HEAD
    config = DebertaV2Config(hidden_size=width, num_attention_heads=heads, relative_attention=True,
                             position_buckets=roofline.BUCKETS, max_relative_positions=roofline.DISTANCE,
                             share_att_key=True, pos_att_type=["p2c", "c2p"], hidden_dropout_prob=0.0,
                             attention_probs_dropout_prob=0.0)
    module = m.DisentangledSelfAttention(config).to(device, torch.bfloat16)
    q, k, v = (torch.randn(seqs * heads, length, roofline.HEAD, device=device, dtype=torch.bfloat16,
                           requires_grad=True) for _ in range(3))
    table = torch.randn(2 * roofline.BUCKETS, width, device=device, dtype=torch.bfloat16, requires_grad=True)
    rel = m.build_relative_position(q, k, roofline.BUCKETS, roofline.DISTANCE)
    scale = math.sqrt(3 * roofline.HEAD)

    def f():
        scores = torch.bmm(q, k.transpose(1, 2) / scale) + module.disentangled_attention_bias(q, k, rel, table, 3)
        return torch.bmm(torch.softmax(scores, -1), v)
    return forward_backward(torch, device, f, [q, k, v, table])


def triton(torch, heads, seqs, length, device):
    from flashdeberta.ops import flash_attention as m
    d = roofline.HEAD
    q, k, v = (torch.randn(seqs, heads, length, d, device=device, dtype=torch.bfloat16, requires_grad=True)
               for _ in range(3))
    kr, qr = (torch.randn(1, heads, 2 * roofline.BUCKETS, d, device=device, dtype=torch.bfloat16,
                          requires_grad=True) for _ in range(2))
    call = m.flash_attention_with_disentangled
    rest = {"sm_scale": 1 / math.sqrt(3 * d), "position_buckets": roofline.BUCKETS,
            "max_relative_distance": roofline.DISTANCE}
    tables = "seq_lengths" in inspect.signature(call).parameters  # later versions take tables, not scores

    def f():
        if tables:
            return call(q, k, v, None, kr, qr, False, **rest)
        return call(q, k, v, torch.matmul(q, kr.transpose(-1, -2)), torch.matmul(k, qr.transpose(-1, -2)), False,
                    **rest)
    return forward_backward(torch, device, f, [q, k, v, kr, qr])


def peers(device):
    import torch
    torch.manual_seed(1)
    cuda = device == "cuda"
    shapes = [(12, 64, 512), (12, 32, 1024), (16, 32, 1024), (12, 16, 2048), (12, 4, 8192)] if cuda else [(2, 2, 64)]
    out = {}
    for who, f in (("eager", eager), ("triton", triton)):
        for shape in shapes:
            try:
                out.setdefault(who, {})[",".join(map(str, shape))] = f(torch, *shape, device)
            except torch.OutOfMemoryError:
                pass
            except Exception as e:  # theirs may fail in any way; the line says how
                out.pop(who, None)
                out[who + "_error"] = f"{type(e).__name__}: {e}"[:160]
                break
            if cuda:
                torch.cuda.empty_cache()
    print(json.dumps(out))


# ---------------------------------------------------------------- driver

def run_step(c, name, step):
    names = [s[0] for s in STEPS]
    later = sum(s[1] for s in STEPS[names.index(name) + 1:] if s[0] in c.wanted)
    begin = time.monotonic()
    c.deadline = c.start + (TOTAL - later) * (4 if c.args.emulate else 1)
    try:
        result, detail = "PASS", step(c)
    except Skip as e:
        result, detail = "SKIP", str(e)
    except Fail as e:
        result, detail = "FAIL", str(e)
    except Exception as e:  # a mistake of this script must not hide what was measured
        result, detail = "FAIL", f"{type(e).__name__}: {e}"
    return {"step": name, "result": result, "seconds": round(time.monotonic() - begin, 1), "detail": detail}


def markdown(c, results):
    out = [f"# {c.card['card']}", "", ", ".join(f"{k} {v}" for k, v in c.card.items() if k != "card"), "",
           "| step | result | s | |", "|---|---|---|---|"]
    out += [f"| {r['step']} | {r['result']} | {r['seconds']} | {r['detail'].replace('|', '/')} |" for r in results]
    for t in c.tables:
        out += ["", f"## {t['title']}", "", "| " + " | ".join(t["head"]) + " |", "|" + "---|" * len(t["head"])]
        out += ["| " + " | ".join(row) + " |" for row in t["rows"]]
        out += ["", t["note"]] if t["note"] else []
    return "\n".join(out) + "\n"


def arguments():
    p = argparse.ArgumentParser(prog="tests/gpu/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--list", action="store_true", help="name the steps and their seconds")
    p.add_argument("--only", action="append", metavar="STEP", default=[],
                   help="run this step (and the build); may be repeated")
    p.add_argument("--build", metavar="DIR", default=os.path.join(ROOT, "build", "gpu"), help="build folder")
    p.add_argument("--out", metavar="DIR", help="folder for result.json and result.md (default: the build folder)")
    p.add_argument("--emulate", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--peers", choices=("cuda", "cpu"), help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    args = arguments()
    names = [n for n, _, _, _ in STEPS]
    if args.peers:
        return peers(args.peers)
    if args.list:
        for name, seconds, correctness, _ in STEPS:
            print(f"{name:16} {seconds:4} s  {'correctness' if correctness else 'speed'}")
        return 0
    unknown = [n for n in args.only if n not in names]
    if unknown:
        print(f"gpu/run: no step '{unknown[0]}': there are {', '.join(names)}", file=sys.stderr)
        return 2
    c, results = Context(args), []
    c.wanted = set(args.only) | {"build"} if args.only else set(names)
    try:
        c.card = describe(c)
        for name, _, correctness, step in STEPS:
            if name not in c.wanted:
                continue
            r = run_step(c, name, step)
            results.append(dict(r, correctness=correctness))
            print(f"{r['result']} {name:16} {r['seconds']:6.1f} s  {r['detail']}", flush=True)
            if name == "build" and r["result"] == "FAIL":
                break
    finally:
        shutil.rmtree(c.tmp, ignore_errors=True)
    out = args.out or c.build
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "result.json"), "w") as f:
        json.dump(dict(c.card, seconds=round(time.monotonic() - c.start, 1), steps=results, tables=c.tables,
                       ceilings=c.ceiling), f, indent=1)
    with open(os.path.join(out, "result.md"), "w") as f:
        f.write(markdown(c, results))
    print(f"{os.path.join(out, 'result.md')}, result.json: {time.monotonic() - c.start:.0f} s")
    return FAILED if any(r["result"] == "FAIL" and r["correctness"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
