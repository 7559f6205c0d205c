"""What is shared: weights in shards, versioned, in this process or wherever a store keeps them. No Ray."""

from raynas.weights.blocks import Block, digest_shards
from raynas.weights.layout import Layout, Pack, Shard, TensorEntry
from raynas.weights.lease import SECONDS as LEASE_SECONDS
from raynas.weights.lease import Lease
from raynas.weights.local_store import LocalStore, mirrored_elsewhere, open_local_store
from raynas.weights.manifest import Digests, Manifest
from raynas.weights.mirror import Mirror
from raynas.weights.registry import Registry
from raynas.weights.store import KEEP, ShardStore, Upload, Wanted
from raynas.weights.version_table import RegistryStats, VersionTable
from raynas.weights.views import as_tensor, view_tensors

__all__ = [
    "KEEP",
    "LEASE_SECONDS",
    "Block",
    "Digests",
    "Layout",
    "Lease",
    "LocalStore",
    "Manifest",
    "Mirror",
    "Pack",
    "Registry",
    "RegistryStats",
    "Shard",
    "ShardStore",
    "TensorEntry",
    "Upload",
    "VersionTable",
    "Wanted",
    "as_tensor",
    "digest_shards",
    "mirrored_elsewhere",
    "open_local_store",
    "view_tensors",
]
