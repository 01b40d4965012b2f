"""SQL jobs on the session cluster, submitted from Flink's own Python."""

import json
import os
import subprocess
from collections.abc import Collection

from lakehouse.flink_rest import call_flink
from lakehouse.runtime import flink_home
from lakehouse.settings import ROOT, Settings
from tests.waiting import until


def submit(
    settings: Settings, job: str, tables: list[str], inserts: list[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Ends once the cluster has taken the job, whose id is the last word it prints, or has refused it."""
    return subprocess.run(
        [flink_home.python(settings), "-m", "tests.integration.flink_sql"],
        input=json.dumps({"job": job, "tables": tables, "inserts": inserts}),
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def run(
    settings: Settings,
    job: str,
    tables: list[str],
    inserts: list[str],
    seconds: float = 60,
    failed: Collection[str] = ("FAILED", "CANCELED", "RESTARTING"),
) -> None:
    """A bounded job, to its end; none of the states `failed` may come before."""
    done = submit(settings, job, tables, inserts)
    assert done.returncode == 0, done.stderr[-3000:]
    path = f"/jobs/{done.stdout.split()[-1]}"

    def finished() -> bool:
        state = call_flink(settings, "GET", path)["state"]
        assert state not in failed, str(call_flink(settings, "GET", f"{path}/exceptions"))[:3000]
        return bool(state == "FINISHED")

    until(finished, seconds, f"{job} is finished", every=0.2)
