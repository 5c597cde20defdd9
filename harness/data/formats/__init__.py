"""The published datasets in their official layouts, one file each; `harness.data.registry` imports them all."""
