"""Networks by name: backbones inside a snippet, modules inside and across snippets, and their registries."""

# A family's file registers its models, modules and importers when it is imported.
from harness.models import (  # noqa: F401
    bninception,
    dsa,
    eco,
    i3d,
    i3d_nl,
    inception_v3,
    mvfnet,
    nl_gcn,
    pyslowfast,
    s3d,
    se,
    slowfast,
    tanet,
    tea,
    teinet,
    trn,
    tsm,
    tsn,
    v4d,
    x3d,
)
from harness.models.create import create_model
from harness.models.network import Backbone, Head, InputSpec, Place, PlaceName, VideoModel
from harness.models.place import Declared, build_network, resolve
from harness.models.registry import (
    list_aggregations,
    list_inside,
    list_models,
    model_entry,
    register_aggregation,
    register_inside,
    register_model,
    takes_any_U,
    unregister,
)
from harness.models.weights import (
    inflate_2d,
    list_releases,
    load_release,
    load_trunk,
    read_checkpoint,
    register_release,
)

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
    "load_trunk",
    "model_entry",
    "read_checkpoint",
    "register_aggregation",
    "register_inside",
    "register_model",
    "register_release",
    "resolve",
    "takes_any_U",
    "unregister",
]
