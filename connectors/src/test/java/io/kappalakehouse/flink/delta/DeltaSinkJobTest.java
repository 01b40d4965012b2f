package io.kappalakehouse.flink.delta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Whole jobs in SQL on Flink's local cluster. */
@Timeout(60)
class DeltaSinkJobTest {
  private static final long ROWS = 400;

  @TempDir Path home;

  @Test
  void aBoundedJobWritesEachRowOnceAndOneCommitPerCheckpoint() throws Exception {
    run(new Configuration(), 2, 200).getJobExecutionResult().get(50, TimeUnit.SECONDS);
    assertAllOnce();
    Set<Long> checkpoints = new HashSet<>();
    for (JsonNode txn : table().actions("txn")) {
      assertTrue(checkpoints.add(txn.get("version").asLong()));
    }
    assertTrue(checkpoints.size() > 1, "commits: " + checkpoints);
    assertEquals(checkpoints.size(), table().snapshot().getVersion());
  }

  @Test
  void aJobRestoredFromASavepointWithAnotherParallelismWritesEachRowOnce() throws Exception {
    JobClient first = run(new Configuration(), 2, 50);
    while (!new java.io.File(home.toFile(), "table/_delta_log/00000000000000000002.json").exists()) {
      assertTrue(!first.getJobStatus().get().isGloballyTerminalState(), "the job ended early");
      Thread.onSpinWait();
    }
    String savepoint =
        first.stopWithSavepoint(false, home.resolve("savepoints").toString(), SavepointFormatType.CANONICAL).get();
    long written = table().longs("id").size();
    assertTrue(written < ROWS, "written: " + written);

    Configuration restored = new Configuration();
    restored.set(StateRecoveryOptions.SAVEPOINT_PATH, savepoint);
    JobClient second = run(restored, 3, 1000);
    assertTrue(!second.getJobID().equals(first.getJobID()));
    second.getJobExecutionResult().get(50, TimeUnit.SECONDS);
    assertAllOnce();
    Set<String> ids = new HashSet<>();
    table().actions("txn").forEach(txn -> ids.add(txn.get("appId").asText()));
    assertEquals(1, ids.size());
  }

  @Test
  void aBatchJobWithoutCheckpointsCommitsAtItsEnd() throws Exception {
    Configuration configuration = new Configuration();
    configuration.set(ExecutionOptions.RUNTIME_MODE, RuntimeExecutionMode.BATCH);
    run(configuration, 2, 1e6).getJobExecutionResult().get(50, TimeUnit.SECONDS);
    assertAllOnce();
    assertEquals(1, table().snapshot().getVersion());
  }

  /** Numbers from 0, each with its parity as region, into the table. */
  private JobClient run(Configuration configuration, int parallelism, double rowsPerSecond) {
    if (!configuration.contains(CheckpointingOptions.CHECKPOINTING_INTERVAL)) {
      configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofMillis(300));
    }
    StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
    environment.setParallelism(parallelism);
    var numbers =
        new DataGeneratorSource<Long>(i -> i, ROWS, RateLimiterStrategy.perSecond(rowsPerSecond), Types.LONG);
    StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
    tables.createTemporaryView(
        "numbers", environment.fromSource(numbers, WatermarkStrategy.noWatermarks(), "numbers").uid("numbers"));
    tables.executeSql(
        "CREATE TEMPORARY TABLE target (id BIGINT NOT NULL, region STRING) WITH ("
            + "'connector' = 'delta', 'table_path' = '" + home.resolve("table") + "', 'partitions' = 'region',"
            + " 'uid' = 'target', 'file_rolling.strategy' = 'count', 'file_rolling.count' = '40')");
    return tables
        .executeSql("INSERT INTO target SELECT f0, CASE WHEN MOD(f0, 2) = 0 THEN 'even' ELSE 'odd' END FROM numbers")
        .getJobClient()
        .orElseThrow();
  }

  private void assertAllOnce() throws Exception {
    assertEquals(LongStream.range(0, ROWS).boxed().toList(), table().longs("id").stream().sorted().toList());
  }

  private StoredTable table() {
    return new StoredTable(home.resolve("table"));
  }
}
