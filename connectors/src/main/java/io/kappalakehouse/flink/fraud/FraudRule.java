package io.kappalakehouse.flink.fraud;

import io.kappalakehouse.flink.Rules;

/**
 * The rule: one is flagged when it is its user's 6th or later in {@code (t - 10 min, t]}, a trigger when it is the 11th or
 * later in {@code (t - 1 h, t]}, and blocked by the latest trigger at or before it in the order, if that lies in
 * {@code (t - 1 h, t]}.
 *
 * <p>About a transaction at {@code t} it looks at those in {@code (t - 2 h, t]}: at triggers of the last hour, each of which
 * counts an hour of its own. But at few of them one by one: either a transaction is a trigger itself, or less than {@link
 * #TRIGGER_COUNT} lie in its hour, and these alone may be.
 */
final class FraudRule {

  static final long FLAG_WINDOW_MS = number("flag_ms");
  static final long TRIGGER_WINDOW_MS = number("trigger_ms");
  static final long REACH_MS = 2 * TRIGGER_WINDOW_MS;

  private static final long FLAG_COUNT = number("flag_count");
  private static final long TRIGGER_COUNT = number("trigger_count");

  static {
    if (number("block_ms") != TRIGGER_WINDOW_MS) {
      throw new IllegalStateException("a trigger blocks for as long as its transactions are counted");
    }
  }

  private final TransactionTree held;

  /** What is at or before this time has been forgotten, though the tree may still hold it. */
  private final long forgottenUntil;

  FraudRule(TransactionTree held, long forgottenUntil) {
    this.held = held;
    this.forgottenUntil = forgottenUntil;
  }

  /** Takes a transaction that is not held yet, and decides about it. */
  Decision decide(Transaction transaction) throws Exception {
    Decision decision = new Decision();
    decision.transaction = transaction;
    long time = transaction.eventTime;
    if (time <= forgottenUntil) {
      decision.transactions10m = 1; // nothing that precedes it is left
      decision.transactions1h = 1;
      return decision;
    }
    long index = held.insert(time, transaction.eventId);
    decision.transactions10m = countWithin(index, time, FLAG_WINDOW_MS);
    decision.transactions1h = countWithin(index, time, TRIGGER_WINDOW_MS);
    decision.flagged = decision.transactions10m >= FLAG_COUNT;
    decision.triggerTime = triggerTime(index, decision.transactions1h, time);
    decision.blocked = decision.triggerTime != null;
    return decision;
  }

  /** Those up to the one at {@code index} in the order, which is at {@code time}, and later than that less the window. */
  private long countWithin(long index, long time, long window) throws Exception {
    return index + 1 - held.countUntil(Math.max(time - window, forgottenUntil));
  }

  private static long number(String name) {
    return Rules.number("fraud_decisions", name);
  }

  private Long triggerTime(long index, long inHour, long time) throws Exception {
    if (inHour >= TRIGGER_COUNT) {
      return time;
    }
    long forgotten = held.countUntil(forgottenUntil);
    for (long i = index - 1; i > index - inHour; i--) {
      long other = held.timeAt(i);
      long eleventhBefore = i - (TRIGGER_COUNT - 1);
      if (eleventhBefore >= forgotten && held.timeAt(eleventhBefore) > other - TRIGGER_WINDOW_MS) {
        return other;
      }
    }
    return null;
  }
}
