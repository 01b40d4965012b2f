package io.kappalakehouse.flink.fraud;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.apache.flink.streaming.util.OperatorSnapshotUtil;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class FraudOperatorTest {

  private static final long MINUTE = 60_000;
  private static final long HOUR = 60 * MINUTE;
  private static final long MORNING = 1_709_280_000_000L;
  private static final Duration IDLE = Duration.ofHours(24);
  private static final Duration REMEMBER = Duration.ofDays(7);

  private KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision> harness;
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
  void theSixthWithinTenMinutesIsFlagged() throws Exception {
    for (int i = 0; i < 5; i++) {
      assertFalse(decide("t" + i, i * MINUTE).flagged);
    }
    Decision sixth = decide("t5", 10 * MINUTE - 1);
    assertTrue(sixth.flagged);
    assertEquals(6, sixth.transactions10m);
  }

  @Test
  void aTransactionExactlyTenMinutesBackDoesNotCount() throws Exception {
    for (int i = 0; i < 5; i++) {
      decide("t" + i, i * MINUTE);
    }
    Decision sixth = decide("t5", 10 * MINUTE);
    assertFalse(sixth.flagged);
    assertEquals(5, sixth.transactions10m);
    assertEquals(6, sixth.transactions1h);
  }

  @Test
  void theEleventhWithinAnHourBlocks() throws Exception {
    for (int i = 0; i < 10; i++) {
      Decision decision = decide("t" + i, i * 6 * MINUTE);
      assertFalse(decision.blocked);
    }
    Decision eleventh = decide("last", HOUR - 1);
    assertEquals(eleventh.transaction.eventTime, eleventh.triggerTime);
    assertTrue(eleventh.blocked);
    assertFalse(eleventh.flagged);
    assertEquals(11, eleventh.transactions1h);
  }

  @Test
  void aTransactionExactlyAnHourBackIsNoReasonToBlock() throws Exception {
    for (int i = 0; i < 10; i++) {
      decide("t" + i, i * 6 * MINUTE);
    }
    assertFalse(decide("last", HOUR).blocked);
  }

  @Test
  void aBlockEndsAnHourAfterItsTrigger() throws Exception {
    burst(11, 0); // the eleventh, at 10 s, is the trigger

    Decision within = decide("within", HOUR + 9_999);
    assertTrue(within.blocked);
    assertEquals(MORNING + 10_000, within.triggerTime);
    assertFalse(decide("past", HOUR + 10_000).blocked);
  }

  @Test
  void blockedTransactionsCountAndProlongTheBlock() throws Exception {
    burst(21, 0);
    assertTrue(decide("later", HOUR + 19_999).blocked);
  }

  @Test
  void tiesAreOrderedByTheBytesOfTheirIds() throws Exception {
    for (int i = 0; i < 5; i++) {
      decide("a" + i, 0);
    }
    // U+FF5A sorts before U+1F600 in UTF-8, after it in UTF-16.
    assertTrue(decide("\uD83D\uDE00", 0).flagged);
    Decision between = decide("\uFF5A", 0);
    assertTrue(between.flagged);
    assertEquals(6, between.transactions10m); // the later one of its tie does not count
    assertEquals(1, decide("A", 0).transactions10m);
  }

  @Test
  void aLateTransactionIsDecidedInItsPlaceAndChangesNothingThatWasSaid() throws Exception {
    burst(5, 0);
    assertEquals(6, decide("before the late one", 9 * MINUTE).transactions10m);
    int said = decisions().size();

    Decision late = decide("late", MINUTE);

    assertEquals(6, late.transactions10m); // not the one at 9 min, which it precedes
    assertTrue(late.flagged);
    assertTrue(late.stateComplete);
    assertEquals(said + 1, decisions().size());
    assertEquals(8, decide("next", 9 * MINUTE + 1).transactions10m); // counts it
  }

  @Test
  void aLateTransactionMakesATriggerOfOneThatWasSaidToBeNone() throws Exception {
    burst(10, 0);
    assertTrue(decide("z", HOUR - 1).blocked);
    close();
    open();
    burst(9, 0);
    assertFalse(decide("z", 30 * MINUTE).blocked);
    decide("late", MINUTE); // with it, z is the eleventh

    assertTrue(decide("next", HOUR + 29 * MINUTE).blocked);
    assertFalse(decide("past", HOUR + 30 * MINUTE).blocked);
  }

  @Test
  void aTransactionOfAnotherUserDoesNotCount() throws Exception {
    burst(11, 0);
    Transaction other = transaction("x", MINUTE);
    other.userId = "eve";
    assertEquals(1, decide(other).transactions1h);
  }

  @Test
  void aCopyIsDecidedOnce() throws Exception {
    decide("a", 0);
    send(transaction("a", 0));
    assertEquals(1, decisions().size());

    decide("a", 1); // the same id at another time is another transaction
    assertEquals(2, decisions().size());
  }

  @Test
  void aCopyOfWhatWasForgottenIsStillKnown() throws Exception {
    decide("a", 0);
    harness.processWatermark(new Watermark(MORNING + 3 * HOUR));
    decide("b", 9 * HOUR);
    send(transaction("a", 0));
    assertEquals(2, decisions().size());
  }

  @Test
  void transactionsFarBehindTheNewestAreForgotten() throws Exception {
    burst(5, 0);
    decide("newest", 3 * HOUR + 4_999); // the five at 0 to 4 s lie 3 h and more behind

    Decision late = decide("late", MINUTE);
    assertEquals(1, late.transactions10m);
    assertFalse(late.stateComplete);
    assertTrue(decide("later", 2 * HOUR + 4_000).stateComplete); // looks at nothing before 4 s
    assertFalse(decide("sooner", 2 * HOUR + 3_999).stateComplete);
  }

  @Test
  void aTransactionAnHourLateIsDecidedOnAll() throws Exception {
    burst(11, 0);
    decide("newest", 3 * HOUR - 1);

    Decision late = decide("late", HOUR + 9_999);
    assertTrue(late.stateComplete);
    assertTrue(late.blocked);
  }

  @Test
  void aTimerForgetsAUserWhoStaysAway() throws Exception {
    burst(5, 0);
    harness.processWatermark(new Watermark(MORNING + 3 * HOUR + 3_999));
    assertEquals(3, harness.numKeyedStateEntries()); // his transactions, the newest time, the identities
    harness.processWatermark(new Watermark(MORNING + 3 * HOUR + 4_000));
    assertEquals(2, harness.numKeyedStateEntries());
    assertEquals(0, harness.numEventTimeTimers());
  }

  @Test
  void eachTransactionPutsTheTimerOff() throws Exception {
    burst(5, 0);
    decide("later", HOUR);
    assertEquals(1, harness.numEventTimeTimers());
    harness.processWatermark(new Watermark(MORNING + 4 * HOUR - 1));
    assertEquals(1, harness.numEventTimeTimers());
  }

  @Test
  void aLateTransactionAfterTheTimerIsDecidedByWhatIsLeftAndSaysSo() throws Exception {
    burst(5, 0);
    harness.processWatermark(new Watermark(MORNING + 4 * HOUR));

    Decision late = decide("late", MINUTE);
    assertFalse(late.flagged); // it was the sixth
    assertFalse(late.stateComplete);
    assertFalse(decide("also late", 2 * HOUR + 3_999).stateComplete);
    assertTrue(decide("in time", 2 * HOUR + 4_000).stateComplete);
  }

  @Test
  void whatComesLateTogetherIsDecidedTogether() throws Exception {
    harness.processWatermark(new Watermark(MORNING + 12 * HOUR));
    burst(5, 0);
    harness.processWatermark(new Watermark(MORNING + 13 * HOUR)); // the timer counts from when they came

    Decision sixth = decide("sixth", MINUTE);
    assertTrue(sixth.flagged);
    assertTrue(sixth.stateComplete);
    harness.processWatermark(new Watermark(MORNING + 16 * HOUR));
    assertFalse(decide("seventh", 2 * MINUTE).stateComplete);
  }

  @Test
  void whereNoWatermarkComesATimerForgetsAUserWhoStaysAway() throws Exception {
    burst(5, 0);
    clock(IDLE.toMillis() - 1);
    assertTrue(decide("sixth", MINUTE).flagged); // and puts the timer off
    clock(2 * IDLE.toMillis() - 2);
    assertEquals(3, harness.numKeyedStateEntries());
    clock(2 * IDLE.toMillis() - 1);
    assertEquals(2, harness.numKeyedStateEntries());
    assertEquals(0, harness.numProcessingTimeTimers());
    assertEquals(0, harness.numEventTimeTimers());

    Decision late = decide("late", 2 * MINUTE);
    assertFalse(late.flagged);
    assertFalse(late.stateComplete);
    assertEquals(2, decide("next", 3 * MINUTE).transactions10m);
  }

  @Test
  void aTransactionThatComesBeforeAnOverdueTimerFindsNothingEither() throws Exception {
    burst(5, 0);
    OperatorSubtaskState snapshot = harness.snapshot(1, 0);
    harness.close();
    harness = harness(snapshot, IDLE.toMillis()); // restored a day later
    assertFalse(decide("late", MINUTE).stateComplete);
    assertEquals(1, harness.numProcessingTimeTimers());
  }

  @Test
  void afterTheLongerTtlNothingIsKnownOfAUser() throws Exception {
    decide("a", 0);
    clock(REMEMBER.toMillis());
    assertTrue(decide("a", 0).stateComplete); // as new
    assertEquals(2, decisions().size());
  }

  @Test
  void manyAreDecidedAsFewAre() throws Exception {
    long seed = System.nanoTime();
    Random random = new Random(seed);
    List<Transaction> come = new ArrayList<>(); // in the rule's order
    long newest = 0;
    for (int i = 0; i < 2_500; i++) {
      // 3 h of a bot, of which a second holds many and an edge of a window some, after a pause 3 h more.
      newest += random.nextInt(4) == 0 ? random.nextInt(20_000) : 0;
      newest += i == 1_500 ? 4 * HOUR : 0;
      long back = random.nextInt(10) == 0 ? random.nextLong(2 * HOUR) : 0;
      back = random.nextInt(20) == 0 ? (random.nextBoolean() ? HOUR : 10 * MINUTE) : back;
      Transaction transaction = transaction("t" + random.nextInt(), (newest - back) / 500 * 500);
      Decision decision = decide(transaction);
      come.add(-Collections.binarySearch(come, transaction, ORDER) - 1, transaction);
      if (decision.stateComplete) {
        assertEquals(truthOfMany(transaction, come), all(decision), "seed " + seed + ", " + transaction.identity());
      }
    }
    assertTrue(harness.numKeyedStateEntries() > 3, "they fill more than one page");
    harness.processWatermark(new Watermark(MORNING + newest + 3 * HOUR));
    assertEquals(2, harness.numKeyedStateEntries(), "no page is left");
  }

  private record Counted(long in10m, long in1h, Said said) {}

  private static Counted all(Decision decision) {
    return new Counted(decision.transactions10m, decision.transactions1h, said(decision));
  }

  /** The rule as it is written, of one among many that are in order. */
  private static Counted truthOfMany(Transaction transaction, List<Transaction> ordered) {
    long time = transaction.eventTime;
    int at = Collections.binarySearch(ordered, transaction, ORDER);
    Long triggerTime = null;
    for (int i = 0; i <= at; i++) {
      long own = ordered.get(i).eventTime;
      if (own > time - HOUR && i >= 10 && ordered.get(i - 10).eventTime > own - HOUR) {
        triggerTime = own;
      }
    }
    List<Transaction> upTo = ordered.subList(0, at + 1);
    long in10m = within(upTo, time, 10 * MINUTE);
    return new Counted(in10m, within(upTo, time, HOUR), new Said(in10m >= 6, triggerTime != null, triggerTime));
  }

  /**
   * A snapshot of the version that kept a user's transactions in one value: ana's and eve's five within 4 s, and of a
   * bot 300, 10 s apart, after one 3 h before the first that was forgotten.
   */
  @Test
  void stateOfAnEarlierVersionIsGoneOnFrom() throws Exception {
    harness.close();
    var snapshot = FraudOperatorTest.class.getResource("/fraud/state-in-one-value.snapshot");
    harness = harness(OperatorSnapshotUtil.readStateHandle(Path.of(snapshot.toURI()).toString()));

    Transaction copy = transaction("b0", 0);
    send(copy);
    assertEquals(0, decisions().size());
    assertEquals(6, decide("sixth", MINUTE).transactions10m);

    Decision ofBot = decide(of("bot", transaction("late", 299 * 10_000)));
    assertEquals(60, ofBot.transactions10m);
    assertEquals(300 - 1 + 1, ofBot.transactions1h);
    assertTrue(ofBot.stateComplete);
    assertTrue(decide(of("bot", transaction("in reach", -HOUR))).stateComplete);
    assertFalse(decide(of("bot", transaction("out of reach", -HOUR - 1))).stateComplete);

    harness.processWatermark(new Watermark(MORNING + 3 * HOUR + 4_000)); // eve's timer
    Decision ofEve = decide(of("eve", transaction("late", MINUTE)));
    assertEquals(1, ofEve.transactions10m);
    assertFalse(ofEve.stateComplete);
    harness.processWatermark(new Watermark(MORNING + 12 * HOUR));
    assertEquals(0, harness.numEventTimeTimers());
  }

  @Test
  void aUserMustBeRememberedLongerThanHisTransactions() {
    assertThrows(IllegalArgumentException.class, () -> new FraudOperator(IDLE, IDLE));
  }

  @Test
  void aRestoreGoesOnFromTheSnapshot() throws Exception {
    burst(5, 0);
    OperatorSubtaskState snapshot = harness.snapshot(1, 0);
    decide("after the snapshot", MINUTE);
    harness.close();
    harness = harness(snapshot);

    send(transaction("b0", 0)); // a copy
    assertEquals(6, decide("after the snapshot", MINUTE).transactions10m);
    assertEquals(1, decisions().size());
    harness.processWatermark(new Watermark(MORNING + 4 * HOUR)); // the timer was restored too
    assertFalse(decide("late", 2 * MINUTE).stateComplete);
  }

  @Test
  void alertsLeaveOnceTheirCheckpointIsComplete() throws Exception {
    burst(12, 0);
    assertEquals(List.of(), alerts());
    checkpoint(1);
    assertEquals(List.of("b5", "b6", "b7", "b8", "b9", "b10", "b11"), alerts());

    OperatorSubtaskState snapshot = harness.snapshot(2, 0);
    decide("not in the snapshot", MINUTE);
    harness.close();
    harness = harness(snapshot);
    harness.setProcessingTime(1);
    assertEquals(List.of(), alerts()); // those of checkpoint 1 left before 2
    decide("blocked alone", 30 * MINUTE);
    checkpoint(3);
    assertEquals(List.of("blocked alone"), alerts());
  }

  @Test
  void inOrderEverythingIsDecidedAsItIsInTheEnd() throws Exception {
    long seed = System.nanoTime();
    Random random = new Random(seed);
    List<Transaction> all = someTransactions(random, 400, 40 * MINUTE, 12 * HOUR);
    all.sort(ORDER);
    for (Transaction transaction : all) {
      Decision decision = decide(transaction);
      assertTrue(decision.stateComplete, "seed " + seed);
      assertEquals(truth(transaction, all), said(decision), "seed " + seed + ", " + transaction.identity());
      if (random.nextInt(4) == 0) {
        harness.processWatermark(new Watermark(transaction.eventTime - MINUTE));
      }
    }
  }

  @Test
  void inAnyOrderACompleteStateDecidesByAllThatHasCome() throws Exception {
    long seed = System.nanoTime();
    Random random = new Random(seed);
    int complete = 0;
    int incomplete = 0;
    for (int round = 0; round < 10; round++) {
      close();
      open();
      List<Transaction> all = someTransactions(random, 200, HOUR, 10 * HOUR);
      all.sort(Comparator.comparingLong(t -> t.eventTime));
      for (int i = 0; i < 60; i++) {
        int from = random.nextInt(all.size());
        Collections.swap(all, from, Math.min(all.size() - 1, from + random.nextInt(80)));
      }
      List<Transaction> come = new ArrayList<>();
      for (Transaction transaction : all) {
        come.add(transaction);
        Decision decision = decide(transaction);
        if (decision.stateComplete) {
          complete++;
          assertEquals(truth(transaction, come), said(decision), "seed " + seed + ", " + transaction.identity());
        } else {
          incomplete++;
        }
        if (random.nextInt(4) == 0) {
          harness.processWatermark(new Watermark(transaction.eventTime - MINUTE));
        }
      }
    }
    assertTrue(complete > 250, complete + " complete, seed " + seed);
    assertTrue(incomplete > 50, incomplete + " incomplete, seed " + seed);
  }

  private static final Comparator<Transaction> ORDER =
      Comparator.<Transaction>comparingLong(t -> t.eventTime)
          .thenComparing(t -> t.eventId.getBytes(StandardCharsets.UTF_8), Arrays::compareUnsigned);

  /** Transactions in bursts, at times that often are equal or lie at a window's edge from each other. */
  private List<Transaction> someTransactions(Random random, int count, long spread, long length) {
    List<Transaction> all = new ArrayList<>();
    long start = 0;
    for (int i = 0; i < count; i++) {
      if (random.nextInt(25) == 0) {
        start = random.nextLong(length);
      }
      long time = random.nextInt(3) == 0 ? start + random.nextInt(7) * 10 * MINUTE : start + random.nextLong(spread);
      all.add(transaction("t" + i, time / 1000 * 1000));
    }
    return all;
  }

  /** Flagged, and the trigger that blocks: the rule as it is written, looking at everything. */
  private static Said truth(Transaction transaction, List<Transaction> among) {
    List<Transaction> before = among.stream().filter(t -> ORDER.compare(t, transaction) <= 0).toList();
    boolean flagged = within(before, transaction.eventTime, 10 * MINUTE) >= 6;
    Long triggerTime =
        before.stream()
            .filter(t -> t.eventTime > transaction.eventTime - HOUR && isTrigger(t, before))
            .map(t -> t.eventTime)
            .max(Long::compare)
            .orElse(null);
    return new Said(flagged, triggerTime != null, triggerTime);
  }

  private record Said(boolean flagged, boolean blocked, Long triggerTime) {}

  private static boolean isTrigger(Transaction transaction, List<Transaction> among) {
    List<Transaction> before = among.stream().filter(t -> ORDER.compare(t, transaction) <= 0).toList();
    return within(before, transaction.eventTime, HOUR) >= 11;
  }

  private static long within(List<Transaction> before, long time, long window) {
    return before.stream().filter(t -> t.eventTime > time - window).count();
  }

  private static Said said(Decision decision) {
    return new Said(decision.flagged, decision.blocked, decision.triggerTime);
  }

  private void burst(int count, long after) throws Exception {
    for (int i = 0; i < count; i++) {
      decide("b" + i, after + i * 1000);
    }
  }

  private Decision decide(String id, long after) throws Exception {
    return decide(transaction(id, after));
  }

  private Decision decide(Transaction transaction) throws Exception {
    int before = decisions().size();
    send(transaction);
    List<Decision> decisions = decisions();
    assertEquals(before + 1, decisions.size(), "each transaction is decided at once");
    return decisions.get(before);
  }

  private void send(Transaction transaction) throws Exception {
    harness.processElement(new StreamRecord<>(transaction));
  }

  private static Transaction of(String user, Transaction transaction) {
    transaction.userId = user;
    return transaction;
  }

  /** Sets the processing time, which TTLs look at as timers do. */
  private void clock(long time) throws Exception {
    harness.setStateTtlProcessingTime(time);
    harness.setProcessingTime(time);
  }

  private void checkpoint(long id) throws Exception {
    harness.prepareSnapshotPreBarrier(id);
    harness.snapshot(id, 0);
    harness.notifyOfCompletedCheckpoint(id);
  }

  private List<Decision> decisions() {
    return harness.extractOutputValues();
  }

  private List<String> alerts() {
    var output = harness.getSideOutput(FraudOperator.ALERTS);
    return output == null ? List.of() : output.stream().map(r -> r.getValue().transaction.eventId).toList();
  }

  private Transaction transaction(String id, long after) {
    Transaction transaction = new Transaction();
    transaction.userId = "ana";
    transaction.eventId = id;
    transaction.eventTime = MORNING + after;
    transaction.amountCents = 500;
    transaction.offset = nextOffset++;
    transaction.recordHash = (1L << 59) + transaction.offset;
    return transaction;
  }

  private static KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision> harness(
      OperatorSubtaskState snapshot) throws Exception {
    return harness(snapshot, 0);
  }

  /** At a processing time at which no timer has fired yet, however overdue. */
  private static KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision> harness(
      OperatorSubtaskState snapshot, long now) throws Exception {
    KeyedOneInputStreamOperatorTestHarness<String, Transaction, Decision> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new FraudOperator(IDLE, REMEMBER), transaction -> transaction.userId, Types.STRING);
    harness.setup(Types.POJO(Decision.class).createSerializer(harness.getExecutionConfig().getSerializerConfig()));
    harness.setStateTtlProcessingTime(now);
    harness.setProcessingTime(now);
    if (snapshot != null) {
      harness.initializeState(snapshot);
    }
    harness.open();
    return harness;
  }
}
