package io.kappalakehouse.flink.fraud;

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.runtime.state.StateBackendLoader;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;

/**
 * What a transaction costs of whose user so many are held, on RocksDB: {@code python -m benchmarks.fraud_state}.
 *
 * <p>Those held are put into the state that versions before {@link HeldTransactions} used, which this one moves with
 * the first transaction. So it can be compiled against either, and neither has to take 200,000 first.
 */
final class FraudStateBenchmark {

  private static final long HOUR = 3_600_000;
  private static final long NOW = 1_709_280_000_000L;

  private FraudStateBenchmark() {}

  /** Prints a line of JSON for each pair of arguments: how many are held, how many are timed. */
  public static void main(String[] arguments) throws Exception {
    for (int i = 0; i < arguments.length; i += 2) {
      measure(Integer.parseInt(arguments[i]), Integer.parseInt(arguments[i + 1]));
    }
  }

  private static void measure(int held, int timed) throws Exception {
    FraudOperator operator = new FraudOperator(Duration.ofHours(24), Duration.ofDays(7));
    try (var harness =
        new KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision>(
            operator, transaction -> transaction.userId, Types.STRING)) {
      Configuration rocksDb = new Configuration();
      rocksDb.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
      // What a slot of the local TaskManager has; without it, next to nothing is cached.
      rocksDb.setString("state.backend.rocksdb.memory.fixed-per-slot", "60 mb");
      harness.setStateBackend(
          StateBackendLoader.loadStateBackendFromConfig(
              rocksDb, FraudStateBenchmark.class.getClassLoader(), null));
      harness.setup(
          Types.POJO(Decision.class).createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      harness.open();

      RecentTransactions recent = new RecentTransactions();
      recent.times = new long[held];
      recent.ids = new String[held];
      for (int i = 0; i < held; i++) {
        recent.times[i] = NOW - 3 * HOUR + (i + 1) * 3 * HOUR / (held + 1);
        recent.ids[i] = "payment-%09d".formatted(i);
      }
      operator.setCurrentKey("bot");
      recentOf(operator).update(recent);

      Random random = new Random(held);
      double first = send(harness, NOW, 0);
      int warmUp = timed / 3;
      double[] micros = new double[timed];
      long cpu = 0;
      for (int i = 0; i < warmUp + timed; i++) {
        // As many per second as before, and one in ten up to 3 h late.
        long time = NOW + i * 3 * HOUR / (held + 1);
        double took = send(harness, random.nextInt(10) == 0 ? time - random.nextLong(3 * HOUR) : time, i + 1);
        if (i >= warmUp) {
          micros[i - warmUp] = took;
        }
        if (i == warmUp - 1) {
          cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        }
      }
      cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - cpu;
      Arrays.sort(micros);
      System.out.printf(
          "{\"held\": %d, \"timed\": %d, \"cpu_us\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"first_ms\": %.1f}%n",
          held,
          timed,
          cpu / 1e3 / timed,
          micros[timed / 2],
          micros[timed * 99 / 100],
          first / 1000);
    }
  }

  @SuppressWarnings("unchecked")
  private static ValueState<RecentTransactions> recentOf(FraudOperator operator) throws Exception {
    var field = FraudOperator.class.getDeclaredField("recent");
    field.setAccessible(true);
    return (ValueState<RecentTransactions>) field.get(operator);
  }

  private static double send(
      KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision> harness, long time, int number)
      throws Exception {
    Transaction transaction = new Transaction();
    transaction.userId = "bot";
    transaction.eventId = "timed-%09d".formatted(number);
    transaction.eventTime = time;
    long began = System.nanoTime();
    harness.processElement(new StreamRecord<>(transaction));
    double micros = (System.nanoTime() - began) / 1e3;
    harness.getOutput().clear();
    return micros;
  }
}
