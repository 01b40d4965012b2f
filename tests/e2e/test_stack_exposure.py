"""What the whole stack shows to others on the machine and beyond: nothing without a password."""

import ipaddress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
import redis
from minio import Minio
from minio.error import S3Error

from infra.local import launch
from lakehouse.settings import Settings
from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def settings(stack: Stack) -> Settings:
    return stack.ensure()


def test_every_service_is_ready(stack: Stack, settings: Settings) -> None:
    states = {row.name: row.state for row in stack.local.status() if not row.name.startswith("job-")}
    assert len(states) == 10
    assert set(states.values()) == {"ready"}, states


def test_nothing_listens_beyond_the_loopback_interface(settings: Settings) -> None:
    pids = {pid for pid, _ in launch.marked(f"{settings.home}:")}
    addresses = {
        (psutil.Process(c.pid).name(), c.laddr.ip, c.laddr.port)
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.pid in pids
    }
    assert {port for _, _, port in addresses} >= {settings.kafka_port, settings.airflow_port, settings.flink_port}
    open_to_others = {a for a in addresses if not ipaddress.ip_address(a[1].removeprefix("::ffff:")).is_loopback}
    assert open_to_others == set()


def test_no_credential_is_in_a_log(settings: Settings) -> None:
    lines = settings.credentials_file.read_text().splitlines()
    public = {"LAKEHOUSE_INSTALLATION", "LAKEHOUSE_MINIO_ACCESS_KEY"}
    secrets = {name: value for name, value in (line.split("=", 1) for line in lines) if name not in public}
    assert len(secrets) == 7
    logs = [path for path in (settings.home / "logs").rglob("*") if path.is_file()]
    assert len(logs) >= 10
    leaks = [(path.name, name) for path in logs for name, value in secrets.items() if value in path.read_text()]
    assert leaks == []


def test_postgres_refuses_a_wrong_password(settings: Settings) -> None:
    right = settings.postgres_password.get_secret_value()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(settings.postgres_dsn.replace(right, "wrong"))


def test_valkey_refuses_a_client_without_a_password(settings: Settings) -> None:
    client = redis.Redis(host=settings.host, port=settings.redis_port)
    with pytest.raises(redis.AuthenticationError):
        client.ping()


def test_minio_refuses_an_anonymous_client(settings: Settings) -> None:
    client = Minio(settings.s3_endpoint.removeprefix("http://"), secure=False)
    with pytest.raises(S3Error, match="AccessDenied"):
        list(client.list_objects(settings.bucket))


def test_airflow_gives_a_token_for_the_right_password_only(settings: Settings) -> None:
    url = f"http://{settings.host}:{settings.airflow_port}/auth/token"
    password = settings.airflow_password.get_secret_value()
    statuses = [
        httpx.post(url, json={"username": settings.airflow_user, "password": tried}, timeout=30).status_code
        for tried in (password, "admin")
    ]
    assert statuses == [201, 401]


def test_airflows_password_file_is_the_owners_alone(settings: Settings) -> None:
    file = Path(settings.home) / "data" / "airflow" / "passwords.json"
    assert file.stat().st_mode & 0o077 == 0
