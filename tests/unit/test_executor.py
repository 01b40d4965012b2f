"""The local Airflow's executor knows a task that was resumed while its deferral was still to be reported."""

import os
import subprocess
import sys
from pathlib import Path

from lakehouse.settings import ROOT

RESUMED = """
import multiprocessing
from types import SimpleNamespace
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState
from infra.airflow.executor import PreloadedLocalExecutor

class Work:  # crosses the queue to the workers
    def __init__(self, key):
        self.key, self.ti, self.priority_weight = key, self, 1

executor = PreloadedLocalExecutor(parallelism=1)
executor.activity_queue, executor.result_queue = multiprocessing.SimpleQueue(), multiprocessing.SimpleQueue()
executor.workers, executor._unread_messages = {}, multiprocessing.Value("I")
executor._check_workers = lambda: None
key = TaskInstanceKey("replay", "approve", "run", 1, -1)
task = SimpleNamespace(id="1", key=key)

def begin():
    executor.queued_tasks[key] = Work(key)
    executor.heartbeat()

def end():
    executor.result_queue.put((key, TaskInstanceState.SUCCESS, None))
    executor.sync()

known = [executor.has_task(task)]
for step in (begin, begin, end, end):
    step()
    known.append(executor.has_task(task))
assert known == [False, True, True, True, False], known
"""


def test_a_task_resumed_before_its_deferral_is_read_is_one_that_the_executor_has(tmp_path: Path) -> None:
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", RESUMED], env=environment, check=True)
