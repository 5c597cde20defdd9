"""Networks by name: backbones inside a snippet, modules inside and across snippets, and their registries."""

# A family's file registers its models, modules and importers when it is imported.
from harness.models import dsa, i3d, i3d_nl, nl_gcn, pyslowfast, s3d, se, slowfast, tsm, tsn, v4d, x3d  # noqa: F401
from harness.models.create import create_model
from harness.models.network import Backbone, Head, InputSpec, Place, PlaceName, VideoModel
from harness.models.place import Declared, build_network, resolve
from harness.models.registry import (
    list_aggregations,
    list_inside,
    list_models,
    register_aggregation,
    register_inside,
    register_model,
)
from harness.models.weights import inflate_2d, list_releases, load_release, read_checkpoint, register_release

__all__ = [
    "Backbone",
    "Declared",
    "Head",
    "InputSpec",
    "Place",
    "PlaceName",
    "VideoModel",
    "build_network",
    "create_model",
    "inflate_2d",
    "list_aggregations",
    "list_inside",
    "list_models",
    "list_releases",
    "load_release",
    "read_checkpoint",
    "register_aggregation",
    "register_inside",
    "register_model",
    "register_release",
    "resolve",
]
