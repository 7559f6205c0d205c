"""Spaces to start from: each a model of a paper, whose arguments make it as small as a test needs."""

from raynas.zoo.darts import Darts
from raynas.zoo.enas import EnasMacro, EnasMicro
from raynas.zoo.nas_bench_201 import NasBench201
from raynas.zoo.nas_bench_macro import NasBenchMacro

__all__ = [
    "Darts",
    "EnasMacro",
    "EnasMicro",
    "NasBench201",
    "NasBenchMacro",
]
