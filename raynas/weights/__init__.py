"""What is shared: weights in shards, versioned, in this process or wherever a store keeps them. No Ray."""

from raynas.weights.registry import Registry
from raynas.weights.shards import Block, Manifest, Shard, TensorEntry, digest_block, make_shards
from raynas.weights.store import LocalStore, ShardStore, local_store
from raynas.weights.views import view_tensors

__all__ = [
    "Block",
    "LocalStore",
    "Manifest",
    "Registry",
    "Shard",
    "ShardStore",
    "TensorEntry",
    "digest_block",
    "local_store",
    "make_shards",
    "view_tensors",
]
