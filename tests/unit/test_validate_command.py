"""``lakehouse validate`` on files as people have them."""

import gzip
import os
import subprocess
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.validate import UnreadableFileError, app, explain
from lakehouse.contracts.conformance import cases
from lakehouse.contracts.validation import Invalid
from lakehouse.settings import ROOT

VALID = '{"event_id":"e","event_time":"2026-07-01T10:00:00.5Z","user_id":"u","action":"click","page":"/","region":"n"}'


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "clicks.jsonl"


def test_all_valid_is_success(file: Path) -> None:
    file.write_text(f"{VALID}\n{VALID}\n")
    result = _run(file, "--arrival", "2026-07-01T12:00:00Z")
    assert result.exit_code == 0
    assert result.output == "2 records: 2 valid\n"


def test_each_invalid_record_is_named_by_line_and_explained(file: Path) -> None:
    file.write_text(f"{VALID}\n{VALID.replace('click', 'Click')}\nhello\n")
    result = _run(file, "--arrival", "2026-07-01T12:00:00Z")
    assert result.exit_code == 1
    assert f"{file}:2: out_of_range: action is out of range; it is one of impression, click\n" in result.output
    assert f"{file}:3: not_json: the value is not exactly one JSON object" in result.output
    assert result.output.endswith("3 records: 1 valid, 1 out_of_range, 1 not_json\n")


def test_arrival_decides_whether_a_time_lies_in_the_future(file: Path) -> None:
    file.write_text(VALID)
    assert _run(file, "--arrival", "2026-07-01T09:55:00.5Z").exit_code == 0
    assert "event_time is out of range" in _run(file, "--arrival", "2026-07-01T09:55:00.499Z").output


def test_keys_are_judged_where_the_file_has_them(file: Path) -> None:
    file.write_text(f"u\t{VALID}\nv\t{VALID}\n{VALID}\n")
    result = _run(file, "--key-separator", "\t", "--arrival", "2026-07-01T12:00:00Z")
    assert "3 records: 2 key_mismatch, 1 valid" in result.output


def test_gzip_is_read_by_content_not_name(file: Path) -> None:
    file.write_bytes(gzip.compress(VALID.encode()))
    assert (
        _run(file, "--all", "--arrival", "2026-07-01T12:00:00Z").output.splitlines()[0].startswith(f"{file}:1: valid: ")
    )


def test_broken_gzip_and_an_empty_file_name_the_file(file: Path) -> None:
    file.write_bytes(gzip.compress(VALID.encode())[:-9])
    broken = _run(file).exception
    assert isinstance(broken, UnreadableFileError)
    assert str(broken).startswith(f"{file}: the gzip data are broken")
    file.write_bytes(b"")
    empty = _run(file).exception
    assert isinstance(empty, UnreadableFileError)
    assert str(empty) == f"{file} is empty: there is no record to validate."


def test_a_pipe_is_read_once(file: Path) -> None:
    os.mkfifo(file)
    writer = threading.Thread(target=file.write_bytes, args=(gzip.compress(f"{VALID}\nx\n".encode()),), daemon=True)
    writer.start()
    output = _run(file, "--arrival", "2026-07-01T12:00:00Z").output
    writer.join(10)
    assert f"{file}:2: not_json" in output
    assert output.endswith("2 records: 1 valid, 1 not_json\n")


def test_a_dash_is_standard_input() -> None:
    command = [ROOT / "bin" / "lakehouse", "validate", "-", "--arrival", "2026-07-01T12:00:00Z"]
    done = subprocess.run(command, input=f"{VALID}\nx\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "standard input:2: not_json" in done.stdout
    assert done.stdout.endswith("2 records: 1 valid, 1 not_json\n")


def test_a_missing_file_and_an_unknown_topic_are_usage_errors(file: Path) -> None:
    missing = _run(file)
    assert missing.exit_code == 2
    assert "no such file" in missing.output
    assert "directory" in _run(file.parent).output
    file.write_text(VALID)
    result = _run(file, "--topic", "shop.click")
    assert result.exit_code == 2
    assert "shop.purchases" in result.output


def test_limit_shows_few_and_counts_all(file: Path) -> None:
    file.write_text("x\n" * 5)
    lines = _run(file, "--limit", "2").output.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "5 records: 5 not_json"


def test_every_reason_has_an_explanation() -> None:
    for case in cases():
        if isinstance(case.verdict, Invalid):
            text = explain(case.topic, case.verdict)
            assert case.verdict.field is None or text.startswith(case.verdict.field)
