"""The data set of tests/cli/fixture.sh and a random Hugging Face model over its vocabulary, for the
parity tests of eval, embed and fill-mask."""

import os
import shutil
import subprocess

import torch
from transformers import DebertaV2Config

import model_hf

SECENC = os.environ["SECENC"]


def run(*args, text=None):
    return subprocess.run([SECENC, *map(str, args)], check=True, input=text,
                          stdout=subprocess.PIPE).stdout


def fixture():
    """Folder with corpus, tok and data."""
    subprocess.run(["bash", "-c", ". tests/cli/fixture.sh"], check=True, env=os.environ)
    return os.path.join(os.environ["BUILD"], "fixture")


def make_model(folder, tokenizer, seed=3, mp=512):
    """Saves a random model with the tokenizer beside it; returns it."""
    torch.set_num_threads(1)
    cfg = DebertaV2Config.from_dict(
        {**model_hf.config("nano", 3, mp).to_dict(), "vocab_size": 1024})
    m = model_hf.model(cfg, seed, 0.12)
    m.save_pretrained(folder)
    for name in os.listdir(tokenizer):
        shutil.copy(os.path.join(tokenizer, name), folder)
    return m
