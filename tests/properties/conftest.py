"""A busy machine is no reason to fail: examples may take as long as they need."""

from hypothesis import HealthCheck, settings

settings.register_profile("lakehouse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lakehouse")
