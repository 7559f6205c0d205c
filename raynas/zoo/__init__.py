"""Spaces to start from: each a model of a paper, whose arguments make it as small as a test needs."""

from raynas.zoo.autoformer import AUTOFORMER_BASE, AUTOFORMER_SMALL, AUTOFORMER_TINY, AutoFormer, AutoFormerSizes
from raynas.zoo.darts import Darts
from raynas.zoo.enas import EnasMacro, EnasMicro
from raynas.zoo.gpt import GPT, GPTSizes
from raynas.zoo.mobilenet import MOBILENET_V3, PROXYLESS, MobileDesign, MobileNet, MobileStage
from raynas.zoo.nas_bench_201 import NasBench201
from raynas.zoo.nas_bench_macro import NasBenchMacro
from raynas.zoo.shufflenet import ShuffleNet

__all__ = [
    "AUTOFORMER_BASE",
    "AUTOFORMER_SMALL",
    "AUTOFORMER_TINY",
    "GPT",
    "MOBILENET_V3",
    "PROXYLESS",
    "AutoFormer",
    "AutoFormerSizes",
    "Darts",
    "EnasMacro",
    "EnasMicro",
    "GPTSizes",
    "MobileDesign",
    "MobileNet",
    "MobileStage",
    "NasBench201",
    "NasBenchMacro",
    "ShuffleNet",
]
