"""What Flink's decision about a transaction costs, by how many of its user are held: `python -m benchmarks.fraud_state`

Needs what `make test` installs. It runs the operator alone, on RocksDB in a temporary directory, and times transactions
one by one: `cpu_us` is the CPU time of the operator's thread for each, on the average. `first_ms` is what the first one
takes, with which the state is moved that an earlier version left. `--before DIRECTORY` times the compiled classes of
another version in the same run.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from infra.local.java import java
from infra.local.machine import describe
from lakehouse.runtime.flink_home import distribution
from lakehouse.settings import ROOT, Settings, load_settings

RESULT: Final = Path(__file__).with_name("results") / "fraud_state.json"
POM: Final = ROOT / "connectors" / "pom.xml"
CLASSPATH: Final = "org.apache.maven.plugins:maven-dependency-plugin:2.8:build-classpath"
MAIN: Final = "io.kappalakehouse.flink.fraud.FraudStateBenchmark"
"""Compiled with the tests, against this version's classes; it uses nothing that others lack."""
FEW: Final = 200
WORK: Final = 40_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, nargs="+", default=[5, 1_000, 20_000, 200_000])
    parser.add_argument("--timed", type=int, default=10_000, help="transactions that are timed")
    parser.add_argument("--before", type=Path, help="`target/classes` of the connectors of another version")
    arguments = parser.parse_args()
    machine = describe()
    settings = load_settings()
    libraries = build()
    result: dict[str, Any] = {"benchmark": "fraud_state", "machine": machine, "backend": "rocksdb"}
    classes = ROOT / "connectors" / "target" / "classes"
    if arguments.before:
        # That of a version whose transactions cost what is held must end some time.
        few = {held: min(arguments.timed, max(FEW, WORK // held)) for held in arguments.held}
        result["before"] = measure(settings, arguments.before, libraries, few)
    result["now"] = measure(settings, classes, libraries, dict.fromkeys(arguments.held, arguments.timed))
    if arguments.before:
        result["ratio_cpu_before_to_now"] = {
            str(b["held"]): round(b["cpu_us"] / n["cpu_us"], 1)
            for b, n in zip(result["before"], result["now"], strict=True)
        }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def build() -> str:
    """Compiles the connectors with their tests; returns the class path of what they need."""
    with tempfile.NamedTemporaryFile("r") as found:
        maven = ("mvn", "-q", "-B", "-f", str(POM))
        python = f"-Dlakehouse.python={load_settings().cache / 'venv' / 'main' / 'bin' / 'python'}"
        subprocess.run([*maven, "test-compile", python], check=True)
        subprocess.run([*maven, CLASSPATH, "-DincludeScope=test", f"-Dmdep.outputFile={found.name}"], check=True)
        return Path(found.name).read_text()


def measure(settings: Settings, classes: Path, libraries: str, timed: dict[int, int]) -> list[dict[str, Any]]:
    """`timed`: for each number of those held, how many are timed. RocksDB comes with Flink's distribution."""
    tests = ROOT / "connectors" / "target" / "test-classes"
    (flink,) = (distribution(settings) / "lib").glob("flink-dist-*.jar")
    run = subprocess.run(
        [
            java(settings), "-Xmx2g", "--add-opens", "java.base/java.util=ALL-UNNAMED",
            "-cp", f"{classes}:{tests}:{libraries}:{flink}", MAIN,
            *(str(number) for each in timed.items() for number in each),
        ],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in run.stdout.splitlines()]


if __name__ == "__main__":
    main()
