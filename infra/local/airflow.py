"""Airflow, the control room: API server, scheduler, DAG processor and triggerer."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from infra.local import probes
from infra.local.credentials import write_private
from infra.local.service import Service, StackError, nothing
from lakehouse.settings import ROOT, Settings

_MEMORY_MB: Final = 350
_API_SERVER_MEMORY_MB: Final = 600
"""Its pages read tables."""


def airflow(settings: Settings) -> tuple[Service, ...]:
    """The four processes; the others' health is asked of the API server."""
    process = partial(_process, settings)
    health_port = settings.airflow_scheduler_health_port
    return (
        process(
            "api-server",
            ("api-server",),
            ready=lambda: _health(settings, "metadatabase"),
            memory_mb=_API_SERVER_MEMORY_MB,
            ports={"airflow_port": settings.airflow_port},
            depends=("postgres",),
            prepare=partial(_prepare, settings),
        ),
        process(
            "scheduler",
            # Its log server would listen on all interfaces; logs come over the API all the same.
            ("scheduler", "--skip-serve-logs"),
            ready=partial(probes.http_ok, settings.host, health_port, "/health"),
            ports={"airflow_scheduler_health_port": health_port},
            # The tasks that it runs end first.
            stop_seconds=12,
        ),
        process("dag-processor", ("dag-processor",), ready=lambda: _health(settings, "dag_processor")),
        process("triggerer", ("triggerer", "--skip-serve-logs"), ready=lambda: _health(settings, "triggerer")),
    )


def environment(settings: Settings) -> dict[str, str]:
    """Airflow's configuration; it holds credentials."""
    home = settings.home.absolute()
    url = f"http://{settings.host}:{settings.airflow_port}"
    database = (
        f"postgresql+psycopg2://{settings.postgres_user}:{settings.postgres_password.get_secret_value()}"
        f"@{settings.host}:{settings.postgres_port}/{settings.airflow_database}"
    )
    options = {
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [_bundle("lakehouse", ROOT / "dags"), _bundle("own", own_dags(settings))]
        ),
        "CORE__PLUGINS_FOLDER": str(ROOT / "infra" / "airflow" / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "infra.airflow.executor.PreloadedLocalExecutor",
        "CORE__PARALLELISM": "4",
        # A paused DAG leaves the runs that somebody asks for queued, and says nothing.
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__FERNET_KEY": settings.airflow_fernet_key.get_secret_value(),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{settings.airflow_user}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords(settings)),
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__HOST": settings.bind_host,
        "API__PORT": str(settings.airflow_port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": settings.airflow_secret.get_secret_value(),
        "API_AUTH__JWT_SECRET": settings.airflow_secret.get_secret_value(),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        # A file that has changed is parsed at once; the others need no look each 30 s.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "180",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": settings.host,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(settings.airflow_scheduler_health_port),
        # A killed scheduler's tasks are ended by the supervisor; the next scheduler need not wait long to repeat them.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs" / "airflow"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "airflow" / "dag_processor"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    prefixed = {f"AIRFLOW__{name}": value for name, value in options.items()}
    return prefixed | {"AIRFLOW_HOME": str(home / "data" / "airflow")}


def own_dags(settings: Settings) -> Path:
    """Where an installation keeps DAGs of its own, beside the product's."""
    return settings.home.absolute() / "dags"


def _bundle(name: str, directory: Path) -> dict[str, Any]:
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": classpath, "kwargs": {"path": str(directory)}}


def _process(
    settings: Settings,
    name: str,
    arguments: tuple[str, ...],
    *,
    ready: Callable[[], bool],
    memory_mb: int = _MEMORY_MB,
    ports: dict[str, int] | None = None,
    depends: tuple[str, ...] = ("postgres", "airflow-api-server"),
    prepare: Callable[[], None] = nothing,
    stop_seconds: int = 10,
) -> Service:
    return Service(
        name=f"airflow-{name}",
        profile="airflow",
        command=(sys.executable, "-m", "airflow", *arguments),
        environment=environment(settings),
        ready=ready,
        memory_mb=memory_mb,
        ports=ports or {},
        depends=depends,
        stop_seconds=stop_seconds,
        prepare=prepare,
    )


def _prepare(settings: Settings) -> None:
    """Write the password file, and bring the metadata to this version's schema with our pools."""
    home = settings.home.absolute() / "data" / "airflow"
    home.mkdir(parents=True, exist_ok=True)
    own_dags(settings).mkdir(parents=True, exist_ok=True)
    # Airflow would generate one that everybody may read.
    password = {settings.airflow_user: settings.airflow_password.get_secret_value()}
    write_private(_passwords(settings), json.dumps(password))
    # In the database's own directory, so that the mark goes when the database goes.
    migrated = settings.home.absolute() / "data" / "postgres" / f"airflow-{version('apache-airflow')}-pools.migrated"
    if migrated.exists():
        return
    from infra.local.programs import base_environment

    done = subprocess.run(
        (sys.executable, "-m", "infra.airflow.metadata"),
        env=base_environment(settings) | environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StackError(f"Airflow's metadata could not be brought up to date: {done.stderr.strip()[-500:]}")
    migrated.parent.mkdir(exist_ok=True)
    migrated.touch()


def _passwords(settings: Settings) -> Path:
    return settings.home.absolute() / "data" / "airflow" / "passwords.json"


def _health(settings: Settings, part: str) -> bool:
    answer = probes.http_json(settings.host, settings.airflow_port, "/api/v2/monitor/health")
    return answer is not None and answer[part]["status"] == "healthy"
