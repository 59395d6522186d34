"""The run's TensorBoard files read back with the tensorboard package equal metrics.jsonl, a resumed run
replaces what came after its checkpoint, and metrics.prom parses as the Prometheus text format."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SECENC, BUILD = os.environ["SECENC"], os.environ["BUILD"]


def train(run, steps):
    script = f'. tests/cli/fixture.sh; "$SECENC" pretrain "${{NANO[@]}}" --data "$FIX/data" --run {run} \
--set train.steps={steps} --set log.every=2 --set eval.every=4 --set checkpoint.every=4 --quiet'
    subprocess.run(["bash", "-c", script], check=True)


def check(run, steps):
    lines = [json.loads(s) for s in open(f"{run}/metrics.jsonl")]
    acc = EventAccumulator(f"{run}/tb")
    acc.Reload()
    train_lines = {r["step"]: r for r in lines if r["kind"] == "train"}
    assert sorted(train_lines) == list(range(2, steps + 1, 2)), sorted(train_lines)
    for tag, key in [("train/loss", "loss"), ("train/learning_rate", "lr"), ("train/grad_norm", "grad_norm")]:
        got = {e.step: e.value for e in acc.Scalars(tag)}
        assert sorted(got) == sorted(train_lines), (tag, sorted(got))
        for step, value in got.items():
            assert abs(value - train_lines[step][key]) <= 1e-6 * abs(value), (tag, step)
    evals = {(r["split"], r["step"]): r for r in lines if r["kind"] == "eval"}
    assert {s for s, _ in evals} == {"idts", "odts"}, evals.keys()
    for split in ("idts", "odts"):
        for e in acc.Scalars(f"{split}/loss"):
            assert abs(e.value - evals[split, e.step]["loss"]) < 1e-5


def check_prometheus(path, step):
    values = {}
    for line in open(path):
        if not line.startswith("#"):
            m = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*) (\S+)\n", line)
            assert m, line
            values[m[1]] = float(m[2])
    assert values["secenc_step"] == step, values


def main():
    tmp = tempfile.mkdtemp()
    try:
        run = f"{tmp}/run"
        train(run, 8)
        check(run, 8)
        check_prometheus(f"{run}/metrics.prom", 8)
        shutil.rmtree(f"{run}/ckpt/step-8")
        train(run, 12)  # from step 4: points 6 and 8 of the first file are superseded
        check(run, 12)
        check_prometheus(f"{run}/metrics.prom", 12)
    finally:
        shutil.rmtree(tmp)
    print("tensorboard: ok")


sys.exit(main())
