package io.kappalakehouse.flink.live;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class UserOperatorTest {

  private static final long MINUTE = 60_000;
  private static final long MORNING = 1_709_280_000_000L;

  private KeyedOneInputStreamOperatorTestHarness<String, LiveEvent, ProductChange> harness;
  private long nextOffset;

  @BeforeEach
  void open() throws Exception {
    harness = harness(null);
  }

  @AfterEach
  void close() throws Exception {
    harness.close();
  }

  @Test
  void eventsOutToTheGapMakeOneSession() throws Exception {
    send(click("a", 0), click("b", 30 * MINUTE - 1));

    CurrentSession session = flushed();
    assertEquals(MORNING, session.sessionStart);
    assertEquals(MORNING + 30 * MINUTE - 1, session.sessionEnd);
    assertEquals(2, session.events);
    assertEquals(2, session.seq);
  }

  @Test
  void anEventAtTheExactGapBeginsASession() throws Exception {
    send(click("a", 0), click("b", 30 * MINUTE));

    CurrentSession session = flushed();
    assertEquals(MORNING + 30 * MINUTE, session.sessionStart);
    assertEquals(1, session.events);
    assertEquals(2, session.seq);
  }

  @Test
  void aLateEventExtendsTheCurrentSessionToTheFront() throws Exception {
    send(click("a", 60 * MINUTE), click("b", 31 * MINUTE));

    assertEquals(MORNING + 31 * MINUTE, flushed().sessionStart);
  }

  @Test
  void aLateEventJoinsTheSessionsOnBothSides() throws Exception {
    send(click("a", 0), click("b", 50 * MINUTE), click("c", 25 * MINUTE));

    CurrentSession session = flushed();
    assertEquals(MORNING, session.sessionStart);
    assertEquals(MORNING + 50 * MINUTE, session.sessionEnd);
    assertEquals(3, session.events);
  }

  @Test
  void lateEventsJoinEarlierSessionsThatAreJoinedToTheCurrentOneLater() throws Exception {
    send(click("a", 0), click("b", 40 * MINUTE), click("c", 120 * MINUTE));
    send(click("d", 20 * MINUTE)); // joins the two earlier ones
    assertEquals(1, flushed().events);

    send(click("e", 65 * MINUTE), click("f", 91 * MINUTE)); // reach on to the current one

    CurrentSession session = flushed();
    assertEquals(MORNING, session.sessionStart);
    assertEquals(6, session.events);
  }

  @Test
  void anySequenceOfArrivalGivesTheSameSession() throws Exception {
    long seed = System.nanoTime();
    Random random = new Random(seed);
    List<LiveEvent> events = new ArrayList<>();
    for (int i = 0; i < 60; i++) {
      events.add(click("e" + i, random.nextInt(40) * 10 * MINUTE));
    }
    CurrentSession expected = null;
    for (int round = 0; round < 20; round++) {
      close();
      open();
      Collections.shuffle(events, random);
      for (LiveEvent event : events) {
        send(event);
        if (random.nextInt(10) == 0) {
          flushed();
        }
      }
      send(purchase("p" + round, 0, "mug", 1)); // touches no session
      CurrentSession session = latest();
      expected = expected == null ? session : expected;
      String message = "seed " + seed;
      assertEquals(expected.sessionStart, session.sessionStart, message);
      assertEquals(expected.sessionEnd, session.sessionEnd, message);
      assertEquals(expected.events, session.events, message);
      assertEquals(expected.fingerprint, session.fingerprint, message);
      assertEquals(60, session.seq, message);
    }
  }

  @Test
  void aCopyCountsOnceAndEmitsNothing() throws Exception {
    send(click("a", 0));
    flushed();
    int changes = changes().size();

    send(click("a", 0));

    assertNull(flushed());
    assertEquals(changes, changes().size());
  }

  @Test
  void theSameIdAtAnotherTimeOrInAnotherTopicIsAnotherEvent() throws Exception {
    send(click("a", 0), click("a", 1), purchase("a", 0, "mug", 500));

    assertEquals(2, flushed().events);
    assertEquals(3, changes().size());
  }

  @Test
  void aCopyInALowerPartitionTakesBackTheHigherOne() throws Exception {
    LiveEvent higher = click("a", 0);
    higher.partition = 4;
    LiveEvent lower = click("a", 0);
    lower.partition = 1;
    lower.productId = "lamp";
    lower.kind = LiveEvent.IMPRESSION;
    send(higher, lower);

    CurrentSession session = flushed();
    assertEquals(1, session.impressions);
    assertEquals(0, session.clicks);
    assertEquals(Long.toString(lower.recordHash), session.fingerprint);
    List<ProductChange> changes = changes();
    assertEquals(List.of(1, -1, 1), changes.stream().map(c -> c.sign).toList());
    assertEquals(List.of("mug", "mug", "lamp"), changes.stream().map(c -> c.productId).toList());
  }

  @Test
  void aClickWithoutAProductIsInTheSessionAlone() throws Exception {
    LiveEvent event = click("a", 0);
    event.productId = null;
    send(event);

    assertEquals(1, flushed().events);
    assertTrue(changes().isEmpty());
  }

  @Test
  void manyEventsOrHoursMakeASessionAnomalous() throws Exception {
    for (int i = 0; i <= 16; i++) {
      send(click("e" + i, i * 15 * MINUTE));
    }
    assertFalse(flushed().anomalous); // four hours exactly
    send(click("last", 4 * 60 * MINUTE + 1));
    assertTrue(flushed().anomalous);
  }

  @Test
  void aCheckpointHoldsAllAndARestoreGoesOnFromIt() throws Exception {
    send(click("a", 0), click("b", 50 * MINUTE));
    harness.prepareSnapshotPreBarrier(1);
    assertEquals(1, latest().events); // emitted before the barrier, without waiting for the timer
    OperatorSubtaskState snapshot = harness.snapshot(1, 0);
    harness.close();
    harness = harness(snapshot);

    send(click("a", 0), click("c", 25 * MINUTE));

    CurrentSession session = flushed();
    assertEquals(3, session.events);
    assertEquals(3, session.seq);
    assertEquals(1, changes().size());
  }

  private static KeyedOneInputStreamOperatorTestHarness<String, LiveEvent, ProductChange> harness(
      OperatorSubtaskState snapshot) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<String, LiveEvent, ProductChange> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(new UserOperator(), event -> event.userId, Types.STRING);
    harness.setup(Types.POJO(ProductChange.class).createSerializer(harness.getExecutionConfig().getSerializerConfig()));
    if (snapshot != null) {
      harness.initializeState(snapshot);
    }
    harness.open();
    return harness;
  }

  private LiveEvent click(String id, long after) {
    LiveEvent event = new LiveEvent();
    event.userId = "ana";
    event.eventId = id;
    event.eventTime = MORNING + after;
    event.productId = "mug";
    event.kind = LiveEvent.CLICK;
    event.offset = nextOffset++;
    event.recordHash = (1L << 59) + event.offset;
    return event;
  }

  private LiveEvent purchase(String id, long after, String product, long amount) {
    LiveEvent event = click(id, after);
    event.kind = LiveEvent.PURCHASE;
    event.productId = product;
    event.amountCents = amount;
    return event;
  }

  private void send(LiveEvent... events) throws Exception {
    for (LiveEvent event : events) {
      harness.processElement(new StreamRecord<>(event));
    }
  }

  /** The session that the next flush emits; null if it emits none. */
  private CurrentSession flushed() throws Exception {
    int before = sessions().size();
    harness.setProcessingTime(harness.getProcessingTime() + 1000);
    List<CurrentSession> sessions = sessions();
    return sessions.size() == before ? null : sessions.get(sessions.size() - 1);
  }

  private CurrentSession latest() throws Exception {
    flushed();
    List<CurrentSession> sessions = sessions();
    return sessions.get(sessions.size() - 1);
  }

  private List<CurrentSession> sessions() {
    var output = harness.getSideOutput(UserOperator.SESSIONS);
    return output == null ? List.of() : output.stream().map(StreamRecord::getValue).toList();
  }

  private List<ProductChange> changes() {
    return harness.extractOutputValues();
  }
}
