package io.kappalakehouse.flink.fraud;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A page of a {@link TransactionTree}. A leaf holds transactions in the rule's order: event time, then event id as UTF-8
 * bytes. An inner page holds of each child its key, the count of transactions below it, and a transaction that none below
 * it precedes; of the first child that is not known to be true, and not asked.
 */
public class Page {

  public long[] times = {};
  public String[] ids = {};

  /** Empty in a leaf. */
  public long[] children = {};

  public long[] counts = {};

  int size() {
    return times.length;
  }

  /** Transactions in it and below it. */
  long total() {
    return children.length == 0 ? times.length : Arrays.stream(counts).sum();
  }

  /** Of an inner page, those below the children before {@code child}. */
  long totalBefore(int child) {
    long total = 0;
    for (int i = 0; i < child; i++) {
      total += counts[i];
    }
    return total;
  }

  /** How many entries are at or before a time. */
  int until(long time) {
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

  /** How many entries are at or before a transaction in the order. */
  int until(long time, String id) {
    int end = until(time);
    while (end > 0 && times[end - 1] == time && isAfter(ids[end - 1], id)) {
      end--;
    }
    return end;
  }

  private static boolean isAfter(String id, String other) {
    return Arrays.compareUnsigned(id.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8)) > 0;
  }

  void insert(int at, long time, String id) {
    times = inserted(times, at, time);
    String[] longer = new String[ids.length + 1];
    System.arraycopy(ids, 0, longer, 0, at);
    longer[at] = id;
    System.arraycopy(ids, at, longer, at + 1, ids.length - at);
    ids = longer;
  }

  void insert(int at, Page child, long key) {
    insert(at, child.times[0], child.ids[0]);
    children = inserted(children, at, key);
    counts = inserted(counts, at, child.total());
  }

  private static long[] inserted(long[] values, int at, long value) {
    long[] longer = new long[values.length + 1];
    System.arraycopy(values, 0, longer, 0, at);
    longer[at] = value;
    System.arraycopy(values, at, longer, at + 1, values.length - at);
    return longer;
  }

  /** Drops its first entries. */
  void dropFirst(int count) {
    keep(count, size());
  }

  /** Takes the entries from {@code from} on away, into a page of their own. */
  Page splitOff(int from) {
    Page rest = new Page();
    rest.times = times;
    rest.ids = ids;
    rest.children = children;
    rest.counts = counts;
    rest.keep(from, size());
    keep(0, from);
    return rest;
  }

  private void keep(int from, int to) {
    times = Arrays.copyOfRange(times, from, to);
    ids = Arrays.copyOfRange(ids, from, to);
    if (children.length > 0) {
      children = Arrays.copyOfRange(children, from, to);
      counts = Arrays.copyOfRange(counts, from, to);
    }
  }
}
