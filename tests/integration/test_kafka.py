"""Topics, producers and the bounded reader, on a real broker."""

import uuid
from collections import defaultdict

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from infra.local.isolated import free_port_base
from lakehouse.contracts.events import PARTITIONS
from lakehouse.kafka.consumer import ReadError, Record, end_offsets, offset_range, read_partitions
from lakehouse.kafka.partitioner import partition_of
from lakehouse.kafka.sender import DeliveryError, Sender
from lakehouse.kafka.topics import TOPICS, PartitionCountError, TopicSettingsError, create_topics
from lakehouse.services import ServiceDownError
from lakehouse.settings import Settings
from tests.conftest import Stack
from tests.topics import remove_records
from tests.transactions import Transactions

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """A tenant of its own, without topics."""
    return stack.ensure("kafka").model_copy(update={"namespace": f"k{uuid.uuid4().hex[:10]}"})


@pytest.fixture
def tenant(settings: Settings) -> Settings:
    create_topics(settings)
    return settings


def create(settings: Settings, topic: str, partitions: int, **config: str) -> str:
    """Create a topic in a way that isn't ours; returns its full name."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    name = settings.prefixed(topic)
    admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(20)
    return name


def config(settings: Settings, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, settings.prefixed(topic))
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    (described,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in described.result(20).items()}


def send(settings: Settings, *keys: str, topic: str = "shop.clicks") -> None:
    with Sender(settings) as sender:
        sender.send([(topic, key.encode(), f"value of {key}".encode()) for key in keys])


def test_topics_are_created_once(settings: Settings) -> None:
    assert set(create_topics(settings)) == set(TOPICS)
    assert create_topics(settings) == []


def test_topics_have_the_declared_configuration(tenant: Settings) -> None:
    for name, topic in TOPICS.items():
        actual = config(tenant, name)
        assert {key: actual[key] for key in topic.config} == dict(topic.config)
        assert len(end_offsets(tenant, name)) == PARTITIONS
    assert config(tenant, "shop.products")["retention.ms"] == "-1"
    assert config(tenant, "shop.dashboard")["cleanup.policy"] == "compact"


def test_what_somebody_else_has_set_is_told_and_left(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    own = {"message.timestamp.type": "LogAppendTime", "retention.ms": "1000"}
    name = create(settings, "shop.clicks", PARTITIONS, **own)
    for _ in range(2):
        caplog.clear()
        assert "shop.clicks" not in create_topics(settings)
        assert config(settings, "shop.clicks")["retention.ms"] == "1000"
        assert f"topic {name}: retention.ms is 1000, not 604800000; it is left as it is" in caplog.messages


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        ("shop.clicks", "message.timestamp.type", "CreateTime"),
        ("shop.purchases", "cleanup.policy", "compact"),
        ("shop.products", "retention.ms", "604800000"),
        ("shop.dashboard", "cleanup.policy", "delete"),
    ],
)
def test_settings_that_the_tables_rest_on_are_required_by_name(
    settings: Settings, topic: str, setting: str, value: str
) -> None:
    name = create(settings, topic, PARTITIONS, **dict(TOPICS[topic].config) | {setting: value})
    with pytest.raises(TopicSettingsError, match=rf"{name}: {setting} is {value}, and must be") as refused:
        create_topics(settings)
    assert f"--add-config {setting}={TOPICS[topic].config[setting]}" in str(refused.value)
    assert config(settings, topic)[setting] == value
    with pytest.raises(ReadError, match="no topic"):
        end_offsets(settings, "shop.profiles")


def test_another_partition_count_is_an_error_and_nothing_is_created(settings: Settings) -> None:
    name = create(settings, "shop.profiles", 3)
    with pytest.raises(PartitionCountError, match=rf"{name} has 3 partitions and must have 6"):
        create_topics(settings)
    with pytest.raises(ReadError, match="no topic"):
        end_offsets(settings, "shop.clicks")


def test_keys_lie_where_javas_partitioner_puts_them(tenant: Settings) -> None:
    keys = [f"user-{n}" for n in range(300)] + ["ü", "東京", "x" * 256]
    send(tenant, *keys)
    send(tenant, *keys, topic="shop.purchases")
    for topic in ("shop.clicks", "shop.purchases"):
        lying = {(r.key or b"").decode(): r.partition for r in read_partitions(tenant, topic)}
        assert lying == {key: partition_of(key.encode()) for key in keys}


def test_null_keys_and_values_arrive_as_null(tenant: Settings) -> None:
    with Sender(tenant) as sender:
        sender.send([("shop.clicks", None, b"a"), ("shop.clicks", b"k", None), ("shop.clicks", b"", b"")])
    read = {(r.key, r.value) for r in read_partitions(tenant, "shop.clicks")}
    assert read == {(None, b"a"), (b"k", None), (b"", b"")}


def test_a_record_that_kafka_takes_nowhere_is_an_error(tenant: Settings) -> None:
    with pytest.raises(DeliveryError, match=r"shop\.clicks"), Sender(tenant) as sender:
        sender.send([("shop.clicks", b"k", b"x" * 3 * 2**20)])


def test_arrival_is_the_brokers_time(tenant: Settings) -> None:
    send(tenant, *(f"k{n}" for n in range(50)))
    by_partition = defaultdict(list)
    for record in read_partitions(tenant, "shop.clicks"):
        by_partition[record.partition].append(record)
    for records in by_partition.values():
        assert [r.offset for r in records] == list(range(len(records)))
        assert sorted(r.arrival_ms for r in records) == [r.arrival_ms for r in records]


def test_reading_stops_at_the_given_end(tenant: Settings) -> None:
    send(tenant, *["same"] * 10)
    partition = partition_of(b"same")

    def offsets(start: int, end: int) -> list[int]:
        return [r.offset for r in read_partitions(tenant, "shop.clicks", {partition: start}, {partition: end})]

    assert offsets(3, 7) == [3, 4, 5, 6]
    assert offsets(0, 0) == []
    assert offsets(9, 10) == [9]
    assert offsets(8, 99) == [8, 9], "an end beyond the log is where the log ends"


def test_what_arrives_after_the_call_is_not_read(tenant: Settings) -> None:
    send(tenant, "before")
    reading = read_partitions(tenant, "shop.clicks", end=end_offsets(tenant, "shop.clicks"))
    send(tenant, "after")
    assert [r.key for r in reading] == [b"before"]


@pytest.fixture
def transactions(tenant: Settings) -> Transactions:
    return Transactions(tenant, "shop.clicks", partition=2)


def test_control_records_leave_gaps_that_end_no_read(tenant: Settings, transactions: Transactions) -> None:
    transactions.commit(b"kept")
    transactions.abort(b"aborted")
    transactions.commit(b"last")
    assert [r.value for r in read_partitions(tenant, "shop.clicks")] == [b"kept", b"last"]
    assert end_offsets(tenant, "shop.clicks")[2] == 5, "the offset after the last record, at 4"


def test_a_partition_ends_after_its_last_record_that_can_be_read(tenant: Settings, transactions: Transactions) -> None:
    transactions.commit(b"kept")
    assert end_offsets(tenant, "shop.clicks") == dict.fromkeys(range(PARTITIONS), 0) | {2: 1}
    transactions.abort(*(b"aborted" for _ in range(200)))
    assert end_offsets(tenant, "shop.clicks")[2] == 1
    assert [r.value for r in read_partitions(tenant, "shop.clicks")] == [b"kept"]


def test_a_partition_of_aborted_records_alone_ends_where_it_begins(
    tenant: Settings, transactions: Transactions
) -> None:
    transactions.abort(b"aborted")
    assert offset_range(tenant, "shop.clicks") == (dict.fromkeys(range(PARTITIONS), 0),) * 2


def test_a_partition_ends_before_a_transaction_that_is_open(tenant: Settings, transactions: Transactions) -> None:
    transactions.commit(b"before")
    with transactions.open(b"within"):
        with Sender(tenant) as sender:
            sender.send([("shop.clicks", b"eve", b"behind it")] * 10)
        read = [r.value for r in read_partitions(tenant, "shop.clicks") if r.partition == 2]
        assert (read, end_offsets(tenant, "shop.clicks")[2]) == ([b"before"], 1)
    read = [r.value for r in read_partitions(tenant, "shop.clicks") if r.partition == 2]
    assert read == [b"before", b"within", *[b"behind it"] * 10]
    assert end_offsets(tenant, "shop.clicks")[2] == 13


def test_offsets_removed_by_retention_are_an_error(tenant: Settings) -> None:
    send(tenant, *["same"] * 10)
    partition = partition_of(b"same")
    remove_records(tenant, "shop.clicks", {partition: 4})
    assert offset_range(tenant, "shop.clicks")[0][partition] == 4
    assert [r.offset for r in read_partitions(tenant, "shop.clicks")] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(ReadError, match="offset 2 was removed by retention, first is 4"):
        list(read_partitions(tenant, "shop.clicks", {partition: 2}, {partition: 10}))


def test_records_name_the_topic_without_namespace(tenant: Settings) -> None:
    send(tenant, "k")
    (record,) = read_partitions(tenant, "shop.clicks")
    assert record == Record("shop.clicks", partition_of(b"k"), 0, record.arrival_ms, b"k", b"value of k")


def test_a_broker_that_is_down_is_named_with_the_command_that_starts_it(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"kafka_port": free_port_base()})
    with pytest.raises(ServiceDownError, match=r"kafka does not answer .* lakehouse up kafka"), Sender(elsewhere):
        pass
