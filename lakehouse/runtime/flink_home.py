"""Where this installation's Flink configuration, jars and plugins lie: for the cluster and for submitting to it."""

from pathlib import Path

from lakehouse.settings import Settings


def distribution(settings: Settings) -> Path:
    """The Flink that PyFlink ships; left as it was installed."""
    return settings.cache.absolute() / "venv" / "flink" / "lib" / "python3.11" / "site-packages" / "pyflink"


def configuration_directory(settings: Settings) -> Path:
    """Holds ``config.yaml``, ``core-site.xml``, ``lib/`` and ``plugins/``, made by ``lakehouse up flink``."""
    return settings.home.absolute() / "data" / "flink" / "conf"


def python(settings: Settings) -> Path:
    """The Python that has PyFlink."""
    return settings.cache.absolute() / "venv" / "flink" / "bin" / "python"


def environment(settings: Settings) -> dict[str, str]:
    """What a Flink process, or a client that submits with PyFlink, needs in its environment."""
    directory = configuration_directory(settings)
    return {
        "JAVA_HOME": str(settings.cache.absolute() / "java-home"),
        "FLINK_HOME": str(distribution(settings)),
        "FLINK_CONF_DIR": str(directory),
        "HADOOP_CONF_DIR": str(directory),
        "FLINK_LIB_DIR": str(directory / "lib"),
        "FLINK_PLUGINS_DIR": str(directory / "plugins"),
        "FLINK_LOG_DIR": str(settings.home.absolute() / "logs"),
    }
