"""Networks by name: backbones inside a snippet, modules across snippets, and their registry."""

from harness.models.registry import list_aggregations, register_aggregation, unregister_aggregation
from harness.models.video_model import VideoModel
from harness.models.weights import inflate_2d, load_release, read_checkpoint
from harness.models.zoo import create_model, list_models

__all__ = [
    "VideoModel",
    "create_model",
    "inflate_2d",
    "list_aggregations",
    "list_models",
    "load_release",
    "read_checkpoint",
    "register_aggregation",
    "unregister_aggregation",
]
