#!/usr/bin/env python3
"""Compiles the CUDA backend for every architecture and holds each kernel against what is committed:
budgets.tsv  registers by architecture and static shared memory, which may not grow; no spills, no stack
sass.tsv     instructions that the design expects (tensor cores, 16-byte accesses)
A kernel without a budget and a budget without a kernel are errors.

  budget.py             check (exit 77 without nvcc; without a disassembler the second part is left out)
  budget.py --report    print the table of what was compiled
  budget.py --update    write budgets.tsv from it
  budget.py --self-test show that each check can fail
NVCC, and DISASSEMBLER (cuobjdump), name the tools where they are not found."""
import concurrent.futures
import fnmatch
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ARCHS = (80, 90, 100, 120)
BUDGETS = os.path.join(HERE, "budgets.tsv")
SASS = os.path.join(HERE, "sass.tsv")
HEAD = ["kernel"] + [f"sm_{a}" for a in ARCHS] + ["shared"]


def find_disassembler(nvcc):
    """cuobjdump of the toolkit, of PATH, or of a Triton that is installed beside SECENC_PYTHON."""
    found = [os.environ.get("DISASSEMBLER", ""), os.path.join(os.path.dirname(nvcc), "cuobjdump"),
             shutil.which("cuobjdump") or ""]
    python = os.environ.get("SECENC_PYTHON") or sys.executable
    found += glob.glob(os.path.join(os.path.dirname(os.path.dirname(python)), "lib", "python3*", "site-packages",
                                    "triton", "backends", "nvidia", "bin", "cuobjdump"))
    return next((f for f in found if f and os.access(f, os.X_OK)), None)


def short(demangled):
    """The name with its template arguments, without result and parameters."""
    depth = 0
    demangled = demangled.replace("(anonymous namespace)::", "")
    for i, c in enumerate(demangled):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0 and i:
            demangled = demangled[:i]
            break
    return re.sub(r"^(void|static) ", "", demangled).replace("(int)", "").replace("(bool)", "").replace(", ", ",")


def demangle(names):
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return dict(zip(names, map(short, out.splitlines())))


def compile_file(nvcc, path, out):
    command = [nvcc, "-std=c++17", "-O3", "-I.", "-Werror", "all-warnings", "-Xptxas", "-v",
               "-fatbin", "-o", out]
    for a in ARCHS:
        command += ["-gencode", f"arch=compute_{a},code=sm_{a}"]
    run = subprocess.run(command + [path], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{path}: does not compile\n{run.stderr}")
    return run.stderr


def parse_ptxas(text):
    """[(mangled, arch, registers, shared, spilled, stack)]"""
    entry = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)a?'(.*?)Used (\d+) registers([^\n]*)", re.S)
    rows = []
    for name, arch, middle, registers, rest in entry.findall(text):
        stack, stores, loads = (int(x) for x in re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", middle).groups())
        shared = re.search(r"(\d+) bytes smem", rest)
        rows.append((name, int(arch), int(registers), int(shared.group(1)) if shared else 0, stores + loads, stack))
    return rows


def parse_sass(text):
    """{(mangled, arch): set of instructions with their modifiers}"""
    out, arch, name = {}, None, None
    for line in text.splitlines():
        if m := re.match(r"\s*code for sm_(\d+)|arch = sm_(\d+)", line):
            arch = int(m.group(1) or m.group(2))
        elif m := re.match(r"\s*Function : (\S+)", line):
            name = m.group(1)
            out[name, arch] = set()
        elif name and (m := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+ )?([A-Z][\w.]*)", line)):
            out[name, arch].add(m.group(1))
    return out


def compile_all(nvcc, disassembler, files):
    """{kernel: {arch: (registers, shared, spilled, stack)}}, {kernel: {arch: instructions}}"""
    with tempfile.TemporaryDirectory() as folder:
        outs = [os.path.join(folder, f"{i}.fatbin") for i in range(len(files))]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            logs = list(pool.map(lambda fo: compile_file(nvcc, *fo), zip(files, outs)))
            sass = list(pool.map(lambda o: subprocess.run([disassembler, "-sass", o], capture_output=True, text=True,
                                                          check=True).stdout, outs)) if disassembler else []
    rows = [r for log in logs for r in parse_ptxas(log)]
    names = demangle(sorted({r[0] for r in rows}))
    used, code = {}, {}
    for name, arch, *values in rows:
        used.setdefault(names[name], {})[arch] = tuple(values)
    for text in sass:
        for (name, arch), instructions in parse_sass(text).items():
            if name in names:
                code.setdefault(names[name], {})[arch] = instructions
    return used, code


def read_table(path):
    with open(path, encoding="utf-8") as f:
        lines = [line.rstrip("\n").split("\t") for line in f if line.strip() and not line.startswith("#")]
    return lines[0], lines[1:]


def release(nvcc):
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"release (\d+\.\d+)", text).group(1)


def table(used):
    rows = [[k] + [str(v[a][0]) if a in v else "-" for a in ARCHS] + [str(max(x[1] for x in v.values()))]
            for k, v in sorted(used.items())]
    return [HEAD] + rows


def check_budgets(used, rows):
    problems = []
    budgets = {r[0]: r[1:] for r in rows}
    for kernel, by_arch in sorted(used.items()):
        if kernel not in budgets:
            problems.append(f"{kernel}: no row in budgets.tsv: look at its numbers (--report), then --update")
        for a, (registers, shared, spilled, stack) in sorted(by_arch.items()):
            if spilled or stack:
                problems.append(f"{kernel}, sm_{a}: {spilled} bytes of registers spilled, {stack} bytes of stack")
            if kernel not in budgets:
                continue
            limit = budgets[kernel][ARCHS.index(a)]
            if registers > int(limit):
                problems.append(f"{kernel}, sm_{a}: {registers} registers, budget {limit}")
            if shared > int(budgets[kernel][-1]):
                problems.append(f"{kernel}, sm_{a}: {shared} bytes of shared memory, budget {budgets[kernel][-1]}")
    problems += [f"{k}: a row in budgets.tsv, but no such kernel: --update" for k in budgets if k not in used]
    return problems


def check_sass(code, rows):
    """Every row's instructions, regular expressions with & between them, in every kernel it matches."""
    problems = []
    for pattern, archs, wanted in rows:
        kernels = [k for k in code if fnmatch.fnmatchcase(k, pattern.replace("[", "[[]"))]
        if not kernels:
            problems.append(f"{pattern}: a row in sass.tsv, but no such kernel")
        for k in kernels:
            for a, instructions in sorted(code[k].items()):
                if archs not in ("all", f"sm_{a}"):
                    continue
                for w in wanted.split(" & "):
                    if not any(re.fullmatch(w, i) for i in instructions):
                        problems.append(f"{k}, sm_{a}: no {w} among its instructions")
    return problems


def self_test():
    log = """ptxas info    : Compiling entry function '_Z1kPf' for 'sm_90'
ptxas info    : Function properties for _Z1kPf
    %d bytes stack frame, %d bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 512 bytes smem, 380 bytes cmem[0]
"""
    def used(stack, spilled):
        return {"k": {r[1]: r[2:] for r in parse_ptxas(log % (stack, spilled))}}
    good = [["k", "40", "40", "40", "40", "512"]]
    assert not check_budgets(used(0, 0), good)
    assert "spilled" in check_budgets(used(0, 8), good)[0]
    assert "stack" in check_budgets(used(16, 0), good)[0]
    assert "40 registers, budget 39" in check_budgets(used(0, 0), [["k", "40", "39", "40", "40", "512"]])[0]
    assert "shared memory" in check_budgets(used(0, 0), [["k", "40", "40", "40", "40", "511"]])[0]
    assert "no row" in check_budgets(used(0, 0), [])[0]
    assert "no such kernel" in check_budgets(used(0, 0), good + [["gone", "1", "1", "1", "1", "0"]])[0]
    text = """arch = sm_90
\t\tFunction : k
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0010*/              @!P0 HMMA.16816.F32.BF16 R4, R8, R12, R4 ;
"""
    code = {"k": {90: parse_sass(text)["k", 90]}}
    assert not check_sass(code, [["k*", "all", r"LDG\.E.*\.128 & HMMA\..*"]])
    assert not check_sass(code, [["k", "sm_80", r"STG.*"]])
    assert "no STG" in check_sass(code, [["k", "sm_90", r"STG.*"]])[0]
    assert "no such kernel" in check_sass(code, [["j<float>", "all", r"LDG.*"]])[0]
    assert short("void k<float, (int)64>(float*, int)") == "k<float,64>"
    assert short("void (anonymous namespace)::k<(int)64>(A)") == "k<64>"
    print("every check can fail")


def main():
    option = sys.argv[1] if len(sys.argv) > 1 else ""
    if option == "--self-test":
        return self_test()
    if option not in ("", "--report", "--update"):
        sys.exit(__doc__)
    nvcc = os.environ.get("NVCC") or shutil.which("nvcc")
    if not nvcc:
        print("SKIP: no nvcc: the CUDA sources are not compiled for a GPU")
        sys.exit(77)
    disassembler = find_disassembler(nvcc)
    files = sorted(glob.glob("kernels/cuda/*.cu", root_dir=ROOT)) + ["tests/cuda_host/compile_kernels.cu"]
    used, code = compile_all(nvcc, disassembler, files)
    if option == "--report":
        for row in table(used):
            print("\t".join(row))
    if option == "--update":
        with open(BUDGETS, "w", encoding="utf-8") as f:
            f.write("# Registers of a thread by architecture, bytes of static shared memory: the most a kernel may\n"
                    f"# take. Written by budget.py --update.\n# nvcc {release(nvcc)}\n")
            f.writelines("\t".join(row) + "\n" for row in table(used))
    budgets = read_table(BUDGETS)[1]
    with open(BUDGETS, encoding="utf-8") as f:
        written = re.search(r"^# nvcc (\S+)", f.read(), re.M).group(1)
    if release(nvcc) != written:  # another release allots registers in its own way; it still may not spill
        print(f"nvcc {release(nvcc)}; budgets are of {written}: registers are not compared")
        budgets = [[r[0]] + ["255"] * len(ARCHS) + [r[-1]] for r in budgets]
    problems = check_budgets(used, budgets)
    if disassembler:
        problems += check_sass(code, read_table(SASS)[1])
    else:
        print("no cuobjdump: the instructions are not looked at")
    print("\n".join(problems))
    print(f"{len(files)} files, {len(used)} kernels, {len(problems)} problems"
          + (", instructions checked" if disassembler else ""))
    sys.exit(bool(problems))


main()
