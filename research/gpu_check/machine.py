"""Description of the machine, and its two peak rates (memory bandwidth, matrix products)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform

import torch

from research.gpu_check.place import Place
from research.gpu_check.report import Section

LIBRARIES = ("transformers", "peft", "accelerate", "trl", "vllm", "safetensors", "numpy", "pydantic")


def ceilings(place: Place, section: Section) -> None:
    """Versions; bytes a second of a large copy (read and written); FLOP a second of a large bfloat16 product."""
    section.add("device", torch.cuda.get_device_name() if place.cuda else platform.processor() or "cpu")
    section.add("CPU cores", len(os.sched_getaffinity(0)))
    section.add("Python, torch, CUDA", f"{platform.python_version()}, {torch.__version__}, {torch.version.cuda}")
    found = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES if importlib.util.find_spec(name)]
    section.add("libraries", ", ".join(found))
    section.add("not installed", ", ".join(n for n in LIBRARIES if not importlib.util.find_spec(n)) or "none of these")
    size = 2**26 if place.rehearse else 2**32  # bytes
    source = torch.ones(size, dtype=torch.uint8, device=place.device)
    target = torch.empty_like(source)
    target.copy_(source)
    copies = [place.timed(lambda: target.copy_(source))[1] for _ in range(5)]
    place.ceilings["bytes"] = 2 * size / min(copies)
    side = 512 if place.rehearse else 8192
    matrix = torch.randn(side, side, device=place.device, dtype=torch.bfloat16)
    products = [place.timed(lambda: matrix @ matrix)[1] for _ in range(8)]
    place.ceilings["flop"] = 2 * side**3 / min(products)
    section.add("copy, GB a second (read and written)", place.ceilings["bytes"] / 1e9)
    section.add("bfloat16 product, TFLOP a second", place.ceilings["flop"] / 1e12)
    if place.cuda:
        section.add("memory, GB", torch.cuda.get_device_properties(0).total_memory / 1e9)
