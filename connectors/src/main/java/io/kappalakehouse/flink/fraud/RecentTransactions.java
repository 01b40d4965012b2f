package io.kappalakehouse.flink.fraud;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A user's transactions that are still held, in the rule's order (event time, then event id as UTF-8 bytes), and the rule.
 *
 * <p>About a transaction at {@code t} the rule looks at those in {@code (t - 2 h, t]}: at triggers of the last hour, each of
 * which counts an hour of its own.
 */
public class RecentTransactions {

  static final long FLAG_WINDOW_MS = 10 * 60_000L;
  static final long TRIGGER_WINDOW_MS = 60 * 60_000L;
  static final long REACH_MS = 2 * TRIGGER_WINDOW_MS;

  /** Earlier ones in the window that make a transaction flagged (the 6th) or a trigger (the 11th). */
  private static final int BEFORE_FLAGGED = 5;

  private static final int BEFORE_TRIGGER = 10;

  public long[] times = {};
  public String[] ids = {};

  /** No transaction of the user after this event time was forgotten. */
  public long forgottenUntil = Long.MIN_VALUE;

  /** Event time at which nothing of this needs holding any more. */
  public long expiresAt = Long.MIN_VALUE;

  /** Takes a transaction that is not held yet, and decides about it. */
  Decision decide(Transaction transaction) {
    int index = insert(transaction.eventTime, transaction.eventId);
    Decision decision = new Decision();
    decision.transaction = transaction;
    decision.transactions10m = countWithin(index, FLAG_WINDOW_MS);
    decision.transactions1h = countWithin(index, TRIGGER_WINDOW_MS);
    decision.flagged = isPreceded(index, BEFORE_FLAGGED, FLAG_WINDOW_MS);
    decision.triggerTime = triggerTime(index);
    decision.blocked = decision.triggerTime != null;
    decision.stateComplete = transaction.eventTime - REACH_MS >= forgottenUntil;
    return decision;
  }

  /** Drops the transactions at or before {@code time}. */
  void forgetUntil(long time) {
    int dropped = firstAfter(time);
    if (dropped > 0) {
      forgottenUntil = Math.max(forgottenUntil, times[dropped - 1]);
      times = Arrays.copyOfRange(times, dropped, times.length);
      ids = Arrays.copyOfRange(ids, dropped, ids.length);
    }
  }

  private int insert(long time, String id) {
    int index = times.length;
    while (index > 0 && isAfter(times[index - 1], ids[index - 1], time, id)) {
      index--;
    }
    long[] longer = Arrays.copyOf(times, times.length + 1);
    System.arraycopy(times, index, longer, index + 1, times.length - index);
    longer[index] = time;
    String[] moreIds = Arrays.copyOf(ids, ids.length + 1);
    System.arraycopy(ids, index, moreIds, index + 1, ids.length - index);
    moreIds[index] = id;
    times = longer;
    ids = moreIds;
    return index;
  }

  private static boolean isAfter(long time, String id, long otherTime, String otherId) {
    if (time != otherTime) {
      return time > otherTime;
    }
    return Arrays.compareUnsigned(id.getBytes(StandardCharsets.UTF_8), otherId.getBytes(StandardCharsets.UTF_8)) > 0;
  }

  /** Those at or before {@code index} in the order and later than its time less the window. */
  private int countWithin(int index, long window) {
    return index + 1 - firstAfter(times[index] - window);
  }

  private int firstAfter(long time) {
    int low = 0;
    int high = times.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (times[middle] > time) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  private boolean isPreceded(int index, int before, long window) {
    return index >= before && times[index - before] > times[index] - window;
  }

  /** The time of the latest trigger that blocks a transaction; null if none does. */
  private Long triggerTime(int index) {
    for (int i = index; i >= 0 && times[i] > times[index] - TRIGGER_WINDOW_MS; i--) {
      if (isPreceded(i, BEFORE_TRIGGER, TRIGGER_WINDOW_MS)) {
        return times[i];
      }
    }
    return null;
  }
}
