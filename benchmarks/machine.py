"""What a figure was measured on."""

from infra.local.machine import describe

__all__ = ["describe"]
