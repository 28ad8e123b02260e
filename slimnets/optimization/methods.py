"""The ways to make a network smaller, each a row of steps."""

from collections.abc import Mapping
from types import MappingProxyType

METHODS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "qat": ("qat",),
        "prune": ("prune",),
        "cluster": ("cluster",),
        "prune-cluster": ("prune", "cluster"),
        "prune-qat": ("prune", "qat"),
        "cluster-qat": ("cluster", "qat"),
        "prune-cluster-qat": ("prune", "cluster", "qat"),
    }
)
