package io.kappalakehouse.flink.live;

import io.kappalakehouse.flink.Rules;

/** One product's window. */
public class WindowCounts {

  public static final long SIZE_MS = Rules.number("product_metrics_5m", "size_ms");

  private static final long MIN_IMPRESSIONS = Rules.number("alerts", "impressions");

  public long impressions;
  public long clicks;
  public long conversions;

  /** The sum's low 64 bits, signed; what the carries leave out. */
  public long revenueCents;

  /** How often the sum has left the low bits upwards, less how often downwards: it is {@code carry * 2^64 + low}. */
  public long revenueCarry;

  public Fingerprint fingerprint = new Fingerprint();

  /** Changes applied; where no event was taken back, the events. */
  public long seq;

  /** What was last said of the window: its click-through rate is anomalous. */
  public boolean anomalous;

  static long start(long time) {
    return Math.floorDiv(time, SIZE_MS) * SIZE_MS;
  }

  long events() {
    return impressions + clicks + conversions;
  }

  void apply(ProductChange change) {
    seq++;
    switch (change.kind) {
      case LiveEvent.IMPRESSION -> impressions += change.sign;
      case LiveEvent.CLICK -> clicks += change.sign;
      default -> {
        conversions += change.sign;
        addRevenue(change.sign * change.amountCents);
      }
    }
    if (change.sign > 0) {
      fingerprint.add(change.recordHash);
    } else {
      fingerprint.remove(change.recordHash);
    }
  }

  /** Null where the sum doesn't fit 64 bits: the window stands aside with its revenue, and is right in all else. */
  Long revenue() {
    return revenueCarry == 0 ? revenueCents : null;
  }

  private void addRevenue(long cents) {
    long sum = revenueCents + cents;
    if (((revenueCents ^ sum) & (cents ^ sum)) < 0) {
      revenueCarry += cents < 0 ? -1 : 1;
    }
    revenueCents = sum;
  }

  boolean isAnomalous() {
    return impressions >= MIN_IMPRESSIONS && 2 * clicks > impressions;
  }
}
