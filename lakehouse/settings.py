"""Every setting of the installation, read from the environment, `.env` and the generated credentials.

Names carry the prefix ``LAKEHOUSE_`` in the environment (``LAKEHOUSE_KAFKA_PORT``). Ports that are not
set are `port_base` plus a fixed distance, so that a second installation needs one setting only.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.contracts.core import HOME
from lakehouse.contracts.core import ROOT as ROOT

PORT_DISTANCES: Final = {
    "minio_port": 0,
    "minio_console_port": 1,
    "minio_proxy_port": 2,
    "postgres_port": 32,
    "redis_port": 79,
    "airflow_port": 80,
    "flink_port": 81,
    "flink_rpc_port": 82,
    "flink_blob_port": 83,
    "flink_taskmanager_rpc_port": 84,
    "flink_taskmanager_data_port": 85,
    "airflow_scheduler_health_port": 86,
    "spark_ui_port": 87,
    "spark_master_port": 88,
    "spark_master_ui_port": 89,
    "kafka_port": 92,
    "kafka_controller_port": 93,
    "kafka_proxy_port": 94,
    "kafka_proxied_port": 95,
    "toxiproxy_port": 96,
}
"""Distance of each port from `Settings.port_base`."""


class Settings(BaseSettings):
    """Settings of one installation; immutable.

    Credentials have no defaults: ``lakehouse up`` generates them into `credentials_file` (mode 0600).
    """

    model_config = SettingsConfigDict(env_prefix="LAKEHOUSE_", extra="ignore", frozen=True)

    namespace: str = Field("", pattern=r"^([a-z][a-z0-9_]{0,30})?$")
    """Prefix of topics, table paths, Redis keys and application ids; empty for the main tenant."""

    home: Path = HOME
    """Data, logs, run files and credentials of this installation."""
    cache: Path = HOME / "cache"
    """Downloads and builds; may be shared by several installations."""

    host: str = "127.0.0.1"
    """Where everything finds everything else."""
    bind_host: str = "127.0.0.1"
    """Where the pages that people open listen; 0.0.0.0 only in a container, whose ports are published to 127.0.0.1."""
    port_base: int = Field(29000, ge=1024, le=65000)
    minio_port: int
    minio_console_port: int
    postgres_port: int
    redis_port: int
    airflow_port: int
    flink_port: int
    flink_rpc_port: int
    flink_blob_port: int
    flink_taskmanager_rpc_port: int
    flink_taskmanager_data_port: int
    airflow_scheduler_health_port: int
    spark_ui_port: int
    spark_master_port: int
    spark_master_ui_port: int
    kafka_port: int
    kafka_controller_port: int

    fault_proxy: bool = False
    """Let the jobs reach Kafka and MinIO through Toxiproxy, which breaks their connections: for `lakehouse faults`."""
    toxiproxy_port: int
    kafka_proxy_port: int
    """Where the jobs find Kafka then, and what Kafka tells them; it listens for the proxy at `kafka_proxied_port`."""
    kafka_proxied_port: int
    minio_proxy_port: int

    bucket: str = "lakehouse"
    installation: str = ""
    """Names this installation to the bucket: generated with the credentials, the same on all of its machines."""
    minio_access_key: str = ""
    minio_secret_key: SecretStr = SecretStr("")
    postgres_user: str = "lakehouse"
    postgres_password: SecretStr = SecretStr("")
    postgres_database: str = "lakehouse"
    """Wanted states, catalogue and profiles; Airflow's metadata lie in `airflow_database` beside it."""
    airflow_database: str = "airflow"
    redis_password: SecretStr = SecretStr("")
    airflow_user: str = "admin"
    airflow_password: SecretStr = SecretStr("")
    airflow_secret: SecretStr = SecretStr("")
    airflow_fernet_key: SecretStr = SecretStr("")
    spark_secret: SecretStr = SecretStr("")
    """By which the processes of a cluster of Spark know each other."""

    slack_webhook_url: SecretStr = SecretStr("")
    pagerduty_webhook_url: SecretStr = SecretStr("")
    pagerduty_routing_key: SecretStr = SecretStr("")
    """Where the notifier posts; empty: it only logs."""

    kafka_heap: str = "512m"
    kafka_jvm_options: str = ""
    flink_jobmanager_memory: str = "1024m"
    flink_taskmanager_memory: str = "2048m"
    spark_driver_memory: str = "1536m"
    spark_state_memory: str = "512m"
    """Heap of `user_totals__spark_state`, whose state lies beside it, in RocksDB."""
    spark_jvm_options: str = "-XX:TieredStopAtLevel=1"
    """The quick compiler alone: on two cores the optimising one costs a driver's first minutes more than it gains.
    Empty where a driver is to run at full load for hours."""
    spark_codegen: bool = True
    """Whether Spark compiles its plans; for batches of some thousand rows interpreting them costs a quarter less."""
    replay_unattended_rows: int = Field(default=0, ge=0)
    """A replay that affects at most so many rows needs nobody's approval in Airflow."""
    replay_parallelism: int = Field(default=1, ge=1)
    """Cores that a replay's recomputation takes at most; the live streams have the others for themselves."""
    flink_jvm_options: str = ""
    """Of the TaskManager."""
    flink_checkpoint_seconds: int = Field(10, ge=1)
    """Seconds between checkpoints of Flink's jobs: alerts leave with them, and a restart repeats as much."""
    cut_seconds: float = Field(15, gt=0)
    """Seconds between two cuts of the follower's tables at least, for which *drained*, replays and others wait."""
    fraud_idle_hours: int = Field(24, ge=1)
    """TTL of the transactions that Flink holds of a user who stays away, where no timer comes to clean them."""
    fraud_remember_hours: int = Field(7 * 24, ge=2)
    """TTL of what tells a transaction's copies; longer than `fraud_idle_hours`."""
    overview_seconds: float = Field(2, gt=0)
    """How long ``status.json`` of the page Lakehouse waits for new answers; the page itself waits for none."""
    parallelism: int = 2
    follower: Literal["datafusion", "spark"] = "datafusion"
    """What runs the follower's SQL: its own process, or, where a step reads many rows, the executors of Spark."""
    spark_master: str = Field("", pattern=r"^($|local\[|spark://|k8s://|yarn$)")
    """The cluster of a follower that runs on Spark; empty: the installation's own, or no other process than its own."""
    spark_rows: int = Field(100_000, ge=0)
    """Rows that a follower's step reads from which on it is the executors': planning and scheduling it takes Spark as
    much for few."""
    spark_workers: int = Field(0, ge=0)
    """Workers, of one core each, of a standalone cluster that `lakehouse up` starts beside the other services."""
    spark_executor_memory: str = Field("1024m", pattern=r"^\d+m$")
    """Of an executor's heap, and of the worker that it runs on."""
    spark_trigger_seconds: int = 60
    """Seconds between the starts of two micro-batches while live."""
    spark_max_offsets_per_trigger: int = 250_000

    @model_validator(mode="before")
    @classmethod
    def _ports_from_base(cls, values: Any) -> Any:
        base = int(values.get("port_base", 29000))
        return {name: base + distance for name, distance in PORT_DISTANCES.items()} | values

    @property
    def credentials_file(self) -> Path:
        return self.home / "credentials.env"

    @property
    def kafka_bootstrap(self) -> str:
        return f"{self.host}:{self.kafka_port}"

    @property
    def s3_endpoint(self) -> str:
        return f"http://{self.host}:{self.minio_port}"

    @property
    def for_jobs(self) -> "Settings":
        """The settings that jobs run with: where there is a fault proxy, they know nothing of what lies behind it."""
        if not self.fault_proxy:
            return self
        return self.model_copy(update={"kafka_port": self.kafka_proxy_port, "minio_port": self.minio_proxy_port})

    @property
    def postgres_dsn(self) -> str:
        """libpq URI of the lakehouse database, with the password: for drivers, never for logs."""
        return (
            f"postgresql://{self.postgres_user}:{self.postgres_password.get_secret_value()}"
            f"@{self.host}:{self.postgres_port}/{self.postgres_database}"
        )

    def prefixed(self, name: str, separator: str = ".") -> str:
        """`name` within this namespace: a topic, a consumer group, an application id, a Redis key."""
        return f"{self.namespace}{separator}{name}" if self.namespace else name

    def unprefixed(self, name: str) -> str:
        """`name` without this namespace: undoes `prefixed`."""
        return name.removeprefix(self.prefixed(""))

    def table_path(self, table: str, scheme: str = "s3") -> str:
        """Where the Delta table ``layer.name`` lies; `scheme` is ``s3a`` for Spark and Flink."""
        layer, name = table.split(".")
        prefix = f"{self.namespace}/" if self.namespace else ""
        return f"{scheme}://{self.bucket}/{prefix}{layer}/{name}"

    def checkpoint_path(self, job: str, scheme: str = "s3a") -> str:
        """Where the engine of `job` keeps its checkpoints; each job has its own directory."""
        prefix = f"{self.namespace}/" if self.namespace else ""
        return f"{scheme}://{self.bucket}/{prefix}_checkpoints/{job}"

    def delta_storage_options(self) -> dict[str, str]:
        """delta-rs, Polars and DataFusion's object store options; commits by conditional put."""
        return {
            "AWS_ENDPOINT_URL": self.s3_endpoint,
            "AWS_ACCESS_KEY_ID": self.minio_access_key,
            "AWS_SECRET_ACCESS_KEY": self.minio_secret_key.get_secret_value(),
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "aws_conditional_put": "etag",
        }

    def s3a_options(self) -> dict[str, str]:
        """Hadoop's options for ``s3a`` in Spark and Flink; without credentials, which come from the environment."""
        return {
            "fs.s3a.endpoint": self.s3_endpoint,
            "fs.s3a.endpoint.region": "us-east-1",
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": "false",
            "fs.s3a.fast.upload.buffer": "bytebuffer",
            "fs.s3a.bucket.probe": "0",
            "fs.s3a.change.detection.mode": "none",
            "fs.s3a.connection.maximum": "64",
        }

    def s3_credentials(self) -> dict[str, str]:
        """The variables in which the engines look for MinIO's key."""
        return {
            "AWS_ACCESS_KEY_ID": self.minio_access_key,
            "AWS_SECRET_ACCESS_KEY": self.minio_secret_key.get_secret_value(),
        }


@lru_cache
def load_settings() -> Settings:
    """The settings of this process: environment first, then ``.env``, then generated credentials."""
    located = Settings(_env_file=ROOT / ".env")  # type: ignore[call-arg]
    return Settings(_env_file=(located.credentials_file, ROOT / ".env"))  # type: ignore[call-arg]
