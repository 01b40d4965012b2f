"""Name and credentials of one installation: generated once, kept in a file that its owner alone may read."""

import base64
import os
import secrets
from collections.abc import Callable
from typing import Final

from lakehouse.settings import Settings, load_settings

_GENERATED: Final[dict[str, Callable[[], str]]] = {
    "installation": lambda: secrets.token_hex(6),
    "minio_access_key": lambda: "lakehouse-" + secrets.token_hex(6),
    "minio_secret_key": lambda: secrets.token_hex(20),
    "postgres_password": lambda: secrets.token_hex(20),
    "redis_password": lambda: secrets.token_hex(20),
    "airflow_password": lambda: secrets.token_hex(12),
    "airflow_secret": lambda: secrets.token_hex(32),
    "spark_secret": lambda: secrets.token_hex(20),
    "airflow_fernet_key": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
}


def write_private(path: os.PathLike[str], text: str) -> None:
    """Replace `path` by `text` at one stroke; nobody else can read it at any moment."""
    temporary = f"{os.fspath(path)}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
    os.replace(temporary, path)


def ensure_credentials(settings: Settings) -> Settings:
    """Generate what neither the environment nor the file has, and return the settings with it."""
    file = settings.credentials_file
    if file.exists():  # which another process may have written since these were read
        load_settings.cache_clear()
        settings = load_settings()
    missing = {name: make() for name, make in _GENERATED.items() if not _has(settings, name)}
    if missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = file.read_text(encoding="utf-8") if file.exists() else ""
        write_private(file, kept + "".join(f"LAKEHOUSE_{name.upper()}={value}\n" for name, value in missing.items()))
        load_settings.cache_clear()
    return load_settings()


def _has(settings: Settings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value if isinstance(value, str) else value.get_secret_value())
