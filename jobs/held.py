"""Positions of jobs that keep them with their results, and not in checkpoints."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from jobs.streaming.dashboard_writer import GROUP as DASHBOARD_WRITER
from jobs.streaming.region_revenue import main as region_revenue
from jobs.streaming.region_revenue import store
from lakehouse.checkpoints import Positions
from lakehouse.kafka.topics import DASHBOARD
from lakehouse.redis_values import LiveValues
from lakehouse.runtime.sources import Held
from lakehouse.settings import Settings


def held_by(settings: Settings, job: str) -> Held | None:
    """Where `job` keeps how far it is; None for one with checkpoints, and for one that is never held up."""
    if job == DASHBOARD_WRITER:
        return _InRedis(settings)
    return _InPostgres(settings) if job == region_revenue.JOB else None


@dataclass(frozen=True, slots=True)
class _InRedis:
    settings: Settings

    def positions(self) -> Positions:
        with closing(LiveValues(self.settings)) as values:
            return {DASHBOARD: values.positions()}

    def topics(self) -> Mapping[str, str]:
        with closing(LiveValues(self.settings)) as values:
            known = values.topic_id()
        return {} if known is None else {DASHBOARD: known}

    def move(self, positions: Positions, topics: Mapping[str, str], _by: str) -> None:
        with closing(LiveValues(self.settings)) as values:
            values.begin(topics[DASHBOARD], positions[DASHBOARD])


@dataclass(frozen=True, slots=True)
class _InPostgres:
    settings: Settings

    def positions(self) -> Positions:
        with store.connect(self.settings) as connection:
            return {region_revenue.TOPIC: store.kept_positions(connection, region_revenue.TOPIC)}

    def topics(self) -> Mapping[str, str]:
        with store.connect(self.settings) as connection:
            rows = connection.execute("SELECT topic, topic_id FROM topics").fetchall()
        return dict(rows)

    def move(self, positions: Positions, topics: Mapping[str, str], by: str) -> None:
        topic = region_revenue.TOPIC
        with store.connect(self.settings) as connection:
            store.begin(connection, topic, topics[topic], positions[topic], f"losses accepted by {by}")
