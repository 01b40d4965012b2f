"""Installs everything this checkout runs on: ``python3.11 infra/bootstrap.py [--with-tests]``; needs nothing installed.

Everything goes into `LAKEHOUSE_CACHE`. A step whose inputs are those of its last success is skipped, so that a
killed installation goes on where it was, and a second one takes a second.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CACHE: Final = Path(os.environ.get("LAKEHOUSE_CACHE") or ROOT / ".lakehouse" / "cache").absolute()
MINIO: Final = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
TOXIPROXY: Final = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
COMPOSE_GO: Final = "github.com/compose-spec/compose-go/v2@v2.16.2"
COPY_JARS: Final = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
FREE_DISK_GB: Final = 8
MEMORY_GB: Final = 8

JAVA: Final = CACHE / "java-home"
UV: Final = CACHE / "tools" / "bin" / "uv"
MAIN: Final = CACHE / "venv" / "main"
SPARK_CLASSES: Final = CACHE / "jars" / "spark-classes.jsa"
COMPOSE_SCHEMA: Final = CACHE / "schema" / "compose-spec.json"


class MissingError(Exception):
    """Something that only the user can provide; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Step:
    """`run` makes `output` from `inputs`; it may be repeated, and leaves nothing half done under the final name."""

    name: str
    title: str
    inputs: tuple[Path | str, ...]
    output: Path
    run: Callable[[], None]


# --- What must be there before anything is started ---------------------------------------------------------------


def check(with_tests: bool) -> None:
    """Raises `MissingError`; installs a JDK, Maven and, for tests, Chromium by apt-get where the user may."""
    if sys.version_info[:2] != (3, 11):
        raise MissingError(
            f"Python 3.11 is needed, this is {sys.version.split()[0]}: call `make PYTHON=/path/to/python3.11`."
        )
    if not sys.platform.startswith("linux"):
        raise MissingError("The services are built for Linux: use a Linux machine, or infra/docker-compose.yml.")
    if not shutil.which("git"):
        raise MissingError("git is needed: install it with your package manager.")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if memory < MEMORY_GB:
        raise MissingError(f"{MEMORY_GB} GB of memory are needed, this machine has {memory:.1f}: use a larger one.")
    CACHE.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(CACHE).free / 2**30
    if free < FREE_DISK_GB and not (CACHE / "stamps").exists():
        raise MissingError(f"{FREE_DISK_GB} GB of disk are needed, {CACHE} has {free:.1f}: set LAKEHOUSE_CACHE.")
    wanted = {
        "openjdk-17-jdk-headless": (find_jdk() is not None, "a JDK 17 (with javac)"),
        "maven": (shutil.which("mvn") is not None, "Maven"),
        "python3.11-venv": (_has_ensurepip(), "Python's venv and ensurepip"),
    }
    if with_tests:
        wanted["chromium"] = (any(shutil.which(name) for name in CHROMIUM), "Chromium, for the browser test,")
    lacking = {package: what for package, (there, what) in wanted.items() if not there}
    if lacking:
        _install_by_apt(lacking)
    jdk = find_jdk()
    if jdk is None:
        raise MissingError("A JDK 17 (with javac) is needed: install one and set JAVA_HOME to it.")
    _link(JAVA, jdk)


def find_jdk() -> Path | None:
    """The home of a JDK 17: by JAVA_HOME, by the path, among Debian's, in that order."""
    on_path = shutil.which("javac")
    candidates = [
        os.environ.get("JAVA_HOME"),
        Path(on_path).resolve().parent.parent if on_path else None,
        *Path("/usr/lib/jvm").glob("*17*"),
    ]
    for home in (Path(candidate) for candidate in candidates if candidate):
        release = home / "release"
        if (home / "bin" / "javac").exists() and release.exists() and 'JAVA_VERSION="17' in release.read_text():
            return home.resolve()
    return None


def _has_ensurepip() -> bool:
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return False
    return True


def _install_by_apt(lacking: dict[str, str]) -> None:
    names, what = " ".join(lacking), " and ".join(lacking.values())
    ask = f"Missing: {what}; install with your package manager (Debian: `apt-get install {names}`)."
    if not shutil.which("apt-get"):
        raise MissingError(ask)
    prefix: list[str] = []
    if os.geteuid() != 0:
        if not shutil.which("sudo") or subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode:
            raise MissingError(ask)
        prefix = ["sudo", "-n"]
    say(f"installing {names} with apt-get")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    log = CACHE / "logs" / "apt.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as output:
        for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *lacking]):
            command = [*prefix, "apt-get", *words]
            code = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if code.returncode:
        raise MissingError(f"{ask} The attempt failed: {log}")


# --- Steps -------------------------------------------------------------------------------------------------------


def steps(*, with_tests: bool) -> list[Step]:
    """Those of one after the other; MinIO's build, which takes longest, goes on beside them.

    `with_tests`: Spark's classes are archived, which pays where drivers start many times.
    """
    locks, jars = ROOT / "requirements", ROOT / "infra" / "jars"
    flink = CACHE / "venv" / "flink"
    found = [
        Step("main", "Python environment of everything but Flink", (locks / "main.txt",), MAIN, lambda: venv("main")),
        Step("flink", "Python environment of Flink", (locks / "flink.txt",), flink, lambda: venv("flink")),
    ]
    for pom in sorted(jars.glob("*/pom.xml")):
        name = pom.parent.name
        # Which jars PySpark ships is an input of Spark's.
        inputs = (pom, locks / "main.txt") if name == "spark" else (pom,)
        found.append(Step(f"jars-{name}", f"jars of {name}", inputs, CACHE / "jars" / name, _copy_jars(pom)))
    sources = [p for p in (ROOT / "connectors").rglob("*") if p.is_file() and "target" not in p.parts]
    sources += (ROOT / "lakehouse" / "contracts").glob("*.py")
    semantics = ROOT / "lakehouse" / "semantics"
    sources += (semantics / "export.py", semantics / "rules.py", *(semantics / "metrics").glob("*/spec.py"))
    sources.sort()
    session = (ROOT / "jobs" / "spark_session.py", ROOT / "jobs" / "spark_classes.py")
    # All that a JVM compares before it takes an archive: the class path's jars, and itself.
    archived = (*session, jars / "spark" / "pom.xml", locks / "main.txt", *sources, (JAVA / "release").read_text())
    found += [
        Step("connectors", "Java connectors", tuple(sources), CACHE / "jars" / "connectors", connectors),
        Step("data", "sample data", (locks / "data.txt",), CACHE / "data", data),
    ]
    if with_tests:
        found.append(Step("spark-classes", "archive of Spark's classes", archived, SPARK_CLASSES, spark_classes))
    return found


def uv() -> None:
    tools = CACHE / "tools"
    run(sys.executable, "-m", "venv", "--clear", str(tools))
    lock = str(ROOT / "requirements" / "tools.txt")
    run(str(tools / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "-r", lock)


def venv(name: str) -> None:
    directory = CACHE / "venv" / name
    python = directory / "bin" / "python"
    if not python.exists() or run_quietly(str(python), "-c", "") != 0:
        run(str(UV), "venv", "--clear", "--python", sys.executable, str(directory))
    lock = str(ROOT / "requirements" / f"{name}.txt")
    # Compiled now: where PYTHONDONTWRITEBYTECODE is set, each start would compile everything again.
    run(str(UV), "pip", "sync", "--compile-bytecode", "--require-hashes", "--python", str(python), lock)


def _go_program(package: str, built: str, name: str) -> Callable[[], None]:
    """Builds the program that Go calls `built` into ``bin/name``."""

    def build() -> None:
        work = CACHE / "build" / f"go-{name}"
        run(_go(), "install", "-ldflags=-s -w", package, environment=_go_environment(work))
        (CACHE / "bin").mkdir(exist_ok=True)
        (work / "bin" / built).replace(CACHE / "bin" / name)
        shutil.rmtree(work, ignore_errors=True)

    return build


def compose_schema() -> None:
    """The schema that the compose file is tested against, from the specification's own Go module."""
    work = CACHE / "build" / "compose-go"
    run(_go(), "mod", "download", COMPOSE_GO, environment=_go_environment(work))
    name, version = COMPOSE_GO.split("@")
    schema = work / "path" / "pkg" / "mod" / f"{name}@{version}" / "schema" / "compose-spec.json"
    COMPOSE_SCHEMA.parent.mkdir(exist_ok=True)
    shutil.copyfile(schema, COMPOSE_SCHEMA)
    shutil.rmtree(work, ignore_errors=True)


def _go_environment(work: Path) -> dict[str, str]:
    return {
        "GOPATH": str(work / "path"),
        "GOCACHE": str(work / "cache"),
        "GOBIN": str(work / "bin"),
        "GOFLAGS": "-modcacherw -trimpath",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


def _go() -> str:
    """Go 1.24 or newer of the system, else the one that comes as a wheel."""
    system = shutil.which("go")
    if system:
        answer = subprocess.run([system, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        numbers = answer.strip().removeprefix("go").split(".")[:2]
        if len(numbers) == 2 and all(n.isdigit() for n in numbers) and tuple(map(int, numbers)) >= (1, 24):
            return system
    build = CACHE / "venv" / "build"
    run(str(UV), "venv", "--clear", "--python", sys.executable, str(build))
    lock = str(ROOT / "requirements" / "build.txt")
    run(str(UV), "pip", "sync", "--require-hashes", "--python", str(build / "bin" / "python"), lock)
    return str(next(path for path in build.glob("**/bin/go") if path.is_file()))


def _copy_jars(pom: Path) -> Callable[[], None]:
    def copy() -> None:
        name = pom.parent.name
        work = _empty(CACHE / "build" / f"jars-{name}")
        run("mvn", "-q", "-B", "-C", "-f", str(pom), COPY_JARS, "-DincludeScope=runtime", f"-DoutputDirectory={work}")
        if name == "spark":
            # What PySpark ships, in whatever version, is what Spark was built with.
            shipped = (MAIN / "lib" / "python3.11" / "site-packages" / "pyspark" / "jars").glob("*.jar")
            names = {_artifact(jar) for jar in shipped}
            for jar in work.glob("*.jar"):
                if _artifact(jar) in names:
                    jar.unlink()
        _replace(CACHE / "jars" / name, work)

    return copy


def _artifact(jar: Path) -> str:
    """A jar's name without its version."""
    return re.split(r"-\d", jar.name, maxsplit=1)[0]


def connectors() -> None:
    pom = str(ROOT / "connectors" / "pom.xml")
    python = f"-Dlakehouse.python={sys.executable}"
    run("mvn", "-q", "-B", "-f", pom, "package", "-Dmaven.test.skip=true", python)
    work = _empty(CACHE / "build" / "connectors")
    shutil.copy(ROOT / "connectors" / "target" / "kappa-lakehouse-connectors.jar", work)
    _replace(CACHE / "jars" / "connectors", work)


def spark_classes() -> None:
    environment = {"PYTHONPATH": str(ROOT), "LAKEHOUSE_CACHE": str(CACHE)}
    run(str(MAIN / "bin" / "python"), "-m", "jobs.spark_classes", environment=environment)


def data() -> None:
    work = _empty(CACHE / "build" / "data")
    lock = str(ROOT / "requirements" / "data.txt")
    install = (str(UV), "pip", "install", "--no-deps", "--require-hashes", "--python", sys.executable)
    run(*install, "--target", str(work), "-r", lock)
    _replace(CACHE / "data", work)


def _empty(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _replace(final: Path, made: Path) -> None:
    """Put a finished directory where the old one was."""
    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        final.rename(old)
    made.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.resolve() == target:
        return
    new = link.with_name(link.name + ".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


# --- Running them ------------------------------------------------------------------------------------------------

_log = threading.local()


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run a command of a step, its output into the step's log."""
    variables = os.environ | {"JAVA_HOME": str(JAVA), "UV_PYTHON_DOWNLOADS": "never"} | (environment or {})
    with _log.path.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        subprocess.run(
            command, env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True
        )


def run_quietly(*command: str) -> int:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return 1


def digest(inputs: Iterable[Path | str]) -> str:
    """Of the names and contents of files, and of texts; a path's place outside the checkout doesn't count."""
    total = hashlib.sha256()
    for value in inputs:
        if isinstance(value, Path):
            total.update(str(value.relative_to(ROOT)).encode() + b"\0" + value.read_bytes())
        else:
            total.update(value.encode())
        total.update(b"\1")
    return total.hexdigest()


def do(step: Step) -> None:
    """Run the step unless its last success had these inputs, and say so."""
    stamp = CACHE / "stamps" / step.name
    inputs = digest(step.inputs)
    if step.output.exists() and stamp.exists() and stamp.read_text() == inputs:
        return
    stamp.unlink(missing_ok=True)
    _log.path = CACHE / "logs" / f"{step.name}.log"
    _log.path.unlink(missing_ok=True)
    say(f"{step.title} ...")
    begun = time.monotonic()
    try:
        step.run()
    except subprocess.CalledProcessError as error:
        lines = _log.path.read_text(errors="replace").splitlines()[-15:]
        text = "\n".join(f"    {line}" for line in lines)
        raise MissingError(f"{step.title}: `{Path(error.cmd[0]).name}` failed; see {_log.path}:\n{text}") from None
    new = stamp.with_suffix(".new")
    new.write_text(inputs)
    new.replace(stamp)
    say(f"{step.title}: done in {time.monotonic() - begun:.0f} s")


_begun = time.monotonic()


def say(text: str) -> None:
    print(f"install [{time.monotonic() - _begun:4.0f} s] {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--with-tests", action="store_true", help="also what the tests need: Chromium, Toxiproxy, the compose schema"
    )
    parser.add_argument("--without-minio", action="store_true", help="for an image that does not run it")
    arguments = parser.parse_args()
    try:
        check(arguments.with_tests)
        install(with_tests=arguments.with_tests, with_minio=not arguments.without_minio)
    except MissingError as missing:
        sys.exit(f"install: {missing}")
    say(f"installed in {CACHE}; next: `make demo`, or `bin/lakehouse up`")


def install(*, with_tests: bool, with_minio: bool) -> None:
    """All steps, one installation at a time per cache."""
    for directory in ("stamps", "logs", "build"):
        (CACHE / directory).mkdir(exist_ok=True)
    with (CACHE / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation into the same cache")
            fcntl.flock(lock, fcntl.LOCK_EX)
        do(Step("uv", "uv", (ROOT / "requirements" / "tools.txt",), UV, uv))
        built = []
        if with_minio:
            title = "MinIO from its source (takes some minutes)"
            make = _go_program(MINIO, "minio", "minio")
            built.append(Step("minio", title, (MINIO,), CACHE / "bin" / "minio", make))
        if with_tests:
            make = _go_program(TOXIPROXY, "server", "toxiproxy")
            built.append(
                Step("toxiproxy", "Toxiproxy from its source", (TOXIPROXY,), CACHE / "bin" / "toxiproxy", make)
            )
            built.append(Step("compose-schema", "compose schema", (COMPOSE_GO,), COMPOSE_SCHEMA, compose_schema))
        with ThreadPoolExecutor(max_workers=1) as beside:
            building = [beside.submit(do, step) for step in built]
            for step in steps(with_tests=with_tests):
                do(step)
            for step_done in building:
                step_done.result()


if __name__ == "__main__":
    main()
