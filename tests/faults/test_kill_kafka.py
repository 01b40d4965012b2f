"""The broker is killed while a producer sends: what it confirmed and what it didn't is there once, in order."""

import os
import signal
import threading
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from lakehouse.kafka.consumer import end_offsets, read_partitions
from lakehouse.kafka.feed import Fed, feed
from lakehouse.kafka.topics import create_topics
from lakehouse.runtime.supervisor import Supervisor
from tests.faults.killing import PATIENCE_SECONDS
from tests.waiting import until

if TYPE_CHECKING:
    from tests.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.kill, pytest.mark.timeout(1200)]
RECORDS, KEYS, BATCH = 20_000, 50, 500


def test_nothing_is_lost_doubled_or_reordered_when_the_broker_is_killed(stack: "Stack") -> None:
    settings = stack.ensure("kafka").model_copy(update={"namespace": f"f{uuid.uuid4().hex[:10]}"})
    create_topics(settings)
    numbered = [("shop.clicks", f"k{n % KEYS}".encode(), str(n).encode()) for n in range(RECORDS)]
    batches = [numbered[start : start + BATCH] for start in range(0, RECORDS, BATCH)]
    outcome: list[Fed] = []
    sending = threading.Thread(target=lambda: outcome.append(feed(settings, batches, judged=False, rate=2_000)))

    sending.start()
    until(lambda: sum(end_offsets(settings, "shop.clicks").values()) > 2_000, PATIENCE_SECONDS, "records arrive")
    killed = Supervisor(settings).status("kafka").pid
    assert killed
    os.kill(killed, signal.SIGKILL)
    assert sending.is_alive()
    sending.join(PATIENCE_SECONDS)

    assert [fed.sent.total() for fed in outcome] == [RECORDS]
    assert Supervisor(settings).status("kafka").pid not in (None, killed)
    by_key = defaultdict(list)
    for record in read_partitions(settings, "shop.clicks"):
        by_key[record.key].append(int(record.value or b""))
    assert dict(by_key) == {f"k{n}".encode(): list(range(n, RECORDS, KEYS)) for n in range(KEYS)}
