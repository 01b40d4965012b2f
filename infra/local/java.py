"""The JDK that the services run on."""

from lakehouse.settings import Settings


def java_home(settings: Settings) -> str:
    """The JDK 17 that the installation found; a link in the cache."""
    return str(settings.cache.absolute() / "java-home")


def java(settings: Settings) -> str:
    return f"{java_home(settings)}/bin/java"
