"""An installation that is aged on purpose: in minutes passes what takes years elsewhere, and it must not be seen."""
