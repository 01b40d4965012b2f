package io.kappalakehouse.flink.live;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ProductWindowOperatorTest {

  private static final long START = 1_709_280_000_000L;
  private static final long HASH = (1L << 60) - 1;

  /** Cents of a purchase that an earlier rule of validity let in. */
  private static final long HUGE = 9_000_000_000_000_000_000L;

  private KeyedOneInputStreamOperatorTestHarness<Tuple2<String, Long>, ProductChange, ProductWindow> harness;

  @BeforeEach
  void open() throws Exception {
    harness = harness(null, 0);
  }

  @AfterEach
  void close() throws Exception {
    harness.close();
  }

  @Test
  void aWindowIsEmittedOnceForAllThatCameMeanwhile() throws Exception {
    send(LiveEvent.IMPRESSION, 10, 1);
    send(LiveEvent.CLICK, 3, 1);
    send(LiveEvent.PURCHASE, 2, 1);
    flush();

    List<ProductWindow> windows = harness.extractOutputValues();
    assertEquals(1, windows.size());
    ProductWindow window = windows.get(0);
    assertEquals(START + 300_000, window.windowEnd);
    assertEquals(10, window.impressions);
    assertEquals(3, window.clicks);
    assertEquals(2, window.conversions);
    assertEquals(2 * 250, window.revenueCents);
    assertEquals(15, window.events);
    assertEquals(15, window.seq);
    assertEquals(BigInteger.valueOf(HASH).multiply(BigInteger.valueOf(15)).toString(), window.fingerprint);
  }

  @Test
  void whatIsTakenBackLeavesNoTraceButTheSequence() throws Exception {
    send(LiveEvent.PURCHASE, 1, 1);
    send(LiveEvent.PURCHASE, 1, -1);
    flush();

    ProductWindow window = harness.extractOutputValues().get(0);
    assertEquals(0, window.events);
    assertEquals(0, window.revenueCents);
    assertEquals("0", window.fingerprint);
    assertEquals(2, window.seq);
  }

  @Test
  void aSumThatFitsNo64BitsIsNullAndAllElseIsRight() throws Exception {
    purchase("gold", HUGE, 1);
    purchase("gold", HUGE, 1);
    purchase("mug", 250, 1);
    flush();

    List<ProductWindow> windows = harness.extractOutputValues();
    assertEquals(2, windows.size());
    ProductWindow gold = windows.get(0);
    assertNull(gold.revenueCents);
    assertEquals(2, gold.conversions);
    assertEquals(2, gold.events);
    assertEquals(BigInteger.valueOf(HASH).multiply(BigInteger.TWO).toString(), gold.fingerprint);
    assertEquals(250, windows.get(1).revenueCents);
  }

  @Test
  void aSumIsThereAgainOnceItFitsAlsoAfterARestore() throws Exception {
    for (int i = 0; i < 5; i++) {
      purchase("gold", HUGE, 1);
    }
    harness.prepareSnapshotPreBarrier(1);
    OperatorSubtaskState snapshot = harness.snapshot(1, 0);
    assertNull(harness.extractOutputValues().get(0).revenueCents);
    harness.close();

    harness = harness(snapshot, 1);
    for (int i = 0; i < 4; i++) {
      purchase("gold", HUGE, -1);
    }
    flush();
    assertEquals(HUGE, harness.extractOutputValues().get(0).revenueCents);
  }

  @Test
  void whatIsSentAfterARestoreIsNewerThoughFewerChangesLeadToIt() throws Exception {
    harness.prepareSnapshotPreBarrier(7);
    OperatorSubtaskState snapshot = harness.snapshot(7, 0);
    purchase("gold", 1, 1);
    purchase("gold", 1, -1);
    purchase("gold", 2, 1);
    flush();
    long before = harness.extractOutputValues().get(0).seq;
    harness.close();

    // The copy that counts comes first now, and another event after it.
    harness = harness(snapshot, 7);
    purchase("gold", 2, 1);
    purchase("gold", 3, 1);
    flush();
    ProductWindow window = harness.extractOutputValues().get(0);
    assertEquals(5, window.revenueCents);
    assertTrue(window.seq > before);
    assertTrue(ProductWindow.of("gold", START, new WindowCounts(), 100_000_000L << 26).seq < 1L << 53);
  }

  @Test
  void theGreatestSumIsOneThatFits() throws Exception {
    purchase("gold", Long.MAX_VALUE, 1);
    flush();
    assertEquals(Long.MAX_VALUE, harness.extractOutputValues().get(0).revenueCents);

    purchase("gold", 1, 1);
    flush();
    assertNull(harness.extractOutputValues().get(1).revenueCents);
  }

  @Test
  void anAlertOpensAboveHalfAndIsWithdrawnAtHalf() throws Exception {
    send(LiveEvent.CLICK, 11, 1);
    send(LiveEvent.IMPRESSION, 19, 1);
    checkpoint(1);
    assertTrue(alerts().isEmpty()); // one impression short

    send(LiveEvent.IMPRESSION, 1, 1);
    send(LiveEvent.IMPRESSION, 1, 1);
    send(LiveEvent.IMPRESSION, 1, 1);
    checkpoint(2);

    assertEquals(List.of("opened 31", "withdrawn 33"), alerts());
  }

  @Test
  void anAlertLeavesOnceItsCheckpointIsComplete() throws Exception {
    anomaly();
    flush();
    harness.prepareSnapshotPreBarrier(1);
    harness.snapshot(1, 0);
    assertTrue(alerts().isEmpty());

    harness.notifyOfCompletedCheckpoint(1);
    assertEquals(List.of("opened 41"), alerts());

    checkpoint(2);
    assertEquals(1, alerts().size());
  }

  @Test
  void anAlertWaitsForALaterCheckpointWhenItsOwnFails() throws Exception {
    anomaly();
    harness.prepareSnapshotPreBarrier(1);
    harness.snapshot(1, 0);
    checkpoint(2);

    assertEquals(List.of("opened 41"), alerts());
  }

  @Test
  void aRestoreDeliversWhatItsCheckpointHeldAndNothingSaidAfterIt() throws Exception {
    anomaly();
    harness.prepareSnapshotPreBarrier(1);
    OperatorSubtaskState snapshot = harness.snapshot(1, 0);
    send(LiveEvent.IMPRESSION, 40, 1); // would withdraw, but no checkpoint holds it
    harness.close();

    harness = harness(snapshot, 1);
    flush();
    assertEquals(List.of("opened 41"), alerts());

    send(LiveEvent.CLICK, 1, 1); // stays open, no second alert
    checkpoint(2);
    assertEquals(1, alerts().size());
  }

  private void anomaly() throws Exception {
    send(LiveEvent.CLICK, 21, 1);
    send(LiveEvent.IMPRESSION, 20, 1);
  }

  private void checkpoint(long id) throws Exception {
    harness.prepareSnapshotPreBarrier(id);
    harness.snapshot(id, 0);
    harness.notifyOfCompletedCheckpoint(id);
  }

  private void flush() throws Exception {
    harness.setProcessingTime(harness.getProcessingTime() + 1000);
  }

  private void send(int kind, int times, int sign) throws Exception {
    for (int i = 0; i < times; i++) {
      change("mug", kind, 250, sign);
    }
  }

  private void purchase(String productId, long cents, int sign) throws Exception {
    change(productId, LiveEvent.PURCHASE, cents, sign);
  }

  private void change(String productId, int kind, long cents, int sign) throws Exception {
    ProductChange change = new ProductChange();
    change.productId = productId;
    change.windowStart = START;
    change.sign = sign;
    change.kind = kind;
    change.amountCents = cents;
    change.recordHash = HASH;
    harness.processElement(new StreamRecord<>(change));
  }

  private List<String> alerts() {
    var output = harness.getSideOutput(ProductWindowOperator.ALERTS);
    return output == null
        ? List.of()
        : output.stream().map(r -> r.getValue().state + " " + r.getValue().events).toList();
  }

  private static KeyedOneInputStreamOperatorTestHarness<Tuple2<String, Long>, ProductChange, ProductWindow> harness(
      OperatorSubtaskState snapshot, long checkpoint) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<Tuple2<String, Long>, ProductChange, ProductWindow> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new ProductWindowOperator(),
            change -> Tuple2.of(change.productId, change.windowStart),
            Types.TUPLE(Types.STRING, Types.LONG));
    harness.setup(Types.POJO(ProductWindow.class).createSerializer(harness.getExecutionConfig().getSerializerConfig()));
    if (snapshot != null) {
      harness.setRestoredCheckpointId(checkpoint);
      harness.initializeState(snapshot);
    }
    harness.open();
    return harness;
  }
}
