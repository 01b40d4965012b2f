"""Faults, replayable: seeded schedules of kills and freezes against a live pipeline, which must end exact."""
