"""Where Django looks for the models of the app."""

from heygen_portal.trail import models as trail_models

__all__ = ["trail_models"]
